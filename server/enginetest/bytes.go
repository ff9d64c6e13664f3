package enginetest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// A request is bytes as a client sends them before it closes its side, and the
// statuses that may come back until the connection ends.
type request struct {
	name string
	in   string
	want []string // any of them
}

// requests are the byte cases.
var requests = slices.Concat(wellFormed, requestLines, fields, hosts, lengths, codings, chunks, trailerFields, tooLarge)

// What most cases want.
var (
	served   = []string{"200"}
	both     = []string{"200 200"} // the connection goes on
	refused  = []string{"400"}
	noCoding = []string{"400", "501"}
	noRoom   = []string{"414", "431", ""}
)

// bait stands behind a request that is refused: its answer must never come.
const bait = "GET /bait HTTP/1.1\r\nHost: x\r\n\r\n"

// last is a request that ends the connection.
const last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

func get(fields string) string { return "GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" }

func post(fields, body string) string {
	return "POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body
}

func chunked(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }

// each makes a case of every value. Its name is that of the values with the
// value, quoted and cut.
func each(name string, want []string, in func(value string) string, values ...string) []request {
	var all []request
	for _, v := range values {
		all = append(all, request{fmt.Sprintf("%s %.40q", name, v), in(v), want})
	}
	return all
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
func runCases(t *trial, lax []string) {
	for _, rq := range requests {
		t.run(rq.name, func(t *trial) {
			t.Parallel()
			var baited atomic.Bool
			c := t.dial(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/bait" {
					baited.Store(true)
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					w.Header().Set("Connection", "close")
					w.WriteHeader(http.StatusBadRequest)
				}
			})
			sent := beside(func() { io.WriteString(c, rq.in); c.CloseWrite() })
			raw := c.Rest()
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
