package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/conntest"
	"github.com/fairlead/fairlead/internal/servertest"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge is a Proxy behind a real server, in front of one origin.
type edge struct {
	*servertest.Server
	proxy   *Proxy
	handler http.Handler
	done    chan exchange.Exchange // one for each request, after it was served
}

func newEdge(t testing.TB, addr string, edit ...func(p *Proxy)) *edge {
	t.Helper()
	pool, err := upstream.New(upstream.Config{Key: "shop/web:80/http", Poison: true})
	if err != nil {
		t.Fatal(err)
	}
	pool.Set(spec.Pool{Endpoints: []spec.Endpoint{{
		ID: "id", Container: "shop-web-1", StartedAt: time.Unix(1, 0), State: spec.Running, Scheme: "http", Addr: netip.MustParseAddrPort(addr),
	}}})
	pool.Enter()
	e := &edge{proxy: &Proxy{Transport: pool}, done: make(chan exchange.Exchange, 1000)}
	for _, f := range edit {
		f(e.proxy)
	}
	t.Cleanup(pool.Close)
	e.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Begin(w, r)
		defer func() {
			e.done <- exchange.Exchange{Code: x.Code, Cause: x.Cause, Response: exchange.Writer{Status: x.Response.Status, Bytes: x.Response.Bytes}}
		}()
		e.proxy.ServeHTTP(w, r)
	})
	e.Server = servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }))
	return e
}

// app is an origin on net/http.
func app(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// rawApp is an origin whose connections are served byte for byte.
func rawApp(t testing.TB, serve func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// dial opens a connection to e that is written and read byte for byte.
func (e *edge) dial(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func (e *edge) get(t testing.TB, path string) (*http.Response, string) {
	t.Helper()
	resp, err := e.Client.Get(e.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestProxyPassesBothWays(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-App", "1")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(418)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
	})
	e := newEdge(t, addr)
	req, _ := http.NewRequest("POST", e.URL+"/a?b", strings.NewReader("body"))
	req.Host = "shop.example"
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 418 || string(body) != "POST /a?b shop.example body" || resp.Header.Get("X-App") != "1" || len(resp.Header["Set-Cookie"]) != 2 {
		t.Errorf("got %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if x := <-e.done; x.Response.Status != 418 || x.Response.Bytes != int64(len(body)) {
		t.Errorf("noted: status %d, %d bytes", x.Response.Status, x.Response.Bytes)
	}
}

func TestProxyTargetByteForByte(t *testing.T) {
	targets := make(chan string, 1)
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := conntest.ReadHead(r)
			if err != nil {
				return
			}
			line, _, _ := strings.Cut(head, "\r\n")
			targets <- line
			io.WriteString(c, hello)
		}
	}))
	for _, target := range []string{"//a//b", "/{}|\"", "/?a=1;b=2&%zz", "/a;v=1", "/%2F%5c", "/caf\xc3\xa9?\xff", "/a?", "/a?b?c"} {
		c, r := e.dial(t)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n", target)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("target %q: got %d", target, resp.StatusCode)
			continue
		}
		if got, want := <-targets, "GET "+target+" HTTP/1.1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProxyHostHeader(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	for setting, want := range map[string]string{"": "shop.example", "client": "shop.example", "upstream": addr, "other.example:1": "other.example:1"} {
		e := newEdge(t, addr, func(p *Proxy) { p.HostHeader = setting })
		req, _ := http.NewRequest("GET", e.URL, nil)
		req.Host = "shop.example"
		resp, err := e.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("%q: got %s, want %s", setting, got, want)
		}
	}
}

func TestProxyStripsTheConnectionsFields(t *testing.T) {
	heads := make(chan string, 1)
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		head, _ := conntest.ReadHead(r)
		heads <- head
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-Hop, Content-Length\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-App: 1\r\nContent-Length: 5\r\n\r\nhello")
	}))
	c, r := e.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nKeep-Alive: 300\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n"+
		"Proxy: http://evil\r\nTE: trailers, deflate\r\nX-App: 1\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	head := <-heads
	for _, name := range []string{"Connection:", "Keep-Alive:", "Proxy-Connection:", "Proxy-Authorization:", "Proxy:", "deflate"} {
		if strings.Contains(head, "\r\n"+name) || name == "deflate" && strings.Contains(head, name) {
			t.Errorf("the endpoint got %s\n%s", name, head)
		}
	}
	if !strings.Contains(head, "\r\nTe: trailers\r\n") || !strings.Contains(head, "\r\nX-App: 1\r\n") {
		t.Errorf("the endpoint lacks Te or X-App:\n%s", head)
	}
	got := slices.Sorted(maps.Keys(resp.Header))
	if want := []string{"Content-Length", "Date", "X-App"}; !slices.Equal(got, want) {
		t.Errorf("the client got %v, want %v", got, want)
	}
}

func TestProxyRefusals(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for _, tt := range []struct {
		name   string
		rt     roundTripper
		status int
		code   string
		retry  string
	}{
		{"no endpoint", fails(&upstream.Unavailable{Pool: "secret-pool", Reason: "secret"}), 503, "no-endpoint", "5"},
		{"connect", fails(&upstream.ConnectError{Container: "secret", Endpoint: "secret", Reason: "secret", Err: errors.New("secret")}), 502, "connect-failed", ""},
		{"timeout", fails(&upstream.TimeoutError{Container: "secret", Phase: upstream.Responding}), 504, "timeout", ""},
		{"broken", fails(&upstream.BrokenError{Container: "secret", Err: errors.New("secret")}), 502, "bad-answer", ""},
		{"any other", fails(errors.New("secret")), 502, "bad-answer", ""},
		{"too large", fails(&upstream.RequestError{Err: &http.MaxBytesError{Limit: 1}}), 413, "body-too-large", ""},
		{"malformed", fails(&upstream.RequestError{Err: errors.New("secret")}), 400, "bad-request", ""},
	} {
		e := newEdge(t, "127.0.0.1:1", func(p *Proxy) { p.Transport = tt.rt })
		resp, body := e.get(t, "/")
		if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retry || strings.Contains(body, "secret") {
			t.Errorf("%s: got %d, Retry-After %q, %q; want %d, %q", tt.name, resp.StatusCode, resp.Header.Get("Retry-After"), body, tt.status, tt.retry)
		}
		if x := <-e.done; x.Code != tt.code || x.Cause == nil {
			t.Errorf("%s: noted %s %v, want %s", tt.name, x.Code, x.Cause, tt.code)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func fails(err error) roundTripper {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func TestProxyInterimAnswersAndTrailers(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Client"))
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "43")
	})
	e := newEdge(t, addr)
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprintf("%d %s", code, h.Get("Link")))
		return nil
	}}
	pr, pw := io.Pipe()
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "POST", e.URL, pr)
	req.Trailer = http.Header{"X-Client": nil}
	go func() {
		io.WriteString(pw, "body")
		req.Trailer.Set("X-Client", "41")
		pw.Close()
	}()
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "body 41" {
		t.Errorf("body and the client's trailer: got %q", body)
	}
	if got := fmt.Sprint(hints); got != "[103 </a.css>; rel=preload]" {
		t.Errorf("interim answers: got %s", got)
	}
	if resp.Header.Get("Link") != "" {
		t.Error("the interim answer's field is in the final one")
	}
	if resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-Unannounced") != "43" {
		t.Errorf("trailers: got %v", resp.Trailer)
	}
}

func TestProxyTellsHTTP10ClientsNothingInterim(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+hello)
	}))
	c, r := e.dial(t)
	io.WriteString(c, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	got, _ := io.ReadAll(r)
	if bytes.Contains(got, []byte("103")) || !bytes.HasSuffix(got, []byte("hello")) {
		t.Errorf("got %q", got)
	}
}

func TestProxyDoesNotGuessContentType(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
	}))
	if resp, _ := e.get(t, "/"); resp.Header.Get("Content-Type") != "" {
		t.Errorf("got Content-Type %q, which the app did not send", resp.Header.Get("Content-Type"))
	}
}

// sink is the cheapest ResponseWriter there is.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkProxy(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Fri, 20 Nov 2026 22:00:00 GMT\r\nServer: small\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("x", 128))
	addr := rawApp(b, func(c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	e := newEdge(b, addr, func(p *Proxy) {
		p.Timeouts = exchange.Timeouts{Connect: 5 * time.Second, Response: 5 * time.Minute, Idle: time.Hour}
	})
	r := httptest.NewRequest("GET", "/", nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r = r.WithContext(ctx)
	s := &sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(s.h)
		_, w, r := exchange.Begin(s, r)
		e.proxy.ServeHTTP(w, r)
	}
}
