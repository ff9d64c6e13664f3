package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const year = 365 * 24 * time.Hour

// A start is how a process finds the directory and the world.
type start struct {
	names spec.Names
	clock time.Duration // how far it is ahead
	log   bytes.Buffer
}

// in starts an authority in dir.
func (s *start) in(t testing.TB, dir string) *Authority {
	t.Helper()
	a, err := New(Config{
		Store: storage.Open(dir, zerolog.Nop()), Names: s.names, Log: zerolog.New(&s.log),
		Now: func() time.Time { return time.Now().Add(s.clock) },
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return a
}

// said checks what was logged at level, "" for nothing at all.
func (s *start) said(t *testing.T, level, text string) {
	t.Helper()
	got := s.log.String()
	if level == "" && got != "" || level != "" && (!strings.Contains(got, `"level":"`+level+`"`) || !strings.Contains(got, text)) {
		t.Errorf("the log says %q, want %s %q", got, level, text)
	}
}

func authority(t testing.TB, dir string) *Authority {
	t.Helper()
	return new(start).in(t, dir)
}

func host(t testing.TB, text string) spec.Host {
	t.Helper()
	h, err := spec.ParseHostPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func certificate(t testing.TB, a *Authority, pattern string) *tls.Certificate {
	t.Helper()
	cert, err := a.Certificate(host(t, pattern))
	if err != nil {
		t.Fatalf("Certificate(%s): %v", pattern, err)
	}
	return cert
}

// verify checks cert as a client does that has installed root.
func verify(root *x509.Certificate, cert *tls.Certificate, name string) error {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: cert.Leaf.NotBefore.Add(leafBack + time.Minute)})
	return err
}

func wantTrust(t *testing.T, root *x509.Certificate, a *Authority, name string) {
	t.Helper()
	if err := verify(root, certificate(t, a, name), name); err != nil {
		t.Errorf("%s: %v, want it trusted", name, err)
	}
}

// sameKey checks that clients of one root may trust leaves of the other.
func sameKey(t *testing.T, got, want *x509.Certificate) {
	t.Helper()
	if !bytes.Equal(got.RawSubjectPublicKeyInfo, want.RawSubjectPublicKeyInfo) || !bytes.Equal(got.RawSubject, want.RawSubject) || !bytes.Equal(got.SubjectKeyId, want.SubjectKeyId) {
		t.Errorf("the root is %s with key id %x, want the key and name of %s with key id %x", got.Subject, got.SubjectKeyId, want.Subject, want.SubjectKeyId)
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, data []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), data, 0o600); err != nil {
		t.Fatal(err)
	}
}
