package h1

import (
	"context"
	"net/http"
	"runtime"
	"testing"

	"github.com/fairlead/fairlead/internal/alloctest"
)

const browser = "GET /index.html?a=b HTTP/1.1\r\nHost: app.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*\r\n" +
	"Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef\r\n\r\n"

// lender answers as the forwarder does: it has the engine keep the request, and
// lends it a header.
type lender struct {
	header http.Header
	body   []byte
}

type exchangeLike struct{ context.Context }

func (l *lender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, kept := r.Context().(*exchangeLike); !kept {
		k := r.Context().(interface{ Keep(*http.Request) })
		k.Keep(r.WithContext(&exchangeLike{r.Context()}))
	}
	l.header["Content-Length"] = l.header["Content-Length"][:1]
	w.(interface{ Lend(http.Header) bool }).Lend(l.header)
	w.WriteHeader(http.StatusOK)
	w.Write(l.body)
}

func newLender() *lender {
	return &lender{
		header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"128"}, "Server": {"test"}, "Date": {"Mon, 02 Jan 2006 15:04:05 GMT"}},
		body:   make([]byte, 128),
	}
}

// A request on a connection that is kept costs one allocation: the string that all
// of its head points into.
func TestARequestCostsOneAllocation(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, newLender().ServeHTTP, func(c *Config) { c.Poison = false })
		c := dial(t, e, how)
		request, answer := []byte(browser), make([]byte, 4<<10)
		ask := func() {
			c.Write(request)
			if n, err := c.Read(answer); err != nil || n < 200 {
				t.Errorf("read %d bytes: %v", n, err)
			}
		}
		for range 10 {
			ask() // fills the pools
		}
		alloctest.AtMost(t, 1, 200, ask)
	})
}

// A connection that waits holds neither buffers nor requests.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	const conns, most = 500, 7 << 10
	e := start(t, newLender().ServeHTTP)
	before := inUse()
	for range conns {
		c := dial(t, e, byCallback)
		c.R = nil
		c.Send(browser)
		if _, err := c.Read(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	got := (inUse() - before) / conns
	t.Logf("%d bytes for both ends of a connection", got)
	if got > most {
		t.Errorf("an idle connection and its client hold %d bytes, want %d at most", got, most)
	}
}

// inUse returns the bytes of heap and stacks in use.
func inUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

func BenchmarkKeepAlive(b *testing.B) {
	for _, how := range []link{byCallback, byMethods} {
		b.Run(string(how), func(b *testing.B) {
			e := start(b, newLender().ServeHTTP, func(c *Config) { c.Poison = false })
			c := dial(b, e, how)
			request, answer := []byte(browser), make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(request)
				if _, err := c.Read(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Pipelining leaves out the client's share, and the wait.
func BenchmarkPipelined(b *testing.B) {
	e := start(b, newLender().ServeHTTP, func(c *Config) { c.Poison = false })
	c := dial(b, e, byCallback)
	request := []byte(browser)
	go func() {
		for range b.N {
			c.Write(request)
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	answer := make([]byte, 64<<10)
	const size = 128 + len("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\nServer: test\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n")
	for got := 0; got < b.N*size; {
		n, err := c.Read(answer)
		if err != nil {
			b.Fatal(err)
		}
		got += n
	}
}
