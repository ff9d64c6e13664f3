package main

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/servertest"
)

// bait stands behind a request that two parties could frame in two ways. It must
// reach no app.
var bait = request("GET", "app.test", "/bait")

// framed sends a POST with fields and body, and bait behind it. The app must not
// take the request for complete, unless served is allowed, nor see the bait.
func framed(t *testing.T, p *proxy, a *app, name, fields, body string, served bool) {
	t.Helper()
	a.forget()
	r := p.raw("POST / HTTP/1.1\r\nHost: app.test\r\n" + fields + "\r\n" + body + bait)
	if !((r.status == 400 || r.status == 501) && r.closed) && !(served && r.status == 200) && r.status != 0 {
		t.Errorf("%s: %v, want 400 or 501 and close", name, r)
	}
	for _, s := range a.requests() {
		if s.target() == "/bait" || !served {
			t.Errorf("%s: the app got %q with body %.40q", name, s.head(), s.body)
		}
	}
}

func TestThreat01TransferEncodingWithContentLength(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, fields := range map[string]string{
		"length first":  "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"length behind": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"length of 0":   "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
		"upper case":    "CONTENT-LENGTH: 4\r\nTRANSFER-ENCODING: CHUNKED\r\n",
	} {
		// net/http serves it, without its Content-Length; the connection ends there.
		framed(t, p, a, name, fields, "3\r\nabc\r\n0\r\n\r\n", servertest.Std())
	}
	for name, fields := range map[string]string{
		"other coding":    "Transfer-Encoding: xchunked\r\n",
		"two codings":     "Transfer-Encoding: gzip, chunked\r\n",
		"chunked, twice":  "Transfer-Encoding: chunked, chunked\r\n",
		"two fields":      "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"tab in front":    "Transfer-Encoding: \x0bchunked\r\n",
		"blank behind":    "Transfer-Encoding : chunked\r\n",
		"folded":          "Transfer-Encoding:\r\n chunked\r\n",
		"bare LF between": "X: y\nTransfer-Encoding: chunked\r\n",
	} {
		if !servertest.Std() || !stdLax[name] {
			framed(t, p, a, name, fields, "0\r\n\r\n", false)
		}
	}
}

// stdLax are heads that net/http reads although RFC 9112 lets nobody send them.
// What it read is forwarded in words of our own, so nobody reads it otherwise.
var stdLax = map[string]bool{"folded": true, "bare LF between": true}

func TestThreat02Lengths(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, length := range map[string]string{
		"signed": "+5", "negative": "-5", "empty": "", "list": "5,6", "list of the same": "5, 5", "2^64": "18446744073709551616", "2^64+5": "18446744073709551621",
		"hexadecimal": "0x5", "NBSP": "\u00a05", "two numbers": "5 5", "point": "5.0", "exponent": "5e0", "vertical tab": "\x0b5",
	} {
		framed(t, p, a, name, "Content-Length: "+length+"\r\n", "abcde", false)
	}
	framed(t, p, a, "two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", "abcde", false)
}

func TestThreat03ChunkFraming(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, body := range map[string]string{
		"bare LF behind a size": "3\nabc\r\n0\r\n\r\n",
		"bare LF behind data":   "3\r\nabc\n0\r\n\r\n",
		"bare LF in extension":  "3;a\nb\r\nabc\r\n0\r\n\r\n",
		"0x":                    "0x3\r\nabc\r\n0\r\n\r\n",
		"sign":                  "+3\r\nabc\r\n0\r\n\r\n",
		"blank in front":        " 3\r\nabc\r\n0\r\n\r\n",
		"empty size":            "\r\nabc\r\n0\r\n\r\n",
		"no CRLF behind data":   "3\r\nabcd0\r\n\r\n",
		"17 digits":             "00000000000000003\r\nabc\r\n0\r\n\r\n",
		"2^64":                  "10000000000000000\r\nabc\r\n0\r\n\r\n",
		"extension of 64 KiB":   "3;" + strings.Repeat("x", 64<<10) + "\r\nabc\r\n0\r\n\r\n",
		"extensions of 4 MiB":   strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 4<<10) + "0\r\n\r\n",
		"trailer without colon": "3\r\nabc\r\n0\r\nX\r\n\r\n",
	} {
		framed(t, p, a, name, "Transfer-Encoding: chunked\r\n", body, false)
	}
}
