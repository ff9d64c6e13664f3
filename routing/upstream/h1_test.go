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

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

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

func TestMalformedAnswersAreRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"not HTTP":                  "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2.0":                  "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.2":                  "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
		"lower case":                "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"status too short":          "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n",
		"status too long":           "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"status below 100":          "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
		"status signed":             "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
		"empty line first":          "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"bare LF":                   "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"one bare LF":               "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
		"bare CR in value":          "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
		"NUL in value":              "HTTP/1.1 200 OK\r\nA: b\x00\r\nContent-Length: 0\r\n\r\n",
		"folded":                    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"blank before colon":        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
		"no colon":                  "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
		"empty name":                "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 0\r\n\r\n",
		"length signed":             "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"length empty":              "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"length hex":                "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
		"length list":               "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"length too large":          "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
		"lengths disagree":          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"length and coding":         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding not chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"coding list":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"coding twice":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding empty":              "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
		"coding in 1.0":             "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unasked 101":               "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw",
		"head too large":            "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHead) + "\r\nContent-Length: 0\r\n\r\n",
		"too many fields":           "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxFields+1) + "Content-Length: 0\r\n\r\n",
		"too many 1xx":              strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5000) + hello,
		"closed in the head":        "HTTP/1.1 200 OK\r\nContent-",
		"closed before the head":    "",
		"interim with framing junk": "HTTP/1.1 100 Continue\r\nTransfer-Encoding: x\r\n\r\n" + hello,
	} {
		t.Run(name, func(t *testing.T) {
			o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, answer)
			})
			p := poolOf(t, Config{}, endpointAt("web", o))
			status, body, err := get(t, p, "/")
			if broken := new(*BrokenError); !errors.As(err, broken) {
				t.Errorf("got %d %q %v, want a BrokenError", status, body, err)
			}
			if n := p.Endpoints()[0].InFlight; n != 0 {
				t.Errorf("in flight: got %d, want 0", n)
			}
		})
	}
}

func TestAnswerForms(t *testing.T) {
	tests := []struct {
		name, method, answer string
		status               int
		body                 string
		length               int64
		err                  error
		conns                int // opened for two such exchanges
	}{
		{"length", "GET", hello, 200, "hello", 5, nil, 1},
		{"same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, nil, 1},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, nil, 1},
		{"empty reason", "GET", "HTTP/1.1 200 \r\ncontent-length:5\r\n\r\nhello", 200, "hello", 5, nil, 1},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", 0, nil, 1},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x=\"y\"\r\nllo\r\n0\r\n\r\n", 200, "hello", -1, nil, 1},
		{"chunked, empty", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", -1, nil, 1},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, nil, 2},
		{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, nil, 2},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, nil, 2},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0, nil, 1},
		{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", 0, nil, 2},
		{"204 with coding", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 204, "", 0, nil, 2},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", 304, "", 0, nil, 1},
		{"304 with bytes", "GET", "HTTP/1.1 304 Not Modified\r\n\r\nhello", 304, "", 0, nil, 2},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", 5, nil, 2},
		{"HEAD with bytes", "HEAD", hello, 200, "", 5, nil, 2},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", -1, nil, 2},
		{"extra bytes", "GET", hello + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", 200, "hello", 5, nil, 2},
		{"extra bytes behind chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", 200, "", -1, nil, 2},
		{"negotiate", "GET", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x, Negotiate\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, nil, 2},
		{"ntlm", "GET", "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: NTLM TlRM\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, nil, 2},
		{"basic", "GET", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=NTLM\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, nil, 1},
		{"interim answers", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3) + hello, 200, "hello", 5, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := serveRaw(t, says(tt.answer))
			p := poolOf(t, Config{}, endpointAt("web", o))
			for range 2 {
				r, _ := request(t, tt.method, "/", nil)
				resp, err := p.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != tt.status || string(body) != tt.body || resp.ContentLength != tt.length || !errors.Is(err, tt.err) {
					t.Errorf("got %d %q length %d, %v; want %d %q length %d, %v", resp.StatusCode, body, resp.ContentLength, err, tt.status, tt.body, tt.length, tt.err)
				}
			}
			if got := o.accepted(); got != tt.conns {
				t.Errorf("connections: got %d, want %d", got, tt.conns)
			}
		})
	}
}

func TestUntilCloseBody(t *testing.T) {
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	for range 2 {
		if _, body, err := get(t, p, "/"); body != "hello" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
	}
}

func TestBodiesCutShort(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"length":                     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"between chunks":             head + "5\r\nhello\r\n",
		"in a chunk":                 head + "9\r\nhello",
		"in a size":                  head + "5",
		"no last CRLF":               head + "5\r\nhello\r\n0\r\n",
		"no chunk at all":            head,
		"bare LF behind size":        head + "5\nhello\r\n0\r\n\r\n",
		"bare LF behind data":        head + "5\r\nhello\n0\r\n\r\n",
		"no CRLF behind data":        head + "5\r\nhelloX\r\n0\r\n\r\n",
		"size with 0x":               head + "0x5\r\nhello\r\n0\r\n\r\n",
		"size with sign":             head + "+5\r\nhello\r\n0\r\n\r\n",
		"size with blanks before":    head + " 5\r\nhello\r\n0\r\n\r\n",
		"size with blanks behind":    head + "5 \r\nhello\r\n0\r\n\r\n",
		"size empty":                 head + "\r\nhello\r\n0\r\n\r\n",
		"size only an extension":     head + ";x\r\nhello\r\n0\r\n\r\n",
		"size too large":             head + "1000000000000000\r\nhello",
		"extension with control":     head + "5;a\x00\r\nhello\r\n0\r\n\r\n",
		"extension with CR":          head + "5;a\rb\r\nhello\r\n0\r\n\r\n",
		"extension of 64 KiB":        head + "5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n",
		"extension flood":            head + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 200) + "0\r\n\r\n",
		"trailers of 64 KiB":         head + "0\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 64) + "\r\n",
		"malformed trailer":          head + "0\r\nA : b\r\n\r\n",
		"trailer with a bare LF":     head + "0\r\nA: b\n\r\n",
		"blank line with a bare LF":  head + "0\r\n\n",
		"negative size":              head + "-1\r\nhello\r\n0\r\n\r\n",
		"second chunk without digit": head + "5\r\nhello\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, answer)
			})
			p := poolOf(t, Config{}, endpointAt("web", o))
			status, body, err := get(t, p, "/")
			if status != 200 || err == nil {
				t.Errorf("got %d %.20q, %v; want an error", status, body, err)
			}
		})
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

func TestInterimAnswersAreToldInOrder(t *testing.T) {
	o := serveRaw(t, says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+hello))
	p := poolOf(t, Config{}, endpointAt("web", o))
	r, _ := request(t, "GET", "/", nil)
	var got []string
	resp, err := p.RoundTripInform(r, func(status int, h http.Header) { got = append(got, fmt.Sprint(status, h["Link"])) })
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := "[100 [] 103 [</a>]]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
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
