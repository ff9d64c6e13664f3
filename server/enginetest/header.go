package enginetest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

var headerBehaviours = []behaviour{
	{"fields of an answer cannot split it", noSplitting},
	{"large heads go out", largeHead},
	{"answers have a date", date},
	{"fields set behind the head are not sent", lateFields},
	{"1xx answers go out at once", earlyHints},
	{"100 may be sent by the handler", ownContinue},
	{"clients of 1.0 get no 1xx", noHintsFor10},
	{"trailers go both ways", trailers},
	{"trailers need not be announced", prefixedTrailers},
	{"fields that frame are no trailers", forbiddenTrailers},
	{"answers with a length have no trailers", trailersWithLength},
}

// Header fields that a handler took from somewhere: whatever is in them stays
// in its line.
var hostileFields = []struct{ name, value string }{
	{"X-A", "a\r\nInjected: x"}, {"X-A", "a\nInjected: x"}, {"X-A", "a\rInjected: x"}, {"X-A", "\r\n\r\nInjected: x"}, {"X-A", "a\r\n Injected: x\r\nInjected: y"},
	{"X-A\r\nInjected", "x"}, {"X-A: a\r\nInjected", "x"}, {"X-A\nInjected", "x"}, {"\r\nInjected", "x"}, {"", "Injected: x"}, {"X A", "b"}, {"X-A:", "b"},
	{"Connection", "close\r\nInjected: x"}, {"Content-Type", "a\r\nInjected: x"}, {"Date", "a\r\nInjected: x"}, {"Trailer", "X-A\r\nInjected: x"},
	{"Content-Length", "4\r\nInjected: x"}, {"Transfer-Encoding", "chunked\r\nInjected: x"},
}

func noSplitting(t *trial) {
	for _, f := range hostileFields {
		for _, status := range []int{103, 200, 304} {
			c := t.dial(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/last" {
					return
				}
				w.Header()[f.name] = []string{f.value}
				w.WriteHeader(status)
				io.WriteString(w, "body")
				w.Header()[http.TrailerPrefix+f.name] = []string{f.value}
			})
			c.Send(get("") + last)
			for line := range strings.FieldsFuncSeq(c.Rest(), func(r rune) bool { return r == '\r' || r == '\n' }) {
				if name, _, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "Injected" || strings.ContainsAny(name, " \t") && strings.HasPrefix(name, "X") {
					t.Errorf("%d with %q: got the line %q", status, f, line)
				}
			}
		}
	}
}

func largeHead(t *trial) {
	value := strings.Repeat("v", 60_000)
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		for i := range 900 {
			w.Header().Add("X-Many", fmt.Sprint(i))
		}
		w.Header().Set("X-Large", value)
		io.WriteString(w, "body")
	})
	for range 2 {
		c.Send(get(""))
		res, body := c.Answer("GET")
		if many := res.Header["X-Many"]; len(many) != 900 || many[899] != "899" || res.Header.Get("X-Large") != value || body != "body" {
			t.Errorf("got %d fields, %d bytes of the large one, body %q", len(many), len(res.Header.Get("X-Large")), body)
		}
	}
}

func date(t *trial) {
	const own = "Thu, 01 Jan 1970 00:00:01 GMT"
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "own" {
			w.Header().Set("Date", own)
		}
	})
	begin := time.Now().Add(-2 * time.Second)
	c.Send(get(""))
	res, _ := c.Answer("GET")
	if got, err := http.ParseTime(res.Header.Get("Date")); err != nil || got.Before(begin) || got.After(time.Now().Add(time.Second)) {
		t.Errorf("the date is %q", res.Header["Date"])
	}
	c.Send("GET /?own HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := c.Answer("GET"); len(res.Header["Date"]) != 1 || res.Header.Get("Date") != own {
		t.Errorf("the date is %q beside the handler's own", res.Header["Date"])
	}
}

func lateFields(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "early")
		w.WriteHeader(200)
		w.Header().Set("X-A", "late")
		w.Header().Set("X-B", "late")
		io.WriteString(w, "body")
	})
	for range 2 { // the second must not find what the first left
		c.Send(get(""))
		if res, _ := c.Answer("GET"); res.Header.Get("X-A") != "early" || res.Header["X-B"] != nil {
			t.Errorf("got %v", res.Header)
		}
	}
}

// earlyHints has a client that sends the body when it has seen two hints. They
// and the final answer have their own fields.
func earlyHints(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</b.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("X-Final", "yes")
		io.ReadAll(r.Body)
		io.WriteString(w, "done")
	})
	c.Send(post("Content-Length: 1\r\n", ""))
	for _, link := range []string{"Link: </a.css>; rel=preload", "Link: </b.css>; rel=preload"} {
		if got := c.Line(); got != "HTTP/1.1 103 Early Hints" {
			t.Fatalf("got %q", got)
		}
		var got []string
		for line := c.Line(); line != ""; line = c.Line() {
			got = append(got, line)
		}
		if len(got) != 1 || got[0] != link {
			t.Errorf("a hint has %q, want %q", got, link)
		}
	}
	c.Send("x")
	res, body := c.Answer("POST")
	if res.StatusCode != 200 || body != "done" || res.Header["Link"] != nil || res.Header.Get("X-Final") != "yes" {
		t.Errorf("got %d %q, %v", res.StatusCode, body, res.Header)
	}
}

func ownContinue(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusContinue)
		io.Copy(w, r.Body)
	})
	c.expect()
}

// noHintsFor10: RFC 9110, 15.2.
func noHintsFor10(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "done")
	})
	c.Send(get10)
	if got := codes(c.Rest()); got != "200" {
		t.Errorf("got %q", got)
	}
}

func trailers(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Other", "not announced")
	})
	for range 2 {
		c.Send(post("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n"))
		res, body := c.Answer("POST")
		if body != "abc" || res.Trailer.Get("X-Sum") != "42" || len(res.Trailer) != 1 || res.Header["X-Sum"] != nil {
			t.Errorf("got %q, header %v, trailer %v", body, res.Header, res.Trailer)
		}
	}
}

func prefixedTrailers(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "body")
		http.NewResponseController(w).Flush()
		w.Header().Add(http.TrailerPrefix+"X-Sum", "1")
		w.Header().Add(http.TrailerPrefix+"X-Sum", "2")
	})
	c.Send(get("") + last)
	res, body := c.Answer("GET")
	if sums := res.Trailer["X-Sum"]; body != "body" || len(sums) != 2 || sums[1] != "2" {
		t.Errorf("got %q, trailer %v", body, res.Trailer)
	}
	if got := codes(c.Rest()); got != "200" {
		t.Errorf("behind the trailers came %q", got)
	}
}

// forbiddenTrailers: RFC 9110, 6.5.1. A proxy that merged them into the header
// would read the next message wrongly.
func forbiddenTrailers(t *trial) {
	names := []string{"Content-Length", "Transfer-Encoding", "Trailer", "Host", "Content-Encoding", "Authorization"}
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", strings.Join(names, ", ")+", X-Sum")
		http.NewResponseController(w).Flush()
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
		for _, name := range names {
			w.Header().Set(name, "7")
		}
	})
	c.Send(get("") + last)
	raw := c.Rest()
	_, behind, _ := strings.Cut(raw, "\r\n0\r\n")
	trailer, _, _ := strings.Cut(behind, "\r\n\r\n")
	if trailer != "X-Sum: 1" || codes(raw) != "200 200" {
		t.Errorf("the trailers are %q in %q", trailer, raw)
	}
}

func trailersWithLength(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Other", "1")
	})
	c.Send(get(""))
	_, body := c.Answer("GET")
	c.Send(last)
	if rest := c.Rest(); body != "body" || !strings.HasPrefix(rest, "HTTP/1.1 200 ") {
		t.Errorf("got %q, and behind it %q", body, rest)
	}
}
