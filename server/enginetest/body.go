package enginetest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing/iotest"
)

var bodyBehaviours = []behaviour{
	{"bodies of odd sizes go in and out", oddBodies},
	{"a body that nobody reads is read off", unreadBody},
	{"a large body that nobody reads does not cost the answer", largeUnread},
	{"a body that ends early is an error", truncatedBody},
	{"a body may be read while it is answered", fullDuplex},
	{"a body may be read beside its answer", readBeside},
	{"a body is not read behind Close", closedBody},
	{"Expect is answered when the handler reads", expectContinue},
	{"Expect is not answered when the handler refuses", expectRefused},
	{"Expect beside a body that is there already", expectAtOnce},
	{"Expect of chunks", expectChunks},
}

// pattern returns n bytes that differ from their neighbours, so that a piece
// that is missing, twice or moved shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// asChunks frames body in chunks whose sizes go from 1 up, by step.
func asChunks(body []byte, step int) string {
	var b strings.Builder
	for size := 1; len(body) > 0; size += step {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// Sizes around those of buffers.
var oddSizes = []int{0, 1, 2, 511, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 16<<10 - 1, 16 << 10, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 + 7}

// oddBodies echoes bodies of all sizes by one connection. What is read goes back
// in pieces of its own size.
func oddBodies(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		in, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("body: %v", err)
		}
		piece := 1 + len(in)/7
		for len(in) > 0 {
			n, err := w.Write(in[:min(piece, len(in))])
			if err != nil {
				t.Errorf("write: %v", err)
				return
			}
			in = in[n:]
		}
	})
	for _, size := range oddSizes {
		body := pattern(size)
		for _, in := range []string{
			post(fmt.Sprintf("Content-Length: %d\r\n", size), string(body)),
			chunked(asChunks(body, 1+size/100)),
			chunked(asChunks(body, max(1, size))),
		} {
			sent := beside(func() { io.WriteString(c, in) })
			if res, got := c.Answer("POST"); res.StatusCode != 200 || got != string(body) {
				t.Fatalf("%d bytes: got %d with %d bytes", size, res.StatusCode, len(got))
			}
			<-sent
		}
	}
}

func unreadBody(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 3)
		io.WriteString(w, r.Method)
	})
	for _, body := range []string{"abc", "abcd", strings.Repeat("x", 3000)} {
		for _, in := range []string{post(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body), chunked(asChunks([]byte(body), 100))} {
			c.Send(in + get(""))
			_, first := c.Answer("POST")
			if _, second := c.Answer("GET"); first != "POST" || second != "GET" {
				t.Fatalf("%d bytes: got %q and %q", len(body), first, second)
			}
		}
	}
}

// largeUnread has a client that sends on while it is refused. Closing a socket
// with unread bytes resets the connection, which can take the answer with it
// (RFC 9112, 9.6).
func largeUnread(t *trial) {
	const size = 32 << 20
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, "too much")
	})
	for _, fields := range []string{fmt.Sprintf("Content-Length: %d\r\n", size), "Transfer-Encoding: chunked\r\n"} {
		c := t.connect(e)
		sent := beside(func() {
			io.WriteString(c, post(fields, ""))
			if strings.HasPrefix(fields, "Transfer") {
				fmt.Fprintf(c, "%x\r\n", size)
			}
			io.CopyN(c, zeros{}, size)
		})
		res, body := c.Answer("POST")
		if res.StatusCode != 413 || body != "too much" || !res.Close {
			t.Errorf("%s: got %d %q, close %v", fields, res.StatusCode, body, res.Close)
		}
		c.Rest()
		<-sent // the engine has closed
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func truncatedBody(t *trial) {
	for _, in := range []string{
		post("Content-Length: 10\r\n", "abc"), post("Content-Length: 100000\r\n", strings.Repeat("x", 50_000)),
		chunked("3\r\nabc\r\n"), chunked("5\r\nabc"), chunked("3\r\nabc\r\n0\r\n"), chunked(""),
	} {
		read := make(chan error, 1)
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			read <- err
		})
		c.Send(in)
		c.CloseWrite()
		if err := <-read; err == nil {
			t.Errorf("%.80q: the handler read to the end", in)
		}
		c.Rest()
	}
}

// fullDuplex has a client that sends each line when it has seen the one before.
func fullDuplex(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Errorf("full duplex: %v", err)
		}
		rc.Flush()
		if _, err := io.Copy(flushing{w, rc}, iotest.OneByteReader(r.Body)); err != nil {
			t.Errorf("echo: %v", err)
		}
	})
	c.Send(chunked(""))
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		line := fmt.Sprintf("line %d\n", i)
		c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(line), line))
		got := make([]byte, len(line))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != line {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
	c.Send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v at the end", rest, err)
	}
}

// flushing sends each write at once.
type flushing struct {
	io.Writer
	rc *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	return n, errors.Join(err, f.rc.Flush())
}

// readBeside reads the body on another goroutine than the one that answers, as
// transports do.
func readBeside(t *trial) {
	body := string(pattern(1 << 20))
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		read := beside(func() {
			if got, err := io.ReadAll(r.Body); string(got) != body || err != nil {
				t.Errorf("read %d bytes, %v, the first wrong one is %d", len(got), err, differ(string(got), body))
			}
		})
		for rest := body; rest != ""; rest = rest[1<<10:] {
			io.WriteString(w, rest[:1<<10])
		}
		<-read
	})
	for _, in := range []string{post(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body), chunked(asChunks([]byte(body), 100))} {
		sent := beside(func() { io.WriteString(c, in) })
		if _, got := c.Answer("POST"); got != body {
			t.Errorf("got %d bytes, the first wrong one is %d", len(got), differ(got, body))
		}
		<-sent
	}
}

func closedBody(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if err := r.Body.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n, err := r.Body.Read(make([]byte, 3)); n != 0 || err == nil {
			t.Errorf("a read behind Close: %d, %v", n, err)
		}
	})
	c.Send(post("Content-Length: 3\r\n", "abc") + last)
	if got := codes(c.Rest()); got != "200 200" {
		t.Errorf("got %q", got)
	}
}

const expecting = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"

// echo reads all of the body before it answers.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	w.Write(body)
}

func expectContinue(t *trial) {
	c := t.dial(echo)
	for range 2 {
		c.expect()
	}
}

// expect sends a body that is to be echoed once it was told to.
func (c *client) expect() {
	c.t.Helper()
	c.Send(expecting + "Content-Length: 5\r\n\r\n")
	if got := c.Line(); got != "HTTP/1.1 100 Continue" {
		c.t.Fatalf("got %q before the body was sent", got)
	}
	c.Line()
	c.Send("hello")
	if res, body := c.Answer("POST"); res.StatusCode != 200 || body != "hello" {
		c.t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// expectRefused: a client may send its body nevertheless, or the next request.
// Which of them comes is not to be told.
func expectRefused(t *trial) {
	for _, behind := range []string{"", "hello", bait} {
		var baited atomic.Bool
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bait" {
				baited.Store(true)
			}
			w.WriteHeader(403)
			io.WriteString(w, "no")
		})
		c.Send(expecting + "Content-Length: 5\r\n\r\n" + behind)
		if got := c.Line(); got != "HTTP/1.1 403 Forbidden" {
			t.Errorf("got %q, want 403 without 100", got)
		}
		if rest := c.Rest(); !strings.HasSuffix(rest, "\r\n\r\nno") || !strings.Contains(rest, "Connection: close") || baited.Load() {
			t.Errorf("behind %q: got %q, bait served: %v", behind, rest, baited.Load())
		}
	}
}

func expectAtOnce(t *trial) {
	c := t.dial(echo)
	c.Send(expecting + "Content-Length: 5\r\n\r\nhello" + last)
	c.CloseWrite()
	got := c.Rest()
	if s := strings.TrimPrefix(codes(got), "100 "); s != "200 200" || !strings.Contains(got, "\r\n\r\nhello") {
		t.Errorf("got %q", got)
	}
}

func expectChunks(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 5)
		io.ReadFull(r.Body, body) // not to its end
		w.Write(body)
	})
	c.Send(expecting + "Transfer-Encoding: chunked\r\n\r\n")
	if got := c.Line(); got != "HTTP/1.1 100 Continue" {
		t.Fatalf("got %q before the body was sent", got)
	}
	c.Line()
	c.Send("5\r\nhello\r\n0\r\n\r\n" + last)
	if res, body := c.Answer("POST"); res.StatusCode != 200 || body != "hello" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	if res, _ := c.Answer("GET"); res.StatusCode != 200 {
		t.Errorf("got %d behind the chunks", res.StatusCode)
	}
}
