package upstream

import (
	"bufio"
	"io"
	"net"
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
	head := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Fri, 20 Nov 2026 22:00:00 GMT\r\nServer: small\r\nContent-Length: 128\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseHead(head); err != nil {
			b.Fatal(err)
		}
	}
}
