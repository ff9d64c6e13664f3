package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestPostIsNeverSentTwice(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"none":    func() io.Reader { return nil },
		"small":   func() io.Reader { return strings.NewReader("x") },
		"large":   func() io.Reader { return strings.NewReader(strings.Repeat("x", 64<<10)) },
		"chunked": func() io.Reader { return io.MultiReader(strings.NewReader("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int64
			serve := func(_ int, c net.Conn, r *bufio.Reader) {
				for {
					head, err := readRequest(r)
					if err != nil {
						return
					}
					if strings.HasPrefix(head, "POST") {
						posts.Add(1)
						return
					}
					io.WriteString(c, hello)
				}
			}
			a, b := serveRaw(t, serve), serveRaw(t, serve)
			p := poolOf(t, Config{}, endpointAt("web-1", a), endpointAt("web-2", b))
			for range 2 { // leaves idle connections, so that the POST goes over a kept one
				if _, _, err := get(t, p, "/"); err != nil {
					t.Fatal(err)
				}
			}
			r, _ := request(t, "POST", "/", body())
			_, _, err := do(t, p, r)
			if broken := new(*BrokenError); !errors.As(err, broken) {
				t.Errorf("got %v, want a BrokenError", err)
			}
			if got := posts.Load(); got != 1 {
				t.Errorf("the POST was sent %d times", got)
			}
		})
	}
}

func TestBrokenKeptConnectionIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		method string
		body   func() io.Reader
		ok     bool
	}{
		{"GET", func() io.Reader { return nil }, true},
		{"PUT", func() io.Reader { return strings.NewReader("small") }, true},
		{"PUT", func() io.Reader { return io.MultiReader(strings.NewReader("of unknown length")) }, false},
		{"POST", func() io.Reader { return strings.NewReader("small") }, false},
	} {
		o := serveRaw(t, func(n int, c net.Conn, r *bufio.Reader) {
			for i := 0; ; i++ {
				if _, err := readRequest(r); err != nil || n == 1 && i == 1 {
					return // closes after it read the second request
				}
				io.WriteString(c, hello)
			}
		})
		p := poolOf(t, Config{}, endpointAt("web", o))
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		r, x := request(t, tt.method, "/", tt.body())
		status, _, err := do(t, p, r)
		if ok := err == nil && status == 200 && x.Retries == 1; ok != tt.ok {
			t.Errorf("%s: got %d %v after %d retries, want success %v", tt.method, status, err, x.Retries, tt.ok)
		}
	}
}

func TestFreshBreakIsRetriedElsewhereIfIdempotent(t *testing.T) {
	dying := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) { readRequest(r) })
	fine := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, endpointAt("web-1", dying), endpointAt("web-2", fine))
	for range 2 { // one more break of web-1, and it would get no POST
		if status, _, err := get(t, p, "/"); status != 200 || err != nil {
			t.Errorf("GET: got %d %v", status, err)
		}
	}
	failed := 0
	for range 2 {
		r, _ := request(t, "POST", "/", strings.NewReader("x"))
		if _, _, err := do(t, p, r); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("POST: %d of 2 failed, want the one that went to web-1", failed)
	}
}

func TestEarlyAnswerStopsTheUpload(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		hold := make(chan struct{})
		o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, answer)
			<-hold // reads nothing more
		})
		p := poolOf(t, Config{}, endpointAt("web", o))
		body := &endless{}
		r, _ := request(t, "POST", "/", body)
		status, got, err := do(t, p, r)
		close(hold)
		if status == 0 || got != "hello" || err != nil {
			t.Errorf("got %d %q %v", status, got, err)
		}
		if !body.closed.Load() {
			t.Error("the request's body was not closed")
		}
		n := body.read.Load()
		if _, _, err := get(t, p, "/"); err == nil && o.Accepted() != 2 {
			t.Error("the connection was used again")
		}
		if body.read.Load() != n {
			t.Error("the request's body was read after the answer's was closed")
		}
	}
}

// endless is a body without end.
type endless struct {
	read   atomic.Int64
	closed atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) {
	e.read.Add(1)
	return len(p), nil
}

func (e *endless) Close() error {
	e.closed.Store(true)
	return nil
}

func TestShortBodyNeverBecomesACompleteRequest(t *testing.T) {
	for _, length := range []int64{10, smallBody + 10} {
		var complete atomic.Int64
		o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			for {
				if _, err := readRequest(r); err != nil {
					return
				}
				complete.Add(1)
				io.WriteString(c, hello)
			}
		})
		p := poolOf(t, Config{}, endpointAt("web", o))
		r, _ := request(t, "POST", "/", io.MultiReader(strings.NewReader("abc")))
		r.ContentLength = length
		_, _, err := do(t, p, r)
		if bad := new(*RequestError); !errors.As(err, bad) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("length %d: got %v, want a RequestError", length, err)
		}
		if _, _, err := get(t, p, "/"); err != nil {
			t.Errorf("length %d: the next request: %v", length, err)
		}
		if got := complete.Load(); got != 1 {
			t.Errorf("length %d: %d complete requests arrived, want the next one only", length, got)
		}
	}
}

func TestEmptyBodies(t *testing.T) {
	heads := make(chan string, 1)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			heads <- head
			io.WriteString(c, hello)
		}
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	for method, want := range map[string]bool{"POST": true, "PUT": true, "GET": false, "DELETE": false} {
		r, _ := request(t, method, "/", nil)
		if _, _, err := do(t, p, r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(<-heads, "\r\nContent-Length: 0\r\n"); got != want {
			t.Errorf("%s without a body says Content-Length: 0: got %v, want %v", method, got, want)
		}
	}
}

// A field that frames or authenticates does so in the head only.
func TestTrailersThatMayNotBe(t *testing.T) {
	got := make(chan string, 1)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		head, _ := readHead(r)
		body, _ := readHead(r) // both end in a blank line
		got <- head[strings.Index(head, "Trailer:"):] + body
		io.WriteString(c, hello)
	})
	r, _ := request(t, "POST", "/", io.MultiReader(strings.NewReader("hi")))
	r.Trailer = http.Header{"X-Sum": {"42"}, "Content-Length": {"7"}, "X-Break": {"a\r\nb"}}
	if _, _, err := do(t, poolOf(t, Config{}, endpointAt("web", o)), r); err != nil {
		t.Fatal(err)
	}
	if got, want := <-got, "Trailer: X-Break, X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// begunBody is a body of which some is there already.
type begunBody struct{ io.Reader }

func (begunBody) Close() error  { return nil }
func (begunBody) Buffered() int { return 100 }

func TestHeadLeavesWithWhatIsThereOfTheBody(t *testing.T) {
	first := make(chan string, 1)
	o := serveRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 64<<10)
		n, _ := c.Read(buf)
		first <- string(buf[:n])
		io.WriteString(c, hello)
		io.Copy(io.Discard, c)
	})
	r, _ := request(t, "POST", "/", nil)
	rest, end := io.Pipe()
	defer end.Close()
	r.Body, r.ContentLength = begunBody{io.MultiReader(strings.NewReader(strings.Repeat("x", 100)), rest)}, 64<<10
	resp, err := poolOf(t, Config{}, endpointAt("web", o)).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-first; !strings.HasSuffix(got, "\r\n\r\n"+strings.Repeat("x", 100)) {
		t.Errorf("the first write was %q", got)
	}
	end.Close()
	resp.Body.Close()
}
