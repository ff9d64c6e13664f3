// Package public gets and renews the certificates of public names, and sees to it
// that no mistake, crash or outage spends what the authority allows.
package public

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/label"
	"github.com/rs/zerolog"
)

// Config is what Certificates needs.
type Config struct {
	Store *storage.Store
	// Dir is the directory of the store for certificates and failures of this
	// authority: another one's do not count. Authority names it for people.
	Dir, Authority string
	// Order gets a certificate for host: key and chain as PEM. Its error is an
	// *acme.Fault or ctx's. Done is called when the result is stored, or that the
	// order is over noted.
	Order func(ctx context.Context, host string, by acme.Challenge) ([]byte, error)
	Done  func(host string)
	// Made reports whether Order would take up an order that was made before: it is
	// no new one for the limits. nil means never.
	Made func(host string) bool
	// Preflight finds out by which challenge the authority can reach us. Its
	// error is no attempt; an *acme.Fault is shown as it is worded.
	Preflight func(ctx context.Context, host string) (acme.Challenge, error)
	Limits    Limits
	Log       zerolog.Logger
	Now       func() time.Time // nil means time.Now
}

// Limits are those of the authority. Zero means no limit.
type Limits struct {
	FailuresPerHour int // failed validations per host
	PerDomainWeek   int // new certificates per registered domain
	PerHostWeek     int // certificates for the same host
	Orders3Hours    int // orders of the account
}

// LimitsOf returns the limits of the authority with this directory: those that
// Let's Encrypt publishes (letsencrypt.org/docs/rate-limits), and for others those
// that protect anybody from a mistake of ours.
func LimitsOf(directory string) Limits {
	l := Limits{FailuresPerHour: 5, Orders3Hours: 300}
	if directory == "" || directory == acme.LetsEncrypt {
		l.PerDomainWeek, l.PerHostWeek = 50, 5
	}
	return l
}

const (
	workers = 16 // hosts that are checked or ordered for at once
	orders  = 4  // of them ordered for

	checkAgain = 30 * time.Second // after a pre-flight that failed
	renewEarly = 30 * 24 * time.Hour
)

// Certificates are those of public names. It is safe for concurrent use.
type Certificates struct {
	cfg    Config
	served sync.Map      // host → *tls.Certificate
	wake   chan struct{} // holds one
	slots  chan struct{} // of orders

	mu    sync.Mutex // guards what is below
	hosts map[string]*host
	book  ledger
	busy  int
}

// A host is one that needs a certificate. Certificates.mu guards it.
type host struct {
	name    string
	cert    *tls.Certificate // nil if there is none
	ordered time.Time        // when the last certificate came, by a clock that nobody sets; zero if it was stored
	busy    bool
	forced  bool      // the operator wants it now
	check   time.Time // not before: a pre-flight failed
	fault   acme.Fault
}

// New returns the certificates in c.Store.
func New(c Config) *Certificates {
	if c.Now == nil {
		c.Now = time.Now
	}
	out := &Certificates{cfg: c, wake: make(chan struct{}, 1), slots: make(chan struct{}, orders), hosts: map[string]*host{}}
	if c.Dir != "" {
		out.book = out.loadLedger()
		out.book.clamp(c.Now())
	}
	return out
}

// Want says which hosts need a certificate: orders and renewals begin and end
// accordingly. What is stored of others is kept, and not renewed.
func (c *Certificates) Want(hosts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := make(map[string]bool, len(hosts))
	for _, name := range hosts {
		wanted[name] = true
		if c.hosts[name] == nil {
			h := &host{name: name}
			c.hosts[name] = h
			c.adopt(h)
		}
	}
	for name := range c.hosts {
		if !wanted[name] {
			delete(c.hosts, name)
			c.served.Delete(name)
		}
	}
	c.poke()
}

func (c *Certificates) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Certificate returns the certificate of host, nil if there is none yet; an
// expired one is better than none. It does not block.
func (c *Certificates) Certificate(host string) *tls.Certificate {
	if cert, ok := c.served.Load(host); ok {
		return cert.(*tls.Certificate)
	}
	return nil
}

func (c *Certificates) file(host string) string { return c.cfg.Dir + "/certs/" + host + ".pem" }

// adopt takes the stored certificate of h into use if it is a better one than
// h has: another process may have got it. c.mu is held.
func (c *Certificates) adopt(h *host) {
	data, err := c.cfg.Store.Get(c.file(h.name))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.cfg.Log.Error().Err(err).Str("host", h.name).Msg("stored certificate could not be read")
		}
		return
	}
	cert, err := parse(h.name, data)
	if err != nil {
		c.cfg.Store.SetAside(c.file(h.name), err)
		return
	}
	if h.cert == nil || cert.Leaf.NotAfter.After(h.cert.Leaf.NotAfter) {
		c.serve(h, cert)
	}
}

// serve makes cert what handshakes for h get. c.mu is held.
func (c *Certificates) serve(h *host, cert *tls.Certificate) {
	if c.hosts[h.name] != h {
		return // it is not wanted any more
	}
	h.cert, h.fault, h.check = cert, acme.Fault{}, time.Time{}
	c.served.Store(h.name, cert)
}

// parse reads key and chain for host.
func parse(host string, data []byte) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, err
	}
	if err := cert.Leaf.VerifyHostname(host); err != nil {
		return nil, err
	}
	return &cert, nil
}

// Retry lifts the back-off of host and orders without a pre-flight. It fails if
// the host is not wanted, or if the authority's own limit leaves no attempt.
func (c *Certificates) Retry(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[name]
	if h == nil {
		err := fmt.Errorf("no certificate is ordered for %s: it is no public host of a route, or has another certificate; fairlead certs shows which", label.Shown(name))
		if near := label.Nearest(name, maps.Keys(c.hosts)); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
		return err
	}
	if at := c.book.failures(name, c.cfg.Limits.FailuresPerHour, c.cfg.Now()); !at.IsZero() {
		return fmt.Errorf("%s allows %d failed validations of a host per hour, and %s has had them; the next attempt is possible at %s",
			c.cfg.Authority, c.cfg.Limits.FailuresPerHour, name, at.Local().Format(time.DateTime))
	}
	h.forced = true
	c.poke()
	return nil
}

// A State is what is known of one wanted host.
type State struct {
	Host     string
	State    string    // "valid", "waiting", "ordering", "failed", "expired"
	NotAfter time.Time // of the certificate served, zero if there is none
	Next     time.Time // when something is tried next: a check, an order, a renewal
	Error    string    // of the last try, "" if it went well
	Fix      string    // what to do about it, "" if nothing
}

// States returns what is known of every wanted host, by name.
func (c *Certificates) States() []State {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	all := make([]State, 0, len(c.hosts))
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		all = append(all, c.state(c.hosts[name], now))
	}
	return all
}

func (c *Certificates) state(h *host, now time.Time) State {
	next, why := c.due(h, now)
	s := State{Host: h.name, State: "waiting", Next: next, Error: why.Message, Fix: why.Fix}
	switch {
	case h.busy:
		s.Next = time.Time{}
	case next.Before(now):
		s.Next = now
	}
	switch {
	case h.cert != nil && now.After(h.cert.Leaf.NotAfter):
		s.State, s.NotAfter = "expired", h.cert.Leaf.NotAfter
	case h.cert != nil:
		s.State, s.NotAfter = "valid", h.cert.Leaf.NotAfter
	case h.busy:
		s.State = "ordering"
	case c.book.Hosts[h.name].Failures > 0:
		s.State = "failed"
	}
	return s
}
