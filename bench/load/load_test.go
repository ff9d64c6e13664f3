//go:build linux

package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/bench/origin"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// throughProxy runs an origin with net/http's proxy before it, and returns where
// the proxy listens.
func throughProxy(t *testing.T) netip.AddrPort {
	t.Helper()
	o, err := origin.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Serve(ctx) }()
	to, err := url.Parse("http://" + o.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("origin: %v", err)
		}
	})
	return serve(t, &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
	})
}

func serve(t *testing.T, h http.Handler) netip.AddrPort {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func requests(method, path string, body []byte) [][]byte {
	return [][]byte{
		Request(method, "a.test", path, []string{"Accept: */*"}, body),
		Request(method, "b.test", path, nil, body),
	}
}

// The whole way: generator, a proxy, origin. A number of requests, not a time:
// each is answered as wanted.
func TestEveryRequestIsAnsweredThroughAProxy(t *testing.T) {
	addr := throughProxy(t)
	for _, tt := range []struct {
		name         string
		method, path string
		body         []byte
		want         int64
		rate, count  int
	}{
		{"small", "GET", origin.Small, nil, origin.SmallN, 0, 500},
		{"post", "POST", origin.Sink, make([]byte, 64<<10), origin.SinkN, 0, 50},
		{"big", "GET", origin.Big, nil, origin.BigN, 0, 20},
		{"rate", "GET", origin.Small, nil, origin.SmallN, 2000, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Plan{Addr: addr, Conns: 8, Send: requests(tt.method, tt.path, tt.body), Want: tt.want, Rate: tt.rate, Count: tt.count}
			r, err := p.Run()
			if err != nil || r.Errors > 0 || r.Requests != uint64(tt.count) {
				t.Fatalf("%d requests answered, %d errors (%s), %v: want %d and none", r.Requests, r.Errors, r.Error, err, tt.count)
			}
			if r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.P999 || r.P999 > r.Elapsed+time.Second {
				t.Errorf("p50 %s, p99 %s, p999 %s of a run of %s: want them to rise, within it", r.P50, r.P99, r.P999, r.Elapsed)
			}
		})
	}
}

func TestARunOfAGivenTimeEnds(t *testing.T) {
	const length = 20 * time.Millisecond
	for _, rate := range []int{0, 1000} {
		p := Plan{Addr: throughProxy(t), Conns: 4, Send: requests("GET", origin.Small, nil), Want: origin.SmallN, Rate: rate, For: length}
		r, err := p.Run()
		if err != nil || r.Errors > 0 || r.Requests == 0 || r.Elapsed < length {
			t.Errorf("rate %d: %d requests in %s, %d errors (%s), %v: want some, and the whole time", rate, r.Requests, r.Elapsed, r.Errors, r.Error, err)
		}
		if want := uint64(length / (time.Second / 1000)); rate > 0 && r.Requests != want {
			t.Errorf("got %d requests at a fixed rate, want %d", r.Requests, want)
		}
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "status 502"},
		{"length", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no") }, "an answer of 2 bytes, want 128"},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, errClosed.Error()},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "128")
			io.WriteString(w, "begun")
			panic(http.ErrAbortHandler)
		}, errClosed.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 6
			p := Plan{Addr: serve(t, tt.answer), Conns: 2, Send: requests("GET", "/", nil), Want: 128, Count: n}
			r, err := p.Run()
			if err != nil || r.Requests != 0 || r.Errors != n || !strings.Contains(r.Error, tt.want) {
				t.Errorf("%d answered, %d errors (%s), %v: want %d errors (%s)", r.Requests, r.Errors, r.Error, err, n, tt.want)
			}
		})
	}
}

// A proxy that stalls is charged for every request that was due meanwhile, not
// only for the one it had: here the first answer waits until 20 more are due on
// the only connection.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	const rate, n = 1000, 20
	const interval = time.Second / rate
	var asked atomic.Int64
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			<-time.After(n * interval)
		}
		io.WriteString(w, "ok")
	}))
	p := Plan{Addr: addr, Conns: 1, Send: requests("GET", "/", nil), Want: 2, Rate: rate, Count: n}
	r, err := p.Run()
	if err != nil || r.Requests != n {
		t.Fatalf("%d answered, %d errors (%s), %v", r.Requests, r.Errors, r.Error, err)
	}
	if least := n / 2 * interval; r.P50 < least {
		t.Errorf("half of the requests waited %s at most, want %s at least: they were due meanwhile", r.P50, least)
	}
}

func TestHandshakesAndIdleConnections(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "a.test" {
			io.WriteString(w, "ok")
		}
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().(*net.TCPAddr).AddrPort()
	r, err := Handshake{Addr: addr, Host: "a.test", Workers: 2, For: time.Millisecond}.Run()
	if err != nil || r.Requests < 2 || r.Errors > 0 {
		t.Errorf("%d handshakes, %d errors (%s), %v: want one of each worker at least", r.Requests, r.Errors, r.Error, err)
	}
	r, release, err := Idle{Addr: addr, TLS: true, Host: "a.test", Path: "/", Conns: 5, Want: 2}.Open()
	defer release()
	if err != nil || r.Requests != 5 || r.Errors > 0 {
		t.Errorf("%d idle connections, %d errors (%s), %v: want 5", r.Requests, r.Errors, r.Error, err)
	}
	r, release, err = Idle{Addr: addr, TLS: true, Host: "b.test", Path: "/", Conns: 5, Want: 2}.Open()
	defer release()
	if err != nil || r.Errors != 5 {
		t.Errorf("%d errors, %v: want 5, for answers without the body", r.Errors, err)
	}
}

func TestATaskIsReadAndItsResultWritten(t *testing.T) {
	var out strings.Builder
	task := Task{Plan: &Plan{Addr: throughProxy(t), Conns: 1, Send: requests("GET", origin.Small, nil), Want: origin.SmallN, Count: 3}}
	if err := task.Run(strings.NewReader(""), &out); err != nil || !strings.Contains(out.String(), `"requests":3,"errors":0`) {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := (Task{}).Run(nil, &out); err == nil {
		t.Error("an empty task: want an error")
	}
}
