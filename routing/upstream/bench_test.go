package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/spec"
)

// small is an origin that costs next to nothing.
func small(t testing.TB) *origin {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Fri, 20 Nov 2026 22:00:00 GMT\r\nServer: small\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("x", 128))
	return serveRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) {
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
}

func BenchmarkRoundTrip(b *testing.B) {
	p := poolOf(b, Config{}, endpointAt("web", small(b)))
	r, _ := request(b, "GET", "/", nil)
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := p.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := resp.Body.Read(buf); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		resp.Body.Close()
	}
}

func BenchmarkPick(b *testing.B) {
	var eps []spec.Endpoint
	for _, addr := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
		eps = append(eps, endpoint4(addr, addr))
	}
	p := poolOf(b, Config{}, eps...)
	r, _ := request(b, "GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		if e, _ := p.view.Load().pick(r, nil); e == nil {
			b.Fatal("nothing to pick")
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	text := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Fri, 20 Nov 2026 22:00:00 GMT\r\nServer: small\r\nContent-Length: 128\r\n\r\n"
	var h head
	b.ReportAllocs()
	for b.Loop() {
		if err := h.parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// fromBrowser returns a request as a browser sends it, behind the exchange stage.
func fromBrowser(t testing.TB) *http.Request {
	r, _ := request(t, "GET", "/shop/items?page=2&order=price", nil)
	r.Host = "shop.example"
	for name, value := range map[string]string{
		"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "en-US,en;q=0.5",
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
		"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "shop.example", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https", "X-Real-Ip": "203.0.113.7",
		"X-Request-Id": "01jd3k8v5q9x7w2m4n6p8r0t2v",
	} {
		r.Header[name] = []string{value}
	}
	return r
}

func BenchmarkAppendHead(b *testing.B) {
	p := poolOf(b, Config{}, endpoint4("web", "10.0.0.1:80"))
	call := newCall(fromBrowser(b), nil)
	out := make([]byte, 0, bufferSize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.all[0].transport.appendHead(out, &call); err != nil {
			b.Fatal(err)
		}
	}
}

// canned is a connection on which every request is answered at once.
type canned struct {
	net.Conn
	answer []byte
}

func (c *canned) Read(p []byte) (int, error)  { return copy(p, c.answer), nil }
func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) Close() error                { return nil }

// BenchmarkRoundTripWithoutSystemCalls measures all but those.
func BenchmarkRoundTripWithoutSystemCalls(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Fri, 20 Nov 2026 22:00:00 GMT\r\nServer: small\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("x", 128))
	dial := func(context.Context, string, string) (net.Conn, error) { return &canned{answer: answer}, nil }
	p := poolOf(b, Config{Dial: dial}, endpoint4("web", "10.0.0.1:80"))
	r := fromBrowser(b)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := p.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := resp.Body.(*body).Whole(); !ok {
			b.Fatal("the body did not come with its head")
		}
		resp.Body.Close()
	}
}

// zeros is a body of n zero bytes.
type zeros struct{ n int }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(len(p), z.n)
	z.n -= n
	if z.n == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (z *zeros) Buffered() int { return z.n }

func (z *zeros) Close() error { return nil }

func BenchmarkUpload64K(b *testing.B) {
	const size = 64 << 10
	o := serveRaw(b, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			if _, err := r.Discard(size); err != nil {
				return
			}
			io.WriteString(c, hello)
		}
	})
	p := poolOf(b, Config{}, endpointAt("web", o))
	r, _ := request(b, "POST", "/", nil)
	body := &zeros{}
	r.Body, r.ContentLength = body, size
	b.ReportAllocs()
	for b.Loop() {
		body.n = size
		resp, err := p.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
