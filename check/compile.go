package check

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// compile makes the table that the proxy would serve. Nothing of it is put into
// force: no connection is made, and no file of a container is read.
func (c *checker) compile(snap spec.Snapshot) *routing.Table {
	now := time.Now()
	claims := &routing.Claims{Grace: spec.Remember, Share: c.q.Shares}
	if c.q.Running != nil {
		claims.Adopt(c.q.Running.Claims, now)
	}
	env := &routing.Env{
		Build: build.Build{
			Log: zerolog.Nop(), Prefix: c.schema.Prefix, Now: time.Now, Keeper: &build.Keeper{},
			Assets: assets.NewStore(assets.Config{Log: zerolog.Nop(), Now: time.Now}),
		},
		NewPool: func(key string, tls spec.UpstreamTLS, _ *build.Build) (*upstream.Pool, error) {
			if err := c.files(tls.CA, tls.Cert, tls.Key); err != nil {
				return nil, err
			}
			return upstream.New(upstream.Config{Key: key, Prober: &upstream.Prober{}, Log: zerolog.Nop()})
		},
		Certificates: certificates{c},
	}
	return routing.Compile(nil, spec.NewParser(c.q.Reader).Parse(snap), claims, env, now)
}

// certificates stands for the room of certificates, of which nothing runs.
type certificates struct{ c *checker }

var _ routing.Certificates = certificates{}

func (k certificates) Check(p spec.TLSPolicy) error                   { return k.c.files(p.Cert, p.Key, p.ClientCA) }
func (certificates) Admits(spec.TLSPolicy, *tls.ConnectionState) bool { return false }
func (certificates) Standing(string, *spec.TLSHost) spec.Standing     { return spec.Untrusted }

// files returns what is wrong with the secrets that refs name: those that the
// compose file of the proxy does not give it. Without that file nothing is known.
func (c *checker) files(refs ...string) error {
	for _, ref := range refs {
		path, isFile := strings.CutPrefix(ref, "file:")
		if !isFile || c.q.Proxy == nil || c.q.Running != nil {
			continue
		}
		if !c.has(path) {
			return fmt.Errorf("%s is not in the proxy's container: add it to  secrets:  of its service %s", path, c.q.Proxy.Name)
		}
	}
	return nil
}

// has reports whether the proxy's container has a file at path by its compose file.
func (c *checker) has(path string) bool {
	below := func(dir string) bool { return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }
	return slices.ContainsFunc(c.q.Proxy.Secrets, below) ||
		slices.ContainsFunc(c.q.Proxy.Workload.Mounts, func(m spec.Mount) bool { return below(m.At) })
}
