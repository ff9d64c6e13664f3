// Package conntest is connections in tests: both ends of one, and a client that
// fails its test when it does not get what it asks for.
package conntest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Patience is how long a client waits for what has to come.
const Patience = 20 * time.Second

// Pipe returns both ends of a connection over loopback. The near one waits for
// Patience in all, and is closed at the end of the test.
func Pipe(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	dialled.SetDeadline(time.Now().Add(Patience))
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// A Stream is a client's end of a connection: plain TCP, or TLS.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// A Client speaks HTTP/1.1 over a Stream, of which it reads through R.
type Client struct {
	Stream
	R *bufio.Reader
	t testing.TB
}

// NewClient returns a client of test t on s.
func NewClient(t testing.TB, s Stream) *Client { return &Client{s, bufio.NewReader(s), t} }

// Send writes s.
func (c *Client) Send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send %.40q: %v", s, err)
	}
}

// Line reads one line without its end.
func (c *Client) Line() string {
	c.t.Helper()
	s, err := c.R.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a line: %v after %q", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

// Answer reads an answer to a request of method and its body.
func (c *Client) Answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.R, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("read the body: %v after %q", err, body)
	}
	return res, string(body)
}

// Rest reads until the other end closes.
func (c *Client) Rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.R)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("the connection was not closed, after %q", b)
	}
	return string(b)
}

// ReadHead reads one head up to its blank line.
func ReadHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}
