package certs

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

var errNoChallenge = errors.New("nobody asked an authority to check this host")

// Admits reports whether a connection meets policy, as it is now and not as it
// was when the handshake was made.
func (c *Certificates) Admits(policy spec.TLSPolicy, conn *tls.ConnectionState) bool {
	if policy.MinVersion == "1.3" && conn.Version < tls.VersionTLS13 {
		return false
	}
	if policy.ClientCA == "" {
		return true
	}
	clients := c.files.Clients(policy.ClientCA)
	return clients != nil && clients.Signed(conn)
}

// Standing says what is to be expected of HTTPS for name, which falls under host.
// A file or a public authority makes it trusted, whichever route it comes from.
func (c *Certificates) Standing(name string, host *spec.TLSHost) spec.Standing {
	if host.Policy.Mode == spec.TLSOff {
		return spec.Untrusted
	}
	if host.Policy.Mode == spec.TLSFile {
		return c.standing(c.files.Certificate(host.Policy))
	}
	if host.Policy.Mode == spec.TLSAuto {
		if cert := c.files.Covering(spec.Host{Text: name}); cert != nil {
			return c.standing(cert)
		}
	}
	if c.cfg.Names.Authority(host.Host, host.Policy.Mode) != spec.PublicAuthority {
		return spec.Untrusted
	}
	return c.standing(c.public.Certificate(host.Host.Text))
}

// standing is that of a host which cert is for, nil while there is none.
func (c *Certificates) standing(cert *tls.Certificate) spec.Standing {
	if c.valid(cert) {
		return spec.Trusted
	}
	return spec.Expected
}

func (c *Certificates) valid(cert *tls.Certificate) bool {
	if cert == nil {
		return false
	}
	now := c.cfg.Now()
	return now.After(cert.Leaf.NotBefore) && now.Before(cert.Leaf.NotAfter)
}

// tokens is where authorities look for HTTP-01 (RFC 8555, 8.3).
const tokens = "/.well-known/acme-challenge/"

// Tokens answers authorities in front of next, whatever that does with plain
// HTTP. Only tokens that are expected, and only for their host: an app may
// answer authorities of its own.
func (c *Certificates) Tokens(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, asked := strings.CutPrefix(r.RequestURI, tokens)
		if !asked || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		body, ours := c.answers.Token(exchange.Of(r).Host, token)
		if !ours {
			next.ServeHTTP(w, r)
			return
		}
		exchange.Of(r).Code = "acme-token"
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			io.WriteString(w, body)
		}
	})
}
