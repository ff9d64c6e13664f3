package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

func TestTargetIsForwardedByteForByte(t *testing.T) {
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
	for _, target := range []string{
		"/", "//a//b", "/{}|\"<>^`", "/%zz%", "/a?a=1;b=2&%zz", "/a;v=1/b", "/%2F%5c%00", "/caf\xc3\xa9", "/?", "/a?b?c#", "*", "/a/./b/../c",
	} {
		r, _ := request(t, "GET", target, nil)
		r.Host = "Shop.Example:8443"
		if _, _, err := do(t, p, r); err != nil {
			t.Errorf("target %q: %v", target, err)
			continue
		}
		head := <-heads
		if want := "GET " + target + " HTTP/1.1\r\nHost: Shop.Example:8443\r\n"; !strings.HasPrefix(head, want) {
			t.Errorf("head of %q:\n got %q\nwant %q…", target, head, want)
		}
	}
}

func TestRequestHeadIsChecked(t *testing.T) {
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, endpointAt("web", o))
	for name, spoil := range map[string]func(r *http.Request){
		"target with a blank":        func(r *http.Request) { r.RequestURI = "/a HTTP/1.1\r\nX: y" },
		"host with a line break":     func(r *http.Request) { r.Host = "a\r\nX: y" },
		"method with a blank":        func(r *http.Request) { r.Method = "GET /x" },
		"value with a line break":    func(r *http.Request) { r.Header["X-A"] = []string{"a\r\nX: y"} },
		"name with a colon":          func(r *http.Request) { r.Header["X: y"] = []string{"a"} },
		"name with a line break":     func(r *http.Request) { r.Header["X\r\nY"] = []string{"a"} },
		"upgrade with a line break":  func(r *http.Request) { r.Header["Upgrade"] = []string{"a\r\nX: y"} },
		"empty name":                 func(r *http.Request) { r.Header[""] = []string{"a"} },
		"value with a control byte":  func(r *http.Request) { r.Header["X-A"] = []string{"a\x00"} },
		"target with a control byte": func(r *http.Request) { r.RequestURI = "/\x7f" },
	} {
		r, _ := request(t, "GET", "/", nil)
		spoil(r)
		_, _, err := do(t, p, r)
		if got := new(*RequestError); !errors.As(err, got) {
			t.Errorf("%s: got %v, want a RequestError", name, err)
		}
	}
}

func TestHopByHopFieldsStayBehind(t *testing.T) {
	heads := make(chan string, 1)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		head, _ := readHead(r)
		heads <- head
		io.WriteString(c, hello)
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	r, _ := request(t, "GET", "/", nil)
	r.Header = http.Header{
		"Connection": {"keep-alive"}, "Keep-Alive": {"timeout=5"}, "Proxy-Connection": {"close"}, "Transfer-Encoding": {"chunked"},
		"Te": {"deflate, trailers"}, "Trailer": {"X"}, "Expect": {"100-continue"}, "X-Kept": {"1", "2"}, "Host": {"other"},
	}
	if _, _, err := do(t, p, r); err != nil {
		t.Fatal(err)
	}
	got := <-heads
	for _, line := range []string{"Connection:", "Keep-Alive:", "Proxy-Connection:", "Transfer-Encoding:", "Trailer:", "Expect:", "Host: other", "deflate"} {
		if strings.Contains(got, line) {
			t.Errorf("head has %q:\n%s", line, got)
		}
	}
	for _, line := range []string{"\r\nX-Kept: 1\r\n", "\r\nX-Kept: 2\r\n", "\r\nTe: trailers\r\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("head lacks %q:\n%s", line, got)
		}
	}
}

func TestCutBodyIsUnexpectedEOF(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, answer)
		})
		_, body, err := get(t, poolOf(t, Config{}, endpointAt("web", o)), "/")
		if body != "hello" || err != io.ErrUnexpectedEOF {
			t.Errorf("%q: got %q, %v, want %v", answer, body, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestTrailersOfAnswers(t *testing.T) {
	o := serveRaw(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A, Content-Length\r\n\r\n1\r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\n\r\n"))
	p := poolOf(t, Config{}, endpointAt("web", o))
	r, _ := request(t, "GET", "/", nil)
	resp, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := fmt.Sprint(resp.Trailer); got != "map[X-A:[]]" {
		t.Errorf("announced: got %s", got)
	}
	if resp.Header.Get("Trailer") != "" || resp.Header.Get("Transfer-Encoding") != "" {
		t.Errorf("header: %v", resp.Header)
	}
	io.Copy(io.Discard, resp.Body)
	if got := fmt.Sprint(resp.Trailer); got != "map[X-A:[1] X-B:[2]]" {
		t.Errorf("trailer: got %s", got)
	}
}

func TestTimeouts(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		head, _ := readHead(r)
		switch {
		case strings.HasPrefix(head, "GET /partial "):
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
		case strings.HasPrefix(head, "GET /drip "):
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				select {
				case <-hold:
					return
				case <-time.After(5 * time.Millisecond):
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
				}
			}
		}
		<-hold
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, method, target string
		body                 io.Reader
		limits               exchange.Timeouts
		want                 Phase
	}{
		{"response", "GET", "/", nil, exchange.Timeouts{Response: 20 * ms, Idle: time.Hour}, Responding},
		{"response behind an upload", "POST", "/", io.MultiReader(strings.NewReader("x")), exchange.Timeouts{Response: 20 * ms}, Responding},
		{"request, before the answer", "GET", "/", nil, exchange.Timeouts{Response: time.Hour, Request: 20 * ms}, Requesting},
		{"request, in the body", "GET", "/drip", nil, exchange.Timeouts{Idle: time.Hour, Request: 40 * ms}, Requesting},
		{"idle", "GET", "/partial", nil, exchange.Timeouts{Response: time.Hour, Idle: 20 * ms}, Idling},
		{"sending", "POST", "/", &endless{}, exchange.Timeouts{Response: time.Hour, Idle: 40 * ms}, Sending},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, x := request(t, tt.method, tt.target, tt.body)
			x.Start = time.Now()
			_, _, err := do(t, p, withTimeouts(r, x, tt.limits))
			var got *TimeoutError
			if !errors.As(err, &got) || got.Phase != tt.want {
				t.Errorf("got %v, want a timeout of phase %s", err, tt.want)
			}
		})
	}
}

func TestClientGoneFreesTheEndpoint(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"} {
		reached, gone := make(chan struct{}), make(chan struct{})
		o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, answer)
			close(reached)
			r.ReadByte() // returns when the proxy closes
			close(gone)
		})
		p := poolOf(t, Config{}, endpointAt("web", o))
		ctx, cancel := context.WithCancel(context.Background())
		r, _ := request(t, "GET", "/", nil)
		r = r.WithContext(ctx)
		go func() {
			<-reached
			cancel()
		}()
		_, _, err := do(t, p, r)
		if !errors.Is(err, context.Canceled) || !ClientGone(r, err) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		<-gone
		cancel()
		if n := p.Endpoints()[0].InFlight; n != 0 {
			t.Errorf("in flight: got %d, want 0", n)
		}
		if n := p.Endpoints()[0].Fails; n != 0 {
			t.Errorf("a client that left counted as a failure of the endpoint")
		}
	}
}

type informed func(status int, h http.Header)

func (f informed) Inform(status int, h http.Header) { f(status, h) }
