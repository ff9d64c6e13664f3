package localca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

func TestCertificatesVerifyAgainstTheRoot(t *testing.T) {
	s := start{names: spec.Names{Domain: "apps.example.com", Internal: []string{"lan"}}}
	a := s.in(t, t.TempDir())
	for pattern, name := range map[string]string{
		"localhost": "localhost", "a.b.localhost": "a.b.localhost", "nas.home.arpa": "nas.home.arpa", "x.internal": "x.internal", "printer.local": "printer.local",
		"a.test": "a.test", "my_app.local": "my_app.local", "lan": "lan", "nas.lan": "nas.lan", "apps.example.com": "apps.example.com", "web.apps.example.com": "web.apps.example.com",
		"*.localhost": "x.localhost", "*.app.localhost": "x.app.localhost",
		"127.0.0.1": "127.0.0.1", "10.1.2.3": "10.1.2.3", "172.31.255.255": "172.31.255.255", "192.168.1.5": "192.168.1.5", "[::1]": "::1", "[fd00::7]": "fd00::7",
		longName: longName,
	} {
		cert := certificate(t, a, pattern)
		if err := verify(a.root, cert, name); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		// OpenSSL and browsers refuse a wildcard right below a top-level name.
		openssl(t, a.root, cert, name, pattern != "*.localhost")
		if life := time.Until(cert.Leaf.NotAfter); life > leafLife || life < leafLife-time.Minute {
			t.Errorf("%s holds for %s, want %s", pattern, life, leafLife)
		}
		if len(cert.Certificate) != 1 || !slices.Equal(cert.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || cert.Leaf.IsCA {
			t.Errorf("%s: a chain of %d, extended key usage %v, authority %v: want a leaf alone, for servers", pattern, len(cert.Certificate), cert.Leaf.ExtKeyUsage, cert.Leaf.IsCA)
		}
	}
	if err := verify(a.root, certificate(t, a, "*.localhost"), "a.b.localhost"); err == nil {
		t.Error("*.localhost vouches for a.b.localhost, want one label only")
	}
}

// longName is longer than a common name may be.
const longName = "a-name-that-is-rather-long.and-another-label-that-is.and-one-more-to-be-sure.localhost"

func TestOtherNamesAreNotSigned(t *testing.T) {
	s := start{names: spec.Names{Domain: "apps.example.com", Internal: []string{"lan"}}}
	a := s.in(t, t.TempDir())
	for _, pattern := range []string{"www.example.com", "example.com", "*.example.com", "nas.lan2", "notlocalhost", "*.com", "8.8.8.8", "[2001:db8::1]", "*"} {
		if cert, err := a.Certificate(host(t, pattern)); err == nil {
			t.Errorf("%s was signed, for %v %v", pattern, cert.Leaf.DNSNames, cert.Leaf.IPAddresses)
		}
		if cert := a.Issued(host(t, pattern)); cert != nil {
			t.Errorf("a certificate of %s is in use", pattern)
		}
	}
	if _, err := a.Certificate(spec.Host{Kind: spec.RegexpHost, Text: `.*\.localhost`}); err == nil {
		t.Error("an expression was signed")
	}
}

func TestLeavesAreRenewedAtTwoThirds(t *testing.T) {
	var s start
	a := s.in(t, t.TempDir())
	cert := certificate(t, a, "a.localhost")
	for _, tt := range []struct {
		clock time.Duration // since cert was made
		fresh bool
		when  string
	}{
		{0, true, "at once"},
		{-leafBack + time.Minute, true, "when the clock went back a little"},
		{leafLife*2/3 - time.Minute, true, "before two thirds of its life"},
		{leafLife*2/3 + time.Minute, false, "after two thirds of its life"},
		{leafLife + time.Minute, false, "after its life"},
		{-leafBack - time.Minute, false, "when the clock went back to before its life"},
		{year, false, "a year ahead"},
		{-year, false, "a year behind"},
	} {
		s.clock += tt.clock
		again := certificate(t, a, "a.localhost")
		if got := again == cert; got != tt.fresh {
			t.Errorf("%s: the same certificate %v, want %v", tt.when, got, tt.fresh)
		}
		if certificate(t, a, "a.localhost") != again {
			t.Errorf("%s: asked twice, it was made twice", tt.when)
		}
		if now := a.cfg.Now(); now.Before(again.Leaf.NotBefore) || now.After(again.Leaf.NotAfter) {
			t.Errorf("%s: it holds from %s to %s, and it is %s", tt.when, again.Leaf.NotBefore, again.Leaf.NotAfter, now)
		}
		if tt.fresh {
			s.clock -= tt.clock
		}
		cert = again
	}
}

func TestManyAskAndOneIsMade(t *testing.T) {
	a := authority(t, t.TempDir())
	h := host(t, "a.localhost")
	got := make([]*tls.Certificate, 64)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() {
			cert, err := a.Certificate(h)
			if err != nil {
				t.Errorf("Certificate: %v", err)
			}
			got[i] = cert
		})
	}
	group.Wait()
	slices.SortFunc(got, func(a, b *tls.Certificate) int { return a.Leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) })
	if n := len(slices.Compact(got)); n != 1 {
		t.Errorf("%d certificates were made, want 1", n)
	}
	if got[0] != a.Issued(h) {
		t.Error("the certificate in use is another one")
	}
}

func TestOneHostKeepsNoOtherWaiting(t *testing.T) {
	a := authority(t, t.TempDir())
	known := certificate(t, a, "known.localhost")
	for _, text := range []string{"known.localhost", "slow.localhost"} {
		l, _ := a.leaves.LoadOrStore(host(t, text), &leaf{})
		l.(*leaf).mu.Lock()
		defer l.(*leaf).mu.Unlock()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got, err := a.Certificate(host(t, "known.localhost")); got != known {
			t.Errorf("a certificate in use: got another one, %v", err)
		}
		if _, err := a.Certificate(host(t, "other.localhost")); err != nil {
			t.Errorf("another host: %v", err)
		}
		a.Keep(nil)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("other hosts waited for one whose certificate was being made")
	}
}

func TestKeepForgetsTheOthers(t *testing.T) {
	a := authority(t, t.TempDir())
	kept, gone := host(t, "*.localhost"), host(t, "localhost")
	cert := certificate(t, a, "*.localhost")
	certificate(t, a, "localhost")
	a.Keep([]spec.Host{kept, host(t, "new.localhost")})
	if a.Issued(kept) != cert {
		t.Errorf("%s was forgotten", kept)
	}
	if a.Issued(gone) != nil {
		t.Errorf("%s was not forgotten", gone)
	}
	n := 0
	a.leaves.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d hosts are remembered, want 1", n)
	}
}

// The handshake itself, as a client makes it that has installed the root.
func TestHandshake(t *testing.T) {
	a := authority(t, t.TempDir())
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(a.Root()) {
		t.Fatalf("no certificate in %q", a.Root())
	}
	near, far := net.Pipe()
	defer near.Close()
	server := tls.Server(far, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return a.Certificate(spec.Host{Text: hello.ServerName})
	}})
	ended := make(chan error, 1)
	go func() { ended <- server.Handshake(); far.Close() }()
	if err := tls.Client(near, &tls.Config{ServerName: "a.localhost", RootCAs: pool}).Handshake(); err != nil {
		t.Errorf("the client: %v", err)
	}
	near.Close()
	if err := <-ended; err != nil {
		t.Errorf("the server: %v", err)
	}
}

func TestStopGapHasNoName(t *testing.T) {
	now := time.Now()
	cert, err := StopGap(now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Leaf
	if leaf.Subject.CommonName != "fairlead stop-gap" || len(leaf.DNSNames)+len(leaf.IPAddresses) != 0 || leaf.IsCA {
		t.Errorf("subject %s, names %v %v, authority %v: want no names", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.IsCA)
	}
	if from, until := now.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now); from.Round(time.Hour) != dayBack || until.Round(time.Hour) != rootLife {
		t.Errorf("it holds from %s ago for %s, want %s and %s", from, until, dayBack, rootLife)
	}
	for _, name := range []string{"localhost", "fairlead stop-gap", ""} {
		if err := leaf.VerifyHostname(name); err == nil {
			t.Errorf("it is valid for %q", name)
		}
	}
	again, err := StopGap(now)
	if err != nil || again.Leaf.Equal(leaf) {
		t.Errorf("a second one is the same, %v", err)
	}
}

func BenchmarkCertificate(b *testing.B) {
	a, err := New(Config{Store: storage.Open(b.TempDir(), zerolog.Nop()), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	h := host(b, "a.localhost")
	ask := func(b *testing.B) {
		if _, err := a.Certificate(h); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			a.Keep(nil)
			ask(b)
		}
	})
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			ask(b)
		}
	})
	b.Run("warm on all processors", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				ask(b)
			}
		})
	})
}

// Clients accept no wildcard right below a top-level name.
func TestNamesRightBelowATopLevelNameGetTheirOwn(t *testing.T) {
	a := authority(t, t.TempDir())
	for pattern, want := range map[string]string{"*.localhost": "x.localhost", "*.app.localhost": "*.app.localhost"} {
		name := "x" + pattern[1:]
		cert, err := a.Under(host(t, pattern), name)
		if err != nil || cert.Leaf.DNSNames[0] != want {
			t.Errorf("%s under %s: %v, %v, want a certificate for %s", name, pattern, cert, err, want)
		}
	}
	for i := range maxInvented + 10 {
		if _, err := a.Under(host(t, "*.localhost"), fmt.Sprintf("n%d.localhost", i)); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := a.Under(host(t, "*.localhost"), "late.localhost")
	if err != nil || cert.Leaf.DNSNames[0] != "*.localhost" {
		t.Errorf("after %d invented names: %v, %v, want that of the wildcard", maxInvented, cert, err)
	}
}
