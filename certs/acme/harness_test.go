package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/internal/acmetest"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, acmetest.LeakOptions()...) }

// A site answers authorities on two ports from its Answers.
type site struct {
	testing.TB
	ca      *acmetest.CA
	answers *Answers
	store   *storage.Store
}

func newSite(t testing.TB, o acmetest.Options) *site {
	t.Helper()
	s := &site{TB: t, answers: &Answers{}, store: storage.Open(t.TempDir(), zerolog.Nop())}
	plain, secure := listen(t), listen(t)
	o.HTTPPort, o.TLSPort = plain.Addr().(*net.TCPAddr).Port, secure.Addr().(*net.TCPAddr).Port
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		body, ok := s.answers.Token(host, strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/"))
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, body)
	})}
	srv.SetKeepAlivesEnabled(false)
	go srv.Serve(plain)
	t.Cleanup(func() { srv.Close() })
	go s.shake(secure)
	s.ca = acmetest.New(t, o)
	return s
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (s *site) shake(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		tls.Server(c, &tls.Config{NextProtos: []string{ALPNProto}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := s.answers.Certificate(h.ServerName); cert != nil {
				return cert, nil
			}
			return nil, errors.New("nobody asked")
		}}).Handshake()
		c.Close()
	}
}

// issuer returns a new one, as a new process would have it.
func (s *site) issuer(change ...func(*Config)) *Issuer {
	s.Helper()
	c := Config{Directory: s.ca.Directory, CABundle: s.ca.Bundle(), Store: s.store, Answers: s.answers, Log: zerolog.Nop(), Timeout: 20 * time.Second}
	for _, f := range change {
		f(&c)
	}
	i, err := New(c)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(i.Idle)
	return i
}

// age makes the order that was begun for host as much older.
func (s *site) age(host string, by time.Duration) {
	s.Helper()
	name := s.issuer().orderFile(host)
	data, err := s.store.Get(name)
	var b begun
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	b.Since = b.Since.Add(-by)
	if data, _ = json.Marshal(b); err == nil {
		err = s.store.Put(name, data)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// verify fails unless data is a key and a chain for host that the CA vouches for.
func (s *site) verify(host string, data []byte) {
	s.Helper()
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		s.Fatalf("the result is no key and chain: %v", err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			s.Fatal(err)
		}
		between.AddCert(c)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: s.ca.Roots(), Intermediates: between}); err != nil {
		s.Errorf("certificate of %s: %v", host, err)
	}
	if pair.Leaf.PublicKeyAlgorithm != x509.ECDSA {
		s.Errorf("key is %v, want ECDSA", pair.Leaf.PublicKeyAlgorithm)
	}
}

// fault is failure, and forgets the order if it is over.
func (s *site) fault(i *Issuer, host string) *Fault {
	f := s.failure(i, host)
	if f.Over {
		i.Done(host)
	}
	return f
}

// failure orders and returns the Fault that comes of it.
func (s *site) failure(i *Issuer, host string) *Fault {
	s.Helper()
	_, err := i.Order(context.Background(), host, HTTP01)
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		s.Fatalf("order of %s: %v, want a Fault", host, err)
	}
	s.Logf("%s → %s", f.Message, f.Fix)
	return f
}
