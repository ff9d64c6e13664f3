package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/conntest"
	"github.com/fairlead/fairlead/routing/upstream/transporttest"
	"github.com/fairlead/fairlead/spec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type origin = transporttest.Origin

const hello = transporttest.Hello

var (
	serveRaw    = transporttest.Serve
	serveRawAt  = transporttest.ServeAt
	says        = transporttest.Says
	readRequest = transporttest.ReadRequest
	readHead    = conntest.ReadHead
)

func endpointAt(name string, l net.Listener) spec.Endpoint {
	return endpoint4(name, l.Addr().String())
}

func endpoint4(name, addr string) spec.Endpoint {
	return spec.Endpoint{ID: "id-" + name, Container: name, StartedAt: began, State: spec.Running, Scheme: "http", Addr: netip.MustParseAddrPort(addr)}
}

func poolOf(t testing.TB, c Config, eps ...spec.Endpoint) *Pool {
	t.Helper()
	if c.Key == "" {
		c.Key = "shop/web:8080/http"
	}
	_, measured := t.(*testing.B)
	c.Poison = !measured
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Set(spec.Pool{Key: c.Key, Endpoints: eps})
	p.Enter()
	return p
}

// request makes a server's request, as it stands behind the exchange stage.
func request(t testing.TB, method, target string, body io.Reader) (*http.Request, *exchange.Exchange) {
	t.Helper()
	r, err := http.NewRequest(method, "http://shop.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = target
	if body != nil && r.ContentLength == 0 {
		r.ContentLength = -1 // as a server says it
	}
	x, _, r := exchange.Begin(nil, r)
	return r, x
}

func get(t testing.TB, p *Pool, target string) (status int, body string, err error) {
	t.Helper()
	r, _ := request(t, "GET", target, nil)
	return do(t, p, r)
}

func do(t testing.TB, p *Pool, r *http.Request) (status int, body string, err error) {
	t.Helper()
	resp, err := p.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); cerr != nil {
		t.Errorf("close: %v", cerr)
	}
	return resp.StatusCode, string(b), err
}

func withTimeouts(r *http.Request, x *exchange.Exchange, limits exchange.Timeouts) *http.Request {
	x.Timeouts = &limits
	return r
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func states(p *Pool) string {
	var b strings.Builder
	for i, s := range p.Endpoints() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.Container + "=" + s.State)
	}
	return b.String()
}

// runProber runs p until the test ends.
func runProber(t testing.TB, p *Prober) *Prober {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("prober: %v", err)
		}
	})
	return p
}
