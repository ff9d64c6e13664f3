package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// origin is a server whose connections are served by a func, byte for byte.
type origin struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // all that were accepted
}

func serveRaw(t testing.TB, serve func(n int, c net.Conn, r *bufio.Reader)) *origin {
	t.Helper()
	return serveRawAt(t, "127.0.0.1:0", serve)
}

func serveRawAt(t testing.TB, addr string, serve func(n int, c net.Conn, r *bufio.Reader)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns = append(o.conns, c)
			o.mu.Unlock()
			running.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		o.mu.Lock()
		for _, c := range o.conns {
			c.Close()
		}
		o.mu.Unlock()
		running.Wait()
	})
	return o
}

func (o *origin) accepted() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns)
}

// says answers every request, read to the end of its body, with answer.
func says(answer string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// readRequest reads one request and returns its head as it came.
func readRequest(r *bufio.Reader) (head string, err error) {
	head, err = readHead(r)
	if err != nil {
		return head, err
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), oneByte{r})))
	if err != nil {
		return head, err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return head, err
}

// oneByte keeps the reader above it from reading ahead of what it needs.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

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
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Set(spec.Pool{Key: c.Key, Endpoints: eps})
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
