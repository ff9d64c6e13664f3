package routing

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/alloctest"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/middleware"
)

// A desk is what an engine uses again for each request: the request, and the
// writer, which notes what it was asked for.
type desk struct {
	context.Context
	req          *http.Request
	header, lent http.Header
	status       int
	wasLent      bool
	writes       int
	bytes        int64
	file         bool        // was given to ReadFrom
	head         http.Header // as written, if it is wanted
}

func newDesk() *desk {
	d := &desk{Context: context.Background(), header: http.Header{}}
	d.req = (&http.Request{Method: "GET", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{Path: "/"}, Body: http.NoBody, RemoteAddr: "203.0.113.9:4711"}).WithContext(d)
	d.req.Header = http.Header{}
	return d
}

func (d *desk) Keep(r *http.Request) { d.req = r }

func (d *desk) Lend(h http.Header) bool {
	if len(d.header) > 0 {
		return false
	}
	d.lent, d.wasLent = h, true
	return true
}

func (d *desk) Header() http.Header {
	if d.lent != nil {
		return d.lent
	}
	return d.header
}

func (d *desk) WriteHeader(status int) {
	if d.head != nil {
		maps.Copy(d.head, d.Header())
	}
	d.status, d.lent = status, nil
}

func (d *desk) Write(p []byte) (int, error) {
	d.writes++
	d.bytes += int64(len(p))
	return len(p), nil
}

func (d *desk) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	_, d.file = src.(interface{ Stat() (os.FileInfo, error) })
	n, err := io.Copy(io.Discard, src)
	d.bytes += n
	return n, err
}

var browser = map[string][]string{
	"User-Agent": {"Mozilla/5.0"}, "Accept": {"text/html"}, "Accept-Language": {"en"}, "Accept-Encoding": {"gzip"}, "Connection": {"keep-alive"},
}

// serve has h answer a browser's GET.
func (d *desk) serve(h http.Handler, host, target string) {
	clear(d.req.Header)
	for name, values := range browser {
		d.req.Header[name] = values
	}
	d.req.Host, d.req.RequestURI = host, target
	h.ServeHTTP(d, d.req)
}

// shortly is a pool that answers at once, by what it has.
type shortly struct{ http.Response }

func (a *shortly) RoundTrip(*http.Request) (*http.Response, error) { return &a.Response, nil }

// wholeText is the body of an answer that came in one piece with its head.
type wholeText []byte

func (wholeText) Read([]byte) (int, error) { return 0, io.EOF }
func (wholeText) Close() error             { return nil }
func (b wholeText) Whole() ([]byte, bool)  { return b, true }

// shortWay returns the handler of an engine for shop.test, whose pool answers hello at once.
func shortWay(t testing.TB) (h http.Handler, answer *shortly) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: shop.test\n")
	answer = &shortly{http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: 5, Body: wholeText("hello")}}
	w.turn().Match(&Query{Host: "shop.test", Path: "/"}, nil).route.handler = &backend.Proxy{Transport: answer}
	return &exchange.Arrival{Entry: "http", EntryPort: "80", Next: w.live}, answer
}

var plainAnswer = http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"5"}}

// From the engine to the pool and back a request costs one allocation: its id.
func TestTheWayOfARequestAllocatesItsIdAlone(t *testing.T) {
	h, answer := shortWay(t)
	d := newDesk()
	alloctest.AtMost(t, 1, 100, func() {
		maps.Copy(answer.Header, plainAnswer)
		d.bytes = 0
		d.serve(h, "shop.test", "/a?b")
	})
	if d.status != 200 || d.bytes != 5 {
		t.Fatalf("status %d, %d bytes", d.status, d.bytes)
	}
}

// BenchmarkForward is the way of a request from the engine to the pool and back.
func BenchmarkForward(b *testing.B) {
	h, answer := shortWay(b)
	d := newDesk()
	b.ReportAllocs()
	for b.Loop() {
		maps.Copy(answer.Header, plainAnswer)
		d.serve(h, "shop.test", "/a?b")
	}
}

// longest is a route with every middleware that lets requests through.
const longest = `web web@shop
	host: shop.test/app
	strip: true
	add-prefix: /x
	header.request.X-A: {client-ip}
	header.response.X-B: DENY
	log: 10%
	maintenance: false
	test-counter: route
`

// Bodies must not pay for middlewares: the header of an answer is lent, what came
// whole is written as it is, and files reach the engine's ReadFrom.
func TestTheLongestChainKeepsTheLaneOpen(t *testing.T) {
	w := newWorld(t)
	w.read(longest)
	r := w.turn().Match(&Query{Host: "shop.test", Path: "/app"}, nil).route
	made(t) // so that no other test takes it for its own
	for _, k := range middleware.Kinds() {
		if _, ok := r.spec.Options[k.Name]; !ok && k.Name != "test-slow" {
			t.Errorf("the longest chain is without %s", k.Name)
		}
	}
	if t.Failed() {
		return
	}
	through := func(end http.Handler) http.Handler {
		h, problems := middleware.Chain(r.build, r.spec.Options, end)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		r.handler = h
		return &exchange.Arrival{Entry: "http", EntryPort: "80", Next: w.live}
	}
	answer := &shortly{http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: plainAnswer.Clone(), ContentLength: 5, Body: wholeText("hello")}}
	d := newDesk()
	d.head = http.Header{}
	d.serve(through(&backend.Proxy{Transport: answer}), "shop.test", "/app/a")
	if d.head.Get("X-B") != "DENY" || !d.wasLent || d.writes != 1 || d.bytes != 5 {
		t.Errorf("small: %+v", d)
	}

	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d = newDesk()
	d.head = http.Header{}
	d.serve(through(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })), "shop.test", "/app/a")
	if d.head.Get("X-B") != "DENY" || !d.file || d.writes != 0 || d.bytes != 1<<20 {
		t.Errorf("file: %+v", d)
	}
}
