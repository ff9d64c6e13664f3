// Package enginetest is the contract of server.Engine for HTTP/1.1: bytes that
// go in, and what must come out. The engine of net/http is the reference.
package enginetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/server"
)

// patience is how long an answer may take before a test fails: long, for a
// machine that is busy, and never waited for when all is well.
const patience = 20 * time.Second

// Make makes an engine that serves h.
type Make func(h http.Handler) server.Engine

// Run runs the suite. lax names the byte cases that the engine is known to let
// through and that something behind it has to make up for.
func Run(t *testing.T, mk Make, lax ...string) {
	t.Run("bytes", func(t *testing.T) { runCases(t, mk, lax) })
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) { b.run(t, mk) })
	}
}

// dial serves h on a connection of its own and returns the client's end of it.
func dial(t *testing.T, mk Make, h http.HandlerFunc) (*client, server.Engine) {
	t.Helper()
	e := mk(h)
	ours, theirs := pipe(t)
	e.ServeConn(theirs)
	c := &client{TCPConn: ours.(*net.TCPConn), t: t}
	c.r = bufio.NewReader(c.TCPConn)
	t.Cleanup(func() {
		ours.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shut down at the end of the test: %v", err)
		}
	})
	return c, e
}

// client is one connection to the engine.
type client struct {
	*net.TCPConn
	r *bufio.Reader
	t *testing.T
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send %.40q: %v", s, err)
	}
}

// line reads one line without its end.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a line: %v after %q", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

// answer reads an answer to a request of method and its body.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("read the body: %v after %q", err, body)
	}
	return res, string(body)
}

// rest reads until the engine closes.
func (c *client) rest() string {
	b, err := io.ReadAll(c.r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("the connection was not closed, after %q", b)
	}
	return string(b)
}

// codes returns the statuses of the answers in raw.
func codes(raw string) string {
	var got []string
	for line := range strings.SplitSeq(raw, "\r\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "HTTP/1.") {
			got = append(got, f[1])
		}
	}
	return strings.Join(got, " ")
}

func newGate() chan struct{} { return make(chan struct{}) }

// pipe returns both ends of a TCP connection.
func pipe(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ours, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	ours.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { ours.Close() })
	return ours, theirs
}
