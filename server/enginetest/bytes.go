package enginetest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A request is bytes as a client sends them before it closes its side, and the
// statuses that may come back until the connection ends.
type request struct {
	name string
	in   string
	want []string // any of them
}

// bait stands behind a request that is refused: its answer must never come.
const bait = "GET /bait HTTP/1.1\r\nHost: x\r\n\r\n"

func get(fields string) string {
	return "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + "\r\n"
}

func post(fields, body string) string {
	return "POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body
}

var requests = []request{
	{"keep-alive", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + get(""), []string{"200 200"}},
	{"close", get("") + bait, []string{"200"}},
	{"http/1.0 closes", "GET / HTTP/1.0\r\n\r\n" + bait, []string{"200"}},
	{"pipelining", strings.Repeat("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 20) + get(""), []string{strings.Repeat("200 ", 20) + "200"}},
	{"pipelining behind a body", post("Content-Length: 3\r\n", "abc") + get(""), []string{"200 200"}},
	{"pipelining behind chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n") + get(""), []string{"200 200"}},
	{"lower-case method", "get / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []string{"200", "400"}},

	{"no host", "GET / HTTP/1.1\r\n\r\n" + bait, []string{"400"}},
	{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + bait, []string{"400"}},
	{"bad host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + bait, []string{"400"}},
	{"blank in target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n" + bait, []string{"400"}},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n" + bait, []string{"400", "505"}},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n" + bait, []string{"400", "505"}},
	{"no version", "GET /\r\nHost: x\r\n\r\n" + bait, []string{"400"}},
	{"method no token", "G@T / HTTP/1.1\r\nHost: x\r\n\r\n" + bait, []string{"400"}},

	{"empty field name (THREATS 4)", get(": x\r\n") + bait, []string{"400"}},
	{"blank before colon", get("X-A : x\r\n") + bait, []string{"400"}},
	{"blank in field name", get("X A: x\r\n") + bait, []string{"400"}},
	{"no colon", get("X-A\r\n") + bait, []string{"400"}},
	{"NUL in value", get("X-A: a\x00b\r\n") + bait, []string{"400"}},
	{"CR in value", get("X-A: a\rb\r\n") + bait, []string{"400"}},

	{"two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab") + bait, []string{"400"}},
	{"signed length", post("Content-Length: +5\r\n", "abcde") + bait, []string{"400"}},
	{"negative length", post("Content-Length: -1\r\n", "") + bait, []string{"400"}},
	{"list of lengths", post("Content-Length: 5,6\r\n", "abcdef") + bait, []string{"400"}},
	{"hex length", post("Content-Length: 0x5\r\n", "abcde") + bait, []string{"400"}},
	{"huge length", post("Content-Length: 18446744073709551616\r\n", "") + bait, []string{"400"}},
	{"empty length", post("Content-Length: \r\n", "") + bait, []string{"400"}},
	{"length with blank", post("Content-Length: 1 2\r\n", "ab") + bait, []string{"400"}},
	{"length and chunked (THREATS 1)", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, []string{"400", "200"}},
	{"unknown coding", post("Transfer-Encoding: gzip\r\n", "") + bait, []string{"400", "501"}},
	{"two codings", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n") + bait, []string{"400", "501"}},
	{"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + bait, []string{"400", "501"}},
	{"chunked with vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n") + bait, []string{"400", "501"}},

	{"bad chunk size", post("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n") + bait, []string{"400"}},
	{"signed chunk size", post("Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n") + bait, []string{"400"}},
	{"chunk without end", post("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n") + bait, []string{"400"}},
	{"huge chunk size", post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n") + bait, []string{"400"}},
	{"bare LF in chunks", post("Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n") + bait, []string{"400"}},
	{"chunk extensions without end", post("Transfer-Encoding: chunked\r\n", "3;"+strings.Repeat("a", 64<<10)+"\r\nabc\r\n0\r\n\r\n") + bait, []string{"400"}},

	{"target of 2 MiB (THREATS 29)", "GET /" + strings.Repeat("a", 2<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n" + bait, []string{"414", "431", ""}},
	{"20,000 fields (THREATS 29)", get(manyFields(20_000)) + bait, []string{"431", ""}},
	{"field of 1 MiB (THREATS 29)", get("X-A: "+strings.Repeat("a", 1<<20)+"\r\n") + bait, []string{"431", ""}},
	{"trailer of 4 MiB (THREATS 29)", post("Transfer-Encoding: chunked\r\n", "0\r\nX-A: "+strings.Repeat("a", 4<<20)+"\r\n\r\n") + bait, []string{"400", "431", ""}},
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: a\r\n", i)
	}
	return b.String()
}

// runCases sends every request. What the engine refuses it must also stop
// reading: the bait behind it is never answered and never reaches a handler.
func runCases(t *testing.T, mk Make, lax []string) {
	for _, rq := range requests {
		t.Run(rq.name, func(t *testing.T) {
			t.Parallel()
			var baited atomic.Bool
			c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/bait" {
					baited.Store(true)
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					w.Header().Set("Connection", "close")
					w.WriteHeader(http.StatusBadRequest)
				}
			})
			sent := beside(func() { io.WriteString(c, rq.in); c.CloseWrite() })
			raw := c.rest()
			<-sent
			got := codes(raw)
			kept := slices.Contains(rq.want, got) && !baited.Load()
			switch known := slices.Contains(lax, rq.name); {
			case known && kept:
				t.Errorf("got %q: the engine is not lax in this any more", got)
			case !known && !kept:
				t.Errorf("got %q, want any of %q; bait served: %v\n%.300s", got, rq.want, baited.Load(), raw)
			}
		})
	}
}

// beside runs f beside the test: an engine that refuses early does not read the
// rest, and a client that only writes would wait for ever.
func beside(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}
