package public

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/certs/storage"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCert returns a key and a certificate for host as PEM.
func newCert(t testing.TB, host string, from, to time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, DNSNames: []string{host}, NotBefore: from, NotAfter: to}, &x509.Certificate{SerialNumber: serial}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	pem.Encode(&out, &pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
	pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return out.Bytes()
}

// A world is an authority that does as it is told, and what was asked of it.
type world struct {
	testing.TB
	store *storage.Store
	dir   string
	life  time.Duration
	skew  time.Duration // of our clock against the authority's
	cfg   Config

	mu     sync.Mutex
	orders map[string][]time.Time
	done   []string
	fail   func(host string, n int) error // nil is none
	reach  func(host string) error
	checks int
	by     acme.Challenge // of the check
	asked  acme.Challenge // of the last order
}

// newWorld must be called in a bubble.
func newWorld(t testing.TB, dir string) *world {
	w := &world{TB: t, dir: dir, store: storage.Open(dir, zerolog.Nop()), life: 90 * 24 * time.Hour, orders: map[string][]time.Time{}, by: acme.HTTP01}
	w.cfg = Config{
		Store: w.store, Dir: "acme/test", Authority: "acme.test", Limits: LimitsOf(""), Log: zerolog.Nop(),
		Order: w.order, Done: func(host string) { w.mu.Lock(); defer w.mu.Unlock(); w.done = append(w.done, host) },
		Preflight: func(_ context.Context, host string) (acme.Challenge, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.checks++
			if w.reach != nil {
				if err := w.reach(host); err != nil {
					return w.by, err
				}
			}
			return w.by, nil
		},
		Now: func() time.Time { return time.Now().Add(w.skew) },
	}
	return w
}

func (w *world) order(_ context.Context, host string, by acme.Challenge) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = by
	w.orders[host] = append(w.orders[host], time.Now())
	if w.fail != nil {
		if err := w.fail(host, len(w.orders[host])); err != nil {
			return nil, err
		}
	}
	return newCert(w, host, time.Now(), time.Now().Add(w.life)), nil
}

func (w *world) ordered(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.orders[host])
}

func (w *world) checked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checks
}

// run starts the certificates of one process, which want hosts.
func (w *world) run(hosts ...string) (c *Certificates, stop func()) {
	w.Helper()
	c = New(w.cfg)
	c.Want(hosts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { c.Run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.Cleanup(stop)
	synctest.Wait()
	return c, stop
}

// after lets d pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) state(c *Certificates, host string) State {
	w.Helper()
	for _, s := range c.States() {
		if s.Host == host {
			return s
		}
	}
	w.Fatalf("nothing is known of %s", host)
	return State{}
}

// bubble runs f in a bubble with a directory of its own, and stops what f ran
// before the bubble ends.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, dir)) })
}
