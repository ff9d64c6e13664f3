package files

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/alloctest"
	"github.com/fairlead/fairlead/internal/servertest"
)

// edge is h behind an entry point.
func edge(h http.Handler) http.Handler {
	return &exchange.Arrival{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange.Of(r).Target = r.RequestURI
		h.ServeHTTP(w, r)
	})}
}

// A writes is a connection's worth of answers, none of which is kept.
type writes struct {
	header http.Header
	n      int // calls of Write
	bytes  int64
	read   int // calls of ReadFrom
}

func (w *writes) Header() http.Header { return w.header }
func (w *writes) WriteHeader(int)     {}
func (w *writes) Write(p []byte) (int, error) {
	w.n++
	w.bytes += int64(len(p))
	return len(p), nil
}
func (w *writes) ReadFrom(src io.Reader) (int64, error) {
	w.read++
	l := src.(*io.LimitedReader)
	w.bytes += l.N
	return l.N, nil
}

func TestAHitCostsOneWriteAndNoAllocation(t *testing.T) {
	tree := newTree(t, map[string]string{"a.css": strings.Repeat("x", 10_000), "a.css.br": "br", "photo.jpg": strings.Repeat("x", 1<<20), "docs/index.html": "docs"})
	for _, settled := range []bool{true, false} {
		tree.settled.Store(settled)
		h := root(tree)
		for _, tt := range []struct {
			what   string
			c      call
			writes int
			reads  int
			allocs float64
		}{
			{"10 kB", call{target: "/a.css"}, 1, 0, 0},
			{"compressed", call{target: "/a.css", header: []string{"Accept-Encoding", "gzip, deflate, br, zstd"}}, 1, 0, 0},
			{"1 MiB", call{target: "/photo.jpg"}, 0, 1, 0},
			{"HEAD", call{method: "HEAD", target: "/a.css"}, 0, 0, 0},
			{"304", call{target: "/a.css", header: []string{"If-None-Match", get(h, "/a.css").header.Get("Etag")}}, 0, 0, 0},
			{"an index", call{target: "/docs/"}, 1, 0, 1},
		} {
			w := &writes{header: make(http.Header, 16)}
			r := &http.Request{Method: "GET", RequestURI: tt.c.target, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
			if tt.c.method != "" {
				r.Method = tt.c.method
			}
			for i := 0; i+1 < len(tt.c.header); i += 2 {
				r.Header.Set(tt.c.header[i], tt.c.header[i+1])
			}
			x, ww, r := exchange.Begin(w, r)
			x.Target = r.RequestURI
			h.ServeHTTP(ww, r)
			if w.n != tt.writes || w.read != tt.reads {
				t.Errorf("%s: %d writes and %d of files, want %d and %d", tt.what, w.n, w.read, tt.writes, tt.reads)
			}
			alloctest.AtMost(t, tt.allocs, 200, func() {
				clear(w.header)
				x.Response.Status = 0
				h.ServeHTTP(ww, r)
			})
		}
	}
}

func TestFilesThroughAnEngine(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16)
	tree := newTree(t, map[string]string{"small.bin": digits, "medium.bin": large[:small], "large.bin": large})
	s := servertest.Start(t, edge(root(tree)))
	for range 3 {
		for name, want := range map[string]string{"small.bin": digits, "medium.bin": large[:small], "large.bin": large} {
			resp, err := s.Client.Get(s.URL + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || string(body) != want || resp.ContentLength != int64(len(want)) {
				t.Errorf("%s: got %d with %d bytes of %d, %v", name, resp.StatusCode, len(body), resp.ContentLength, err)
			}
		}
		for value, want := range map[string]string{"bytes=1048570-": large[1048570:], "bytes=70000-200000": large[70000:200001]} {
			r, _ := http.NewRequest("GET", s.URL+"/large.bin", nil)
			r.Header.Set("Range", value)
			resp, err := s.Client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 206 || string(body) != want {
				t.Errorf("%s: got %d with %d bytes, %v; want %d", value, resp.StatusCode, len(body), err, len(want))
			}
		}
	}
}

func BenchmarkServe(b *testing.B) {
	tree := newTree(b, map[string]string{"10k.css": strings.Repeat("x", 10_000), "1m.bin": strings.Repeat("x", 1<<20)})
	tree.settled.Store(true)
	h := root(tree)
	tag := get(h, "/10k.css").header.Get("Etag")
	for _, bench := range []struct{ name, target, field string }{
		{"hit10k", "/10k.css", ""}, {"304", "/10k.css", "If-None-Match: " + tag + "\r\n"}, {"1MiB", "/1m.bin", ""},
	} {
		request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: shop.test\r\nAccept-Encoding: gzip, br\r\n%s\r\n", bench.target, bench.field)
		b.Run(bench.name, func(b *testing.B) { exchangeMany(b, edge(h), request) })
		b.Run(bench.name+"/handler", func(b *testing.B) { serveMany(b, h, request) })
	}
	b.Run("hit10k/nothing", func(b *testing.B) { // what the engine costs alone
		body := []byte(strings.Repeat("x", 10_000))
		exchangeMany(b, edge(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) })), "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	})
}

// exchangeMany asks h over one connection.
func exchangeMany(b *testing.B, h http.Handler, request string) {
	s := servertest.Start(b, h)
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(c, request)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// serveMany measures h alone.
func serveMany(b *testing.B, h http.Handler, request string) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		b.Fatal(err)
	}
	w := &writes{header: make(http.Header, 16)}
	x, ww, r := exchange.Begin(w, r)
	x.Target = r.RequestURI
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		x.Response.Status = 0
		h.ServeHTTP(ww, r)
	}
}
