// Package localca is the small authority for names that no public one vouches
// for. Its root is constrained to those names (RFC 5280, 4.2.1.10), so that a
// root key that leaks cannot sign for a bank.
package localca

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

const (
	leafLife    = 7 * 24 * time.Hour
	maxInvented = 1000

	leafBack = time.Hour // into the past: clocks of clients are behind
)

// Config is what an Authority needs.
type Config struct {
	Store *storage.Store
	Names spec.Names
	Log   zerolog.Logger
	Now   func() time.Time // nil means time.Now
}

// An Authority signs short certificates for local names. It is safe for
// concurrent use.
type Authority struct {
	cfg  Config
	root *x509.Certificate
	key  *ecdsa.PrivateKey

	leaves   sync.Map     // spec.Host → *leaf
	invented atomic.Int64 // names below wildcards that got one of their own
}

// A leaf is the certificate of one host, made when somebody asks.
type leaf struct {
	mu   sync.Mutex // held while it is made
	cert atomic.Pointer[tls.Certificate]
}

// New returns the authority whose root is in c.Store, or a new one. A root that
// makes no sense is set aside and replaced; one that cannot be read now is left
// alone, and another one used until the next start. What that means for clients
// is logged. New waits up to 10 s for another process that makes a root in the
// same directory. Errors are of cryptography, never of the store.
func New(c Config) (*Authority, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Authority{cfg: c}
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// Root returns the root in PEM.
func (a *Authority) Root() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Certificate returns a certificate for host, which c.Names must allow: the
// last one while more than a third of its life is left, else a new one, which is
// good for 7 days. Its chain is the leaf alone: clients have the root. It is
// called by handshakes: signing takes a tenth of a millisecond, waits for
// nothing, and is done once however many ask.
func (a *Authority) Certificate(host spec.Host) (*tls.Certificate, error) {
	now := a.cfg.Now()
	if cert := a.Issued(host); cert != nil && fresh(cert, now) {
		return cert, nil
	}
	if !a.cfg.Names.MaySign(host) {
		return nil, fmt.Errorf("the internal authority does not sign %s", host)
	}
	known, _ := a.leaves.LoadOrStore(host, &leaf{})
	l := known.(*leaf)
	l.mu.Lock()
	defer l.mu.Unlock()
	if cert := l.cert.Load(); cert != nil && fresh(cert, now) {
		return cert, nil
	}
	cert, err := a.sign(host, now)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", host, err)
	}
	l.cert.Store(cert)
	return cert, nil
}

// Under returns a certificate for name, which falls under the pattern wildcard:
// that of the pattern, so that whoever invents names gets no more than one. Right
// below a top-level name clients accept no wildcard (*.localhost; Chromium and
// OpenSSL refuse it), and it is for name alone, up to maxInvented times between
// two calls of Keep.
func (a *Authority) Under(wildcard spec.Host, name string) (*tls.Certificate, error) {
	exact := spec.Host{Text: name}
	switch {
	case strings.Contains(wildcard.Text, "."):
		return a.Certificate(wildcard)
	case a.Issued(exact) == nil && a.invented.Add(1) > maxInvented:
		return a.Certificate(wildcard)
	}
	return a.Certificate(exact)
}

// fresh reports whether more than a third of cert's life is left. A clock that was
// set back makes it stale as well.
func fresh(cert *tls.Certificate, now time.Time) bool {
	return now.After(cert.Leaf.NotBefore) && cert.Leaf.NotAfter.Sub(now) > leafLife/3
}

// sign makes a certificate for host.
func (a *Authority) sign(host spec.Host, now time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: shortened(host.String(), maxName)},
		NotBefore: now.Add(-leafBack), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr, ok := host.Addr(); ok {
		template.IPAddresses = []net.IP{addr.AsSlice()}
		template.Subject = pkix.Name{Organization: []string{organization}} // OpenSSL holds a common name to the constraints on DNS names
	} else {
		template.DNSNames = []string{host.String()}
	}
	return makeCertificate(template, a.root, a.key)
}

// Issued returns the certificate of host that is in use, nil if nobody has asked.
func (a *Authority) Issued(host spec.Host) *tls.Certificate {
	known, ok := a.leaves.Load(host)
	if !ok {
		return nil
	}
	return known.(*leaf).cert.Load()
}

// Keep forgets the certificates of all hosts but these.
func (a *Authority) Keep(hosts []spec.Host) {
	wanted := make(map[spec.Host]bool, len(hosts))
	for _, h := range hosts {
		wanted[h] = true
	}
	a.invented.Store(0)
	a.leaves.Range(func(host, _ any) bool {
		if !wanted[host.(spec.Host)] {
			a.leaves.Delete(host)
		}
		return true
	})
}
