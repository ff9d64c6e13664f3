package files

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/logtest"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a condition may take to come true on a busy machine.
const patience = 20 * time.Second

// A room is Files over a directory of their own, with the reader of secrets that
// the program has.
type room struct {
	*Files
	t       testing.TB
	dir     string
	logs    *logtest.Buffer
	changed atomic.Int64 // calls of Changed
	clock   atomic.Int64 // what is added to the time
	reads   atomic.Int64 // calls of Secret
}

func newRoom(t testing.TB, change func(*Config)) *room {
	t.Helper()
	r := &room{t: t, dir: t.TempDir(), logs: &logtest.Buffer{}}
	read := secretsBelow(r.dir)
	c := Config{
		Secret: func(ref string) ([]byte, error) { r.reads.Add(1); return read(ref) },
		Dir:    r.dir, Log: zerolog.New(r.logs), Quiet: 10 * time.Millisecond, Poll: time.Hour,
		Now:     func() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) },
		Changed: func() { r.changed.Add(1) },
	}
	if change != nil {
		change(&c)
	}
	r.Files = New(c)
	return r
}

// secretsBelow reads files as the program does: through os.Root, which opens
// nothing that lies or leads outside dir.
func secretsBelow(dir string) func(ref string) ([]byte, error) {
	return func(ref string) ([]byte, error) {
		path, file := strings.CutPrefix(ref, "file:")
		if !file {
			if text, set := os.LookupEnv(strings.TrimPrefix(ref, "env:")); set {
				return []byte(text), nil
			}
			return nil, fmt.Errorf("environment variable %s is not set in the proxy", strings.TrimPrefix(ref, "env:"))
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return root.ReadFile(below)
	}
}

// run watches until the test ends.
func (r *room) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run = %v, want nil when its context ends", err)
		}
	})
}

// until waits for ok.
func (r *room) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("%s did not come true in %v; troubles %+v, log:\n%s", what, patience, r.Troubles(), r.logs)
		}
	}
}

// put writes name below the directory.
func (r *room) put(name string, parts ...[]byte) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// swap puts a file, or with to a link, in the place of name at once.
func (r *room) swap(name, to string, parts ...[]byte) {
	r.t.Helper()
	if to == "" {
		r.put(name+".new", parts...)
	} else if err := os.Symlink(to, filepath.Join(r.dir, name+".new")); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, name+".new"), filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) ref(name string) string { return "file:" + filepath.Join(r.dir, name) }

// pair is the policy of the files cert and key.
func (r *room) pair(cert, key string) spec.TLSPolicy {
	return spec.TLSPolicy{Mode: spec.TLSFile, Cert: r.ref(cert), Key: r.ref(key)}
}

func (r *room) mustCheck(p spec.TLSPolicy) {
	r.t.Helper()
	if err := r.Check(p); err != nil {
		r.t.Fatalf("Check(%+v) = %v, want nil", p, err)
	}
}

// use makes p live for hosts.
func (r *room) use(p spec.TLSPolicy, hosts ...string) { r.Use(named(r.t, p, hosts...)) }

func named(t testing.TB, p spec.TLSPolicy, hosts ...string) (all []spec.TLSHost) {
	t.Helper()
	for _, h := range hosts {
		all = append(all, spec.TLSHost{Host: host(t, h), Policy: p})
	}
	return all
}

func host(t testing.TB, text string) spec.Host {
	t.Helper()
	if re, ok := strings.CutPrefix(text, "~"); ok {
		return spec.Host{Kind: spec.RegexpHost, Text: re}
	}
	h, err := spec.ParseHostPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantTroubles holds what Troubles says against parts of it, in order.
func (r *room) wantTroubles(want ...string) {
	r.t.Helper()
	got := r.Troubles()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.Contains(got[i].Message+" | "+got[i].Fix, want[i]) {
			r.t.Errorf("got troubles %+v, want %d, with %q in them", got, len(want), want)
			return
		}
	}
}

// A maker makes a certificate; what it does not say is plausible.
type maker struct {
	cn          string
	names       []string
	ips         []string
	key         crypto.Signer // nil is a new one
	by          *made         // nil signs itself
	ca          bool
	from, until time.Time
}

// made is a certificate with its key.
type made struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serials atomic.Int64

func (m maker) make(t testing.TB) *made {
	t.Helper()
	if m.key == nil {
		m.key = newECKey(t)
	}
	if m.from.IsZero() {
		m.from = time.Now().Add(-time.Hour)
	}
	if m.until.IsZero() {
		m.until = time.Now().Add(24 * time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: m.cn}, DNSNames: m.names,
		NotBefore: m.from, NotAfter: m.until, IsCA: m.ca, BasicConstraintsValid: true,
	}
	for _, ip := range m.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	parent, signer := template, m.key
	if m.by != nil {
		parent, signer = m.by.cert, m.by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, m.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &made{cert, m.key}
}

// forHost is a certificate for names, signed by itself.
func forHost(t testing.TB, names ...string) *made {
	t.Helper()
	return maker{cn: names[0], names: names}.make(t)
}

func newECKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// crt is the certificate in PEM.
func (m *made) crt() []byte { return block("CERTIFICATE", m.cert.Raw) }

// pkcs8 is the key in PEM.
func (m *made) pkcs8(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(m.key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
