package upstream

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
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
		end, scanned, err := endOfHead(b, 0)
		if err != nil {
			return
		}
		for cut := 0; cut < len(b) && end > 0; cut += 1 + len(b)/7 { // in pieces it is the same
			if e, s, err := endOfHead(b[:min(cut, end-1)], 0); e != 0 || err != nil {
				t.Fatalf("end of %q: got %d %v in its first %d bytes", b, e, err, cut)
			} else if e, _, err := endOfHead(b, s); e != end || err != nil {
				t.Fatalf("end of %q from %d: got %d %v, want %d", b, s, e, err, end)
			}
		}
		if end == 0 {
			if scanned > len(b) {
				t.Fatalf("scanned %d of %d bytes", scanned, len(b))
			}
			return
		}
		h, err := parseHead(b[:end])
		if err != nil {
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
			if name != "Connection" && fmt.Sprint(h.header[name]) != fmt.Sprint(values) && name != "Content-Length" && name != "Pragma" && name != "Cache-Control" {
				t.Errorf("%q: %s is %q, net/http says %q", b, name, h.header[name], values)
			}
		}
	})
}

// FuzzChunked holds the chunk reader against net/http's: what ours takes for
// complete, net/http reads as the same bytes.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", "0\r\n\r\nx", "5 ;a\r\nhello\r\n0\r\n\r\n", "a\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n", "5\nhello\n0\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readChunks(b)
		if err != nil {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(b))), nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(std.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: got %q, net/http says %q %v", b, got, want, err)
		}
	})
}

// readChunks reads a chunked body that is all there.
func readChunks(b []byte) (data []byte, err error) {
	behind := false
	for {
		used, size, _, err := parseChunk(b, behind)
		switch {
		case err != nil:
			return nil, err
		case used == 0 || int64(len(b)-used) < size:
			return nil, io.ErrUnexpectedEOF
		case size == 0:
			return data, nil
		}
		data = append(data, b[used:used+int(size)]...)
		b, behind = b[used+int(size):], true
	}
}
