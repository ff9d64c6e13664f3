package transporttest

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/conntest"
)

// An answer is bytes that come back, and what they have to become.
type answer struct {
	name, method, bytes string
	status              int
	body                string
	length              int64 // ContentLength of the response
	conns               int   // opened for two such exchanges, which may not use one again that could mislead
}

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// good are answers that are passed on.
var good = []answer{
	{"length", "GET", Hello, 200, "hello", 5, 1},
	{"same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
	{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
	{"empty reason", "GET", "HTTP/1.1 200 \r\ncontent-length:5\r\n\r\nhello", 200, "hello", 5, 1},
	{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", 0, 1},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x=\"y\"\r\nllo\r\n0\r\n\r\n", 200, "hello", -1, 1},
	{"chunked, empty", "GET", chunked + "0\r\n\r\n", 200, "", -1, 1},
	{"until the end", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", 200, "hello", -1, 2},
	{"until the end that nobody announced", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", -1, 2},
	{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 2},
	{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 2},
	{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 2},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0, 1},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", 304, "", 0, 1},
	{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", 5, 2},
	{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", -1, 2},
	{"negotiate", "GET", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x, Negotiate\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, 2},
	{"ntlm", "GET", "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: NTLM TlRM\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, 2},
	{"basic", "GET", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=NTLM\r\nContent-Length: 5\r\n\r\nhello", 401, "hello", 5, 1},
	{"interim answers", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3) + Hello, 200, "hello", 5, 1},
	{"503", "GET", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nhello", 503, "hello", 5, 1},
	{"status 999", "GET", "HTTP/1.1 999 ?\r\nContent-Length: 5\r\n\r\nhello", 999, "hello", 5, 1},
	{"head of 32 KiB", "GET", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 32<<10) + "\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
}

// leftovers are answers behind which more comes than belongs to them.
var leftovers = []answer{
	{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", 0, 2},
	{"204 with coding", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 204, "", 0, 2},
	{"304 with bytes", "GET", "HTTP/1.1 304 Not Modified\r\n\r\nhello", 304, "", 0, 2},
	{"HEAD with bytes", "HEAD", Hello, 200, "", 5, 2},
	{"bytes behind", "GET", Hello + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", 200, "hello", 5, 2},
	{"bytes behind chunks", "GET", chunked + "0\r\n\r\nx", 200, "", -1, 2},
}

// bad are answers of which nothing is passed on.
var bad = map[string]string{
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
	"head of 64 KiB":            "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 64<<10) + "\r\nContent-Length: 0\r\n\r\n",
	"too many fields":           "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1001) + "Content-Length: 0\r\n\r\n",
	"too many 1xx":              strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5000) + Hello,
	"closed in the head":        "HTTP/1.1 200 OK\r\nContent-",
	"closed before the head":    "",
	"interim with framing junk": "HTTP/1.1 100 Continue\r\nTransfer-Encoding: x\r\n\r\n" + Hello,
}

// cut are answers that break off, or break the rules, in the body: it must not
// seem to be complete.
var cut = map[string]string{
	"length":                     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
	"between chunks":             chunked + "5\r\nhello\r\n",
	"in a chunk":                 chunked + "9\r\nhello",
	"in a size":                  chunked + "5",
	"no last CRLF":               chunked + "5\r\nhello\r\n0\r\n",
	"no chunk at all":            chunked,
	"bare LF behind size":        chunked + "5\nhello\r\n0\r\n\r\n",
	"bare LF behind data":        chunked + "5\r\nhello\n0\r\n\r\n",
	"no CRLF behind data":        chunked + "5\r\nhelloX\r\n0\r\n\r\n",
	"size with 0x":               chunked + "0x5\r\nhello\r\n0\r\n\r\n",
	"size with sign":             chunked + "+5\r\nhello\r\n0\r\n\r\n",
	"size with blanks before":    chunked + " 5\r\nhello\r\n0\r\n\r\n",
	"size with blanks behind":    chunked + "5 \r\nhello\r\n0\r\n\r\n",
	"size empty":                 chunked + "\r\nhello\r\n0\r\n\r\n",
	"size only an extension":     chunked + ";x\r\nhello\r\n0\r\n\r\n",
	"size too large":             chunked + "1000000000000000\r\nhello",
	"extension with control":     chunked + "5;a\x00\r\nhello\r\n0\r\n\r\n",
	"extension with CR":          chunked + "5;a\rb\r\nhello\r\n0\r\n\r\n",
	"extension of 64 KiB":        chunked + "5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n",
	"extension flood":            chunked + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 200) + "0\r\n\r\n",
	"trailers of 64 KiB":         chunked + "0\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 64) + "\r\n",
	"malformed trailer":          chunked + "0\r\nA : b\r\n\r\n",
	"trailer with a bare LF":     chunked + "0\r\nA: b\n\r\n",
	"blank line with a bare LF":  chunked + "0\r\n\n",
	"negative size":              chunked + "-1\r\nhello\r\n0\r\n\r\n",
	"second chunk without digit": chunked + "5\r\nhello\r\nzz\r\n",
}

// Samples returns the bytes of all answers of the suite, for fuzzers to begin with.
func Samples() (all []string) {
	for _, a := range slices.Concat(good, leftovers) {
		all = append(all, a.bytes)
	}
	for _, bytes := range bad {
		all = append(all, bytes)
	}
	for _, bytes := range cut {
		all = append(all, bytes)
	}
	return all
}

func runAnswers(t *testing.T, mk Make, lax []string) {
	for _, a := range good {
		check(t, lax, a.name, func(t *testing.T) (string, bool) { return passedOn(t, mk, a) })
	}
	for name, bytes := range bad {
		check(t, lax, "refused: "+name, func(t *testing.T) (string, bool) {
			got := once(t, mk, bytes)
			return "passed on", got.err != nil
		})
	}
	for name, bytes := range cut {
		check(t, lax, "cut: "+name, func(t *testing.T) (string, bool) {
			got := once(t, mk, bytes)
			return "seems complete", got.err == nil && got.status == 200 && got.cut != nil
		})
	}
}

func leftoversEndConnections(t *testing.T, mk Make) {
	for _, a := range leftovers {
		check(t, nil, a.name, func(t *testing.T) (string, bool) { return passedOn(t, mk, a) })
	}
}

// check runs one case. One in which the transport is known to be lax must say
// when that is no longer so.
func check(t *testing.T, lax []string, name string, run func(t *testing.T) (got string, ok bool)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		got, ok := run(t)
		switch known := slices.Contains(lax, name); {
		case known && ok:
			t.Error("the transport is not lax in this any more")
		case !known && !ok:
			t.Error(got)
		}
	})
}

// passedOn has a answered twice.
func passedOn(t *testing.T, mk Make, a answer) (string, bool) {
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, a.bytes)
			if a.length < 0 && !strings.Contains(a.bytes, "hunked") {
				return // its end is that of the connection
			}
		}
	})
	tr := mk(t, o.Addr().String(), Limits{})
	want := result{status: a.status, body: a.body, length: a.length}
	for range 2 {
		if got := do(tr, request(t, a.method, "/", nil)); got != want {
			t.Logf("got %+v, want %+v", got, want)
			return "it was not passed on as it came", false
		}
	}
	if got := o.Accepted(); got != a.conns {
		t.Logf("connections: got %d, want %d", got, a.conns)
		return "whether a connection may be used again was misjudged", false
	}
	return "", true
}

// once has one request answered with bytes and the end of the connection.
func once(t *testing.T, mk Make, bytes string) result {
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, bytes)
	})
	return get(t, mk(t, o.Addr().String(), Limits{}), "/")
}
