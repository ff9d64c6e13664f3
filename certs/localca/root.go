package localca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"github.com/fairlead/fairlead/spec"
)

const (
	rootFile = "ca/root.pem"
	keyFile  = "ca/root.key"
	rootLock = "ca/root"
	rootLife = 10 * 365 * 24 * time.Hour
	rootLate = 365 * 24 * time.Hour // so long before its end a root is replaced
	lockWait = 10 * time.Second
)

// past is over by every clock that is right. Roots hold from then on: a machine
// without a clock of its own makes one before it knows the time, and a root is
// trusted because it was installed, whatever its age.
var past = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// stored is what the store has of the authority.
type stored struct {
	key        *ecdsa.PrivateKey // nil if there is none that can be used
	root       *x509.Certificate // nil if there is none that belongs to key
	nonsense   bool              // something was set aside
	unreadable error             // why nobody knows what the rest is, nil if all is known
}

// load takes the root from the store, or makes one. A root is only ever replaced
// by one with the same key and name where that is possible: what clients have
// installed then goes on vouching for what it vouched for.
func (a *Authority) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	if unlock, err := a.cfg.Store.Lock(ctx, rootLock); err == nil {
		defer unlock()
	} else {
		a.cfg.Log.Warn().Err(err).Msg("another process did not come to an end with the root of the internal authority; going on beside it")
	}
	was := a.stored()
	a.key, a.root = was.key, was.root
	if a.root != nil && a.stale(a.root) == "" {
		return nil
	}
	if err := a.renew(was); err != nil {
		return fmt.Errorf("make the root: %w", err)
	}
	a.announce(was)
	return nil
}

// stored returns what is stored, and sets aside what makes no sense.
func (a *Authority) stored() (s stored) {
	s.look(a, keyFile, func(data []byte) (err error) { s.key, err = parseKey(data); return err })
	if s.unreadable == nil { // else no root could be known to belong to it
		s.look(a, rootFile, func(data []byte) (err error) { s.root, err = parseRoot(data, s.key); return err })
	}
	return s
}

// look has a file parsed, if it is there.
func (s *stored) look(a *Authority, name string, parse func([]byte) error) {
	data, err := a.cfg.Store.Get(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.unreadable = err
	default:
		if err := parse(data); err != nil {
			a.cfg.Store.SetAside(name, err)
			s.nonsense = true
		}
	}
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want ECDSA", parsed)
	}
	return key, nil
}

// parseRoot reads a root that key has signed.
func parseRoot(data []byte, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM in it")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key == nil || !key.PublicKey.Equal(root.PublicKey) {
		return nil, errors.New("it does not belong to the key")
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("no root: %w", err)
	}
	return root, nil
}

// stale returns why root has to be issued anew, "" if it does not.
func (a *Authority) stale(root *x509.Certificate) string {
	want, now := a.template(), a.cfg.Now()
	switch {
	case !root.PermittedDNSDomainsCritical, !root.MaxPathLenZero,
		!slices.Equal(slices.Sorted(slices.Values(root.PermittedDNSDomains)), want.PermittedDNSDomains),
		!slices.EqualFunc(root.PermittedIPRanges, want.PermittedIPRanges, func(x, y *net.IPNet) bool { return x.String() == y.String() }):
		return "the names that it may sign changed"
	case now.Before(root.NotBefore):
		return "by the clock of this machine it did not hold yet"
	case root.NotAfter.Sub(now) < rootLate:
		return "it holds for less than a year"
	}
	return ""
}

// renew makes a root, and a key if there is none. What could not be read is left
// alone: it may be sound.
func (a *Authority) renew(was stored) error {
	save := func(name, kind string, der []byte) {
		if was.unreadable == nil {
			// What cannot be saved is kept in memory, and the store has said so.
			a.cfg.Store.Put(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		}
	}
	if a.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		save(keyFile, "PRIVATE KEY", der)
		a.key = key
	}
	root, err := a.issue(was.root)
	if err != nil {
		return err
	}
	save(rootFile, "CERTIFICATE", root.Raw)
	a.root = root
	return nil
}

// issue makes a root for a.key, with the name of the one before if there was one.
// It holds whenever that one held, so that a clock that jumps to and fro makes no
// more than one new root each way.
func (a *Authority) issue(before *x509.Certificate) (*x509.Certificate, error) {
	template := a.template()
	if before != nil {
		// How key ids are made depends on the version of Go, and clients look for
		// the one that the leaf names.
		template.RawSubject, template.SubjectKeyId = before.RawSubject, before.SubjectKeyId
		template.NotBefore = earlier(template.NotBefore, before.NotBefore)
		template.NotAfter = later(template.NotAfter, before.NotAfter)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// template is a root as it should be now.
func (a *Authority) template() *x509.Certificate {
	now := a.cfg.Now()
	root := &x509.Certificate{
		SerialNumber: newSerial(), Subject: a.subject(), NotBefore: earlier(past, now.Add(-dayBack)), NotAfter: later(past, now).Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: a.cfg.Names.Suffixes(),
	}
	for _, p := range spec.LocalNets() {
		root.PermittedIPRanges = append(root.PermittedIPRanges, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return root
}

// subject tells the roots of several machines apart in a list of authorities.
func (a *Authority) subject() pkix.Name {
	public, _ := x509.MarshalPKIXPublicKey(a.key.Public()) // does not fail for P-256
	sum := sha256.Sum256(public)
	name, id := "Fairlead internal CA", " "+hex.EncodeToString(sum[:4])
	if host, err := os.Hostname(); err == nil {
		name += " " + host
	}
	return pkix.Name{Organization: []string{organization}, CommonName: shortened(name, maxName-len(id)) + id}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// announce logs why there is another root than there was, and what users have to
// do.
func (a *Authority) announce(was stored) {
	switch log := &a.cfg.Log; {
	case was.unreadable != nil:
		log.Error().Err(was.unreadable).Msg("the root of the internal authority could not be read; one that is not kept is used until the next start: make the file readable for the user of the proxy, and start it again")
	case was.nonsense:
		log.Error().Msg("the internal authority has a new root, for the old one made no sense; clients that do not trust it have to install it (fairlead ca install-help)")
	case was.root != nil:
		log.Warn().Str("why", a.stale(was.root)).Msg("the root of the internal authority was issued anew, with the same key; clients go on trusting what the old one is for, and trust the rest once they have this one (fairlead ca install-help)")
	case was.key != nil:
		log.Warn().Msg("the root of the internal authority was gone and was issued anew, with the same key; clients may have to install it again (fairlead ca install-help)")
	default:
		log.Info().Msg("the internal authority made its root; clients that install it trust certificates of local names (fairlead ca install-help)")
	}
}
