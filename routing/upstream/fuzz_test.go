package upstream

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/fairlead/fairlead/internal/http1"
)

// FuzzHead holds the head parser against net/http's: what ours lets through,
// net/http understands in the same way.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		hello, "HTTP/1.1 200\r\n\r\n", "HTTP/1.0 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 103 x\r\nlink: </a>\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 \xe9\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end, scanned, err := http1.HeadEnd(b, 0)
		if err != nil {
			return
		}
		for cut := 0; cut < len(b) && end > 0; cut += 1 + len(b)/7 { // in pieces it is the same
			if e, s, err := http1.HeadEnd(b[:min(cut, end-1)], 0); e != 0 || err != nil {
				t.Fatalf("end of %q: got %d %v in its first %d bytes", b, e, err, cut)
			} else if e, _, err := http1.HeadEnd(b, s); e != end || err != nil {
				t.Fatalf("end of %q from %d: got %d %v, want %d", b, s, e, err, end)
			}
		}
		if end == 0 {
			if scanned > len(b) {
				t.Fatalf("scanned %d of %d bytes", scanned, len(b))
			}
			return
		}
		var h head
		if err := h.parse(string(b[:end])); err != nil {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:end])), &http.Request{Method: "HEAD"})
		if err != nil {
			t.Fatalf("%q: ours let it through, net/http says %v", b, err)
		}
		if std.StatusCode != h.status || std.ProtoMinor == 0 != h.http10 {
			t.Errorf("%q: status %d, net/http says %d", b, h.status, std.StatusCode)
		}
		if got := len(std.TransferEncoding) > 0; got != h.chunked {
			t.Errorf("%q: chunked %v, net/http says %v", b, h.chunked, got)
		}
		for name, values := range std.Header {
			if name != "Connection" && fmt.Sprint(h.fields.Header[name]) != fmt.Sprint(values) && name != "Content-Length" && name != "Pragma" && name != "Cache-Control" {
				t.Errorf("%q: %s is %q, net/http says %q", b, name, h.fields.Header[name], values)
			}
		}
	})
}
