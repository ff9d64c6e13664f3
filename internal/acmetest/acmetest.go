// Package acmetest is an ACME authority for tests: Pebble, in the process of the
// test, with a DNS of its own and faults on demand.
package acmetest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"go.uber.org/goleak"
)

// Options say how a CA behaves.
type Options struct {
	HTTPPort, TLSPort int               // where validations are sent
	Validity          time.Duration     // of certificates; 0 means 90 days
	EAB               map[string]string // key id → HMAC in base64url; if set, a binding is required
	BadNonces         int               // percent of good nonces that are refused
}

// A CA is a running authority.
type CA struct {
	Directory string // URL
	srv       *httptest.Server
	ca        *ca.CAImpl
	names     *names

	mu     sync.Mutex // guards what is below
	orders map[string]int
	asked  map[string]int // requests by kind
	fault  func(kind string, n int) *Fault
}

// A Fault is what happens instead of an answer.
type Fault struct {
	Status     int    // of a problem document
	Type       string // such as "rateLimited"
	Detail     string
	RetryAfter string
	Body       string        // instead of a problem document
	Cut        bool          // the connection breaks, and the authority has not heard the request
	Swallow    bool          // the authority does what it was asked, and its answer is lost
	Delay      time.Duration // before all that, or before the true answer if there is nothing else
}

// environment is read by Pebble when it is made.
var environment sync.Mutex

// New starts a CA. Every name resolves to 127.0.0.1 unless SetDNS says otherwise.
func New(t testing.TB, o Options) *CA {
	t.Helper()
	c := &CA{orders: map[string]int{}, asked: map[string]int{}, names: serveNames(t)}
	quiet := log.New(io.Discard, "", 0)
	if o.Validity == 0 {
		o.Validity = 90 * 24 * time.Hour
	}
	environment.Lock()
	defer environment.Unlock()
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", strconv.Itoa(o.BadNonces))
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	store := db.NewMemoryStore()
	for kid, mac := range o.EAB {
		if err := store.AddExternalAccountKeyByID(kid, mac); err != nil {
			t.Fatal(err)
		}
	}
	profile := map[string]ca.Profile{"default": {ValidityPeriod: uint64(o.Validity / time.Second)}}
	c.ca = ca.New(quiet, store, "", "ecdsa", 0, 1, profile)
	validator := va.New(quiet, o.HTTPPort, o.TLSPort, false, c.names.addr, store)
	front := wfe.New(quiet, store, validator, c.ca, []string{"acmetest.invalid"}, false, len(o.EAB) > 0, 1, 1)
	c.srv = httptest.NewUnstartedServer(c.between(front.Handler()))
	c.srv.Config.ErrorLog = quiet
	c.srv.StartTLS()
	t.Cleanup(c.srv.Close)
	c.Directory = c.srv.URL + wfe.DirectoryPath
	return c
}

// Bundle returns in PEM the authority that vouches for the directory's own host.
func (c *CA) Bundle() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.srv.Certificate().Raw})
}

// Roots returns what vouches for the certificates that c issues.
func (c *CA) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca.GetRootCert(0).Cert)
	return pool
}

// SetDNS makes host resolve to addrs alone; none means that nobody answers there.
func (c *CA) SetDNS(host string, addrs ...string) {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	c.names.a[host] = addrs
}

// FailDNS makes the resolution of host fail.
func (c *CA) FailDNS(host string) {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	c.names.fails[host] = true
}

// DNSAddr is the address of c's DNS server.
func (c *CA) DNSAddr() string { return c.names.addr }

// Resolver asks c's DNS.
func (c *CA) Resolver() *net.Resolver { return ResolverAt(c.names.addr) }

// ResolverAt asks the DNS server at addr.
func ResolverAt(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
}

// Orders returns how many orders for host the authority has accepted or been
// asked for; "" counts those of all hosts.
func (c *CA) Orders(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if host != "" {
		return c.orders[host]
	}
	n := 0
	for _, k := range c.orders {
		n += k
	}
	return n
}

// Asked returns how many requests of a kind there were.
func (c *CA) Asked(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[kind]
}

// SetFault has f decide about each request: its kind is "directory", "nonce",
// "account", "order" (a new one), "authz", "challenge", "poll" (an order),
// "finalize" or "cert", and n counts those of its kind from 1, since SetFault.
// nil, or a nil answer, is no fault.
func (c *CA) SetFault(f func(kind string, n int) *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.asked = f, map[string]int{}
}

var kinds = map[string]string{
	"/dir": "directory", "/nonce-plz": "nonce", "/sign-me-up": "account", "/order-plz": "order", "/authZ/": "authz",
	"/chalZ/": "challenge", "/my-order/": "poll", "/finalize-order/": "finalize", "/certZ/": "cert",
}

func kindOf(path string) string {
	for prefix, kind := range kinds {
		if path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return kind
		}
	}
	return "other"
}

// between counts requests, and puts faults before next.
func (c *CA) between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := kindOf(r.URL.Path)
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		c.mu.Lock()
		c.asked[kind]++
		var f *Fault
		if c.fault != nil {
			f = c.fault(kind, c.asked[kind])
		}
		if host := orderedHost(body); kind == "order" && (f == nil || !f.Cut && f.Status == 0) {
			c.orders[host]++
		}
		c.mu.Unlock()
		if f == nil {
			next.ServeHTTP(w, r)
			return
		}
		f.answer(w, r, next)
	})
}

func (f *Fault) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Swallow:
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case f.Status == 0:
		next.ServeHTTP(w, r)
		return
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Body != "" {
		w.WriteHeader(f.Status)
		io.WriteString(w, f.Body)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + f.Type, "detail": f.Detail, "status": f.Status})
}

// orderedHost reads the host out of a request for an order, "" if it is none.
func orderedHost(body []byte) string {
	var jws struct {
		Payload string `json:"payload"`
	}
	var order struct {
		Identifiers []struct {
			Value string `json:"value"`
		} `json:"identifiers"`
	}
	if json.Unmarshal(body, &jws) != nil {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || json.Unmarshal(payload, &order) != nil || len(order.Identifiers) == 0 {
		return ""
	}
	return order.Identifiers[0].Value
}

// LeakOptions are the goroutines of Pebble that nothing ends.
func LeakOptions() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreTopFunction("github.com/letsencrypt/pebble/v2/va.(*VAImpl).processTasks"),
	}
}
