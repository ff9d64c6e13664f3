package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// apps are what listens on a network in memory, for tests in virtual time.
type apps struct {
	mu   sync.Mutex
	at   map[string]func(request string) string
	open map[string][]net.Conn
	done sync.WaitGroup
}

func newApps() *apps {
	return &apps{at: map[string]func(string) string{}, open: map[string][]net.Conn{}}
}

// run has an app at addr answer each request, given by its head. An empty
// answer closes the connection.
func (a *apps) run(addr string, answer func(request string) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[addr] = answer
}

// name has an app at addr answer its name.
func (a *apps) name(addr, name string) {
	a.run(addr, func(string) string { return answerOf(200, name) })
}

func answerOf(status int, body string) string {
	var b strings.Builder
	(&http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}).Write(&b)
	return b.String()
}

// kill is the end of the app at addr.
func (a *apps) kill(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.at, addr)
	for _, c := range a.open[addr] {
		c.Close()
	}
	delete(a.open, addr)
}

func (a *apps) dial(_ context.Context, _, addr string) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at[addr] == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	a.open[addr] = append(a.open[addr], far)
	a.done.Go(func() {
		defer far.Close()
		r := bufio.NewReader(far)
		for {
			head, err := readRequest(r)
			if err != nil {
				return
			}
			a.mu.Lock()
			answer := a.at[addr]
			a.mu.Unlock()
			if answer == nil {
				return
			}
			text := answer(head)
			if text == "" {
				return
			}
			if _, err := io.WriteString(far, text); err != nil {
				return
			}
		}
	})
	return near, nil
}

// inVirtualTime runs a test with apps, a prober over them, and a way to make
// pools of them.
func inVirtualTime(t *testing.T, test func(t *testing.T, a *apps, pool func(options label.Options, eps ...spec.Endpoint) *Pool)) {
	synctest.Test(t, func(t *testing.T) {
		a := newApps()
		ctx, cancel := context.WithCancel(context.Background())
		prober := &Prober{Dial: a.dial}
		var running sync.WaitGroup
		running.Go(func() { prober.Run(ctx) })
		var pools []*Pool
		test(t, a, func(options label.Options, eps ...spec.Endpoint) *Pool {
			p, err := New(Config{Key: "shop/web:80", Prober: prober, Dial: a.dial, Poison: true})
			if err != nil {
				t.Fatal(err)
			}
			pools = append(pools, p)
			p.Set(spec.Pool{Key: "shop/web:80", Endpoints: eps, Options: options, Host: "shop.example"})
			p.Enter()
			return p
		})
		for _, p := range pools {
			p.Close()
		}
		cancel()
		running.Wait()
		for addr := range a.open {
			a.kill(addr)
		}
		a.done.Wait()
	})
}

// stage replaces the endpoints of p and leaves its options, as a table does that
// is about to take over.
func (p *Pool) stage(eps ...spec.Endpoint) {
	p.Set(spec.Pool{Key: p.key, Endpoints: eps, Options: p.options, Host: p.host})
}

// set is stage by a table that is live.
func (p *Pool) set(eps ...spec.Endpoint) {
	p.stage(eps...)
	p.Enter()
}

// in returns e in another state.
func in(s spec.State, e spec.Endpoint) spec.Endpoint {
	e.State = s
	return e
}

// with returns e with one more option.
func with(e spec.Endpoint, kind string, o any) spec.Endpoint {
	options := label.Options{kind: o}
	for k, v := range e.Options {
		options[k] = v
	}
	e.Options = options
	return e
}

// An outcome is what became of a request: the app's answer, or an error, and
// how long it took.
type outcome struct {
	status  int
	body    string
	err     error
	took    time.Duration
	held    time.Duration
	retries int
	header  http.Header
}

// ask sends a request that may be held for so long.
func ask(p *Pool, hold time.Duration, method string, change ...func(*http.Request, *exchange.Exchange)) outcome {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("x")
	}
	r, err := http.NewRequest(method, "http://shop.example/", body)
	if err != nil {
		return outcome{err: err}
	}
	r.RequestURI = "/"
	x, _, r := exchange.Begin(nil, r)
	x.Timeouts, x.Further = &exchange.Timeouts{Connect: 5 * time.Second, Hold: hold}, 2
	for _, f := range change {
		f(r, x)
	}
	began := time.Now()
	resp, err := p.RoundTrip(r)
	o := outcome{err: err, took: time.Since(began), held: x.Held, retries: x.Retries}
	if err == nil {
		o.header = resp.Header.Clone()
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		o.status, o.body = resp.StatusCode, string(b)
	}
	return o
}

// askLater is ask in a goroutine of its own.
func askLater(p *Pool, hold time.Duration, method string, change ...func(*http.Request, *exchange.Exchange)) <-chan outcome {
	done := make(chan outcome, 1)
	go func() { done <- ask(p, hold, method, change...) }()
	return done
}

// pass has time go by.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }
