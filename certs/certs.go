// Package certs decides which certificate a handshake gets, and sees to it that
// there is one: the user's files, else what an ACME authority gave, else the
// internal authority's, else a stop-gap. A handshake never fails for want of a
// certificate, and never has one ordered.
package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/certs/files"
	"github.com/fairlead/fairlead/certs/localca"
	"github.com/fairlead/fairlead/certs/public"
	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// Config is what Certificates needs of the process.
type Config struct {
	DataDir    string                           // keys and certificates go to its directory "tls"
	Secret     func(ref string) ([]byte, error) // reads what labels name
	SecretsDir string                           // below which that is
	Names      spec.Names
	ACME       acme.Config // Store, Answers and Log are set by New
	// HTTPOpen and HTTPSOpen say by which ports an authority could come.
	HTTPOpen, HTTPSOpen bool
	// Lookup returns the host pattern of the live table that name falls under,
	// and Hosts all of them. Handshakes and requests call Lookup: it must not block.
	Lookup func(name string) (spec.TLSHost, bool)
	Hosts  func() []spec.TLSHost
	// Reached, if set, is closed when who connects to the entry points reaches this
	// process. Nothing is ordered before: the authority would find nobody, or
	// somebody else.
	Reached <-chan struct{}
	// Changed is called when Check may answer differently than before.
	Changed func()
	Log     zerolog.Logger
	Now     func() time.Time // nil means time.Now
}

// Certificates is the room's one face: the server asks it for configurations,
// routing whether a connection will do, commands what there is. It is safe for
// concurrent use.
type Certificates struct {
	cfg     Config
	store   *storage.Store
	answers *acme.Answers
	// Checker is how a host is checked before it is ordered for.
	Checker   *public.Checker
	local     *localca.Authority
	files     *files.Files
	public    *public.Certificates
	stopGap   *tls.Certificate
	authority string // of public names, "" if none is used

	update chan struct{}   // holds one
	stored chan struct{}   // closed by follow
	bare   map[string]bool // hosts that nobody vouches for; of follow's goroutine

	mu       sync.Mutex            // guards sessions
	sessions map[demands]*sessions // by what they ask of the connection
	current  sync.Map              // demands → *tls.Config, the same as in sessions
}

// New checks c and reads what is stored. It starts nothing. Errors name the
// setting that is wrong.
func New(c Config) (*Certificates, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	out := &Certificates{
		cfg: c, store: storage.Open(filepath.Join(c.DataDir, "tls"), c.Log), answers: &acme.Answers{},
		update: make(chan struct{}, 1), stored: make(chan struct{}), sessions: map[demands]*sessions{},
	}
	var err error
	if out.stopGap, err = localca.StopGap(c.Now()); err != nil {
		return nil, fmt.Errorf("make the stop-gap certificate: %w", err)
	}
	if out.local, err = localca.New(localca.Config{Store: out.store, Names: c.Names, Log: c.Log, Now: c.Now}); err != nil {
		return nil, fmt.Errorf("internal authority: %w", err)
	}
	out.files = files.New(files.Config{Secret: c.Secret, Dir: c.SecretsDir, Log: c.Log, Now: c.Now, Changed: c.Changed})
	return out, out.wirePublic(c)
}

// wirePublic sets up the way to public certificates.
func (c *Certificates) wirePublic(cfg Config) error {
	if cfg.Names.NoACME {
		c.public = public.New(public.Config{Store: c.store, Log: cfg.Log, Now: cfg.Now}) // of which nobody wants any
		return nil
	}
	cfg.ACME.Store, cfg.ACME.Answers, cfg.ACME.Log = c.store, c.answers, cfg.Log
	issuer, err := acme.New(cfg.ACME)
	if err != nil {
		return err
	}
	c.authority = issuer.Name()
	c.Checker = &public.Checker{Answers: c.answers, Plain: cfg.HTTPOpen, TLS: cfg.HTTPSOpen}
	c.public = public.New(public.Config{
		Store: c.store, Dir: issuer.Dir(), Authority: issuer.Name(), Order: issuer.Order, Done: issuer.Done, Made: issuer.Made, Preflight: c.Checker.Check,
		Limits: public.LimitsOf(cfg.ACME.Directory), Log: cfg.Log, Now: cfg.Now,
	})
	return nil
}

// Update says that the live table is another one. It does not block.
func (c *Certificates) Update() {
	select {
	case c.update <- struct{}{}:
	default:
	}
}

// Run orders, renews, watches files and rotates ticket keys until ctx ends, and
// returns nil.
func (c *Certificates) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return c.store.Run(ctx) })
	group.Go(func() error { return c.files.Run(ctx) })
	group.Go(func() error { return c.order(ctx) })
	group.Go(func() error { return c.rotate(ctx) })
	group.Go(func() error { return c.follow(ctx) })
	return group.Wait()
}

// order has public certificates ordered and renewed until ctx ends.
func (c *Certificates) order(ctx context.Context) error {
	if c.cfg.Reached != nil {
		select {
		case <-c.cfg.Reached:
		case <-ctx.Done():
			return nil
		}
	}
	return c.public.Run(ctx)
}

// Stored returns what is closed once the certificates that are stored for the
// hosts of the first live table are in use. Until then handshakes may get the
// stop-gap instead.
func (c *Certificates) Stored() <-chan struct{} { return c.stored }

// follow keeps in step with the live table.
func (c *Certificates) follow(ctx context.Context) error {
	inUse := sync.OnceFunc(func() { close(c.stored) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.update:
			c.use(c.cfg.Hosts())
			inUse()
		}
	}
}

func (c *Certificates) use(hosts []spec.TLSHost) {
	c.files.Use(hosts)
	var wanted []string
	var local []spec.Host
	bare := map[string]bool{}
	for _, h := range hosts {
		if h.Refused || h.Policy.Mode == spec.TLSOff || h.Policy.Mode == spec.TLSFile || h.Policy.Mode == spec.TLSAuto && c.files.Covering(h.Host) != nil {
			continue
		}
		switch c.cfg.Names.Authority(h.Host, h.Policy.Mode) {
		case spec.InternalAuthority:
			local = append(local, h.Host)
		case spec.PublicAuthority:
			wanted = append(wanted, h.Host.Text)
		default:
			c.warn(h)
			bare[h.Host.String()] = true
		}
	}
	c.bare = bare
	c.public.Want(wanted)
	c.local.Keep(local)
	c.prune(hosts)
}

// warn logs that nobody vouches for h, once.
func (c *Certificates) warn(h spec.TLSHost) {
	if !c.bare[h.Host.String()] {
		why, fix := c.nobody(h.Host)
		c.cfg.Log.Warn().Str("host", h.Host.String()).Str("route", h.Route).Str("fix", fix).Msg(why)
	}
}

// Check returns why the files that policy names cannot be served by.
func (c *Certificates) Check(policy spec.TLSPolicy) error { return c.files.Check(policy) }

// Root returns the internal authority's root in PEM.
func (c *Certificates) Root() []byte { return c.local.Root() }

// ReadAgain has the files that users bring read again. It does not block.
func (c *Certificates) ReadAgain() { c.files.Again() }

// Retry orders for host now, whatever failed before.
func (c *Certificates) Retry(host string) error { return c.public.Retry(host) }
