package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

var answerBehaviours = []behaviour{
	{"answers are framed as their request allows", framing},
	{"bodies are written in pieces of any size", oddPieces},
	{"Flush sends what there is", flush},
	{"Flush sends a head alone", flushHead},
	{"an answer shorter than its length is cut", tooLittle},
	{"an answer longer than its length is an error", tooMuch},
	{"what follows the length is not sent", tooMuchAtOnce},
	{"ErrAbortHandler cuts the answer", abort},
	{"other panics are logged and cut the answer", panics},
	{"a panic before the first byte sends nothing", earlyPanic},
}

// Requests that framing sends, all of them on connections of their own.
const (
	get11  = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	head11 = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
	get10  = "GET / HTTP/1.0\r\n\r\n"
	kept10 = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
)

// Content-Length of an answer: none, or what the engine likes.
const (
	noLength  = -1
	anyLength = -2
)

// framings are handlers, and what a client must make of their answers.
// Behind each request stands another, which is answered if the connection goes on.
var framings = []struct {
	name    string
	in      string
	handler func(http.ResponseWriter)
	status  int
	body    string
	length  int64
	goesOn  bool
}{
	{"short", get11, func(w http.ResponseWriter) { io.WriteString(w, "short") }, 200, "short", 5, true},
	{"empty", get11, func(w http.ResponseWriter) {}, 200, "", 0, true},
	{"status", get11, func(w http.ResponseWriter) { w.WriteHeader(404); w.WriteHeader(500) }, 404, "", 0, true},
	{"unknown status", get11, func(w http.ResponseWriter) { w.WriteHeader(599) }, 599, "", 0, true},
	{"declared", get11, declared(5, "short"), 200, "short", 5, true},
	{"declared and long", get11, declared(100_000, long), 200, long, 100_000, true},
	{"long", get11, func(w http.ResponseWriter) { io.WriteString(w, long) }, 200, long, noLength, true},
	{"flushed", get11, flushed("short"), 200, "short", noLength, true},
	{"close", get11, closing, 200, "short", 5, false},
	{"chunked by the handler", get11, func(w http.ResponseWriter) {
		w.Header().Set("Transfer-Encoding", "chunked")
		io.WriteString(w, "short")
	}, 200, "short", anyLength, true},
	{"a length that is none", get11, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "x"); io.WriteString(w, "short") }, 200, "short", anyLength, true},

	{"short to 1.0", get10, func(w http.ResponseWriter) { io.WriteString(w, "short") }, 200, "short", 5, false},
	{"long to 1.0", get10, func(w http.ResponseWriter) { io.WriteString(w, long) }, 200, long, noLength, false},
	{"flushed to 1.0", get10, flushed("short"), 200, "short", noLength, false},
	{"short to 1.0 that keeps alive", kept10, func(w http.ResponseWriter) { io.WriteString(w, "short") }, 200, "short", 5, true},
	{"declared to 1.0 that keeps alive", kept10, declared(100_000, long), 200, long, 100_000, true},
	{"long to 1.0 that keeps alive", kept10, func(w http.ResponseWriter) { io.WriteString(w, long) }, 200, long, noLength, false},
	{"flushed to 1.0 that keeps alive", kept10, flushed("short"), 200, "short", noLength, false},

	{"HEAD", head11, func(w http.ResponseWriter) { io.WriteString(w, "short") }, 200, "", 5, true},
	{"HEAD that writes nothing", head11, func(w http.ResponseWriter) { w.WriteHeader(404) }, 404, "", noLength, true},
	{"HEAD of what is declared", head11, declared(100_000, long), 200, "", 100_000, true},
	{"HEAD of what is declared and not written", head11, declared(100_000, ""), 200, "", 100_000, true},
	{"HEAD that copies", head11, func(w http.ResponseWriter) { io.Copy(w, onlyReader{strings.NewReader("short")}) }, 200, "", anyLength, true},
	{"HEAD of what is long", head11, func(w http.ResponseWriter) { io.WriteString(w, long) }, 200, "", anyLength, true},
	{"HEAD that flushes", head11, flushed("short"), 200, "", anyLength, true},

	{"204", get11, bodiless(204), 204, "", noLength, true},
	{"304", get11, bodiless(304), 304, "", noLength, true},
	{"304 with a length", get11, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "5"); w.WriteHeader(304) }, 304, "", 5, true},
	{"204 that flushes", get11, func(w http.ResponseWriter) { w.WriteHeader(204); http.NewResponseController(w).Flush() }, 204, "", noLength, true},
	{"204 that copies", get11, func(w http.ResponseWriter) { w.WriteHeader(204); io.Copy(w, onlyReader{strings.NewReader("short")}) }, 204, "", noLength, true},
	{"304 to HEAD", head11, bodiless(304), 304, "", noLength, true},
	{"304 to 1.0 that keeps alive", kept10, bodiless(304), 304, "", noLength, true},
}

var long = strings.Repeat("0123456789", 10_000)

func declared(n int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", fmt.Sprint(n))
		io.WriteString(w, body)
	}
}

func flushed(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		http.NewResponseController(w).Flush()
		io.WriteString(w, body)
	}
}

func closing(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	io.WriteString(w, "short")
}

func bodiless(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		io.WriteString(w, "short")
	}
}

// onlyReader hides all methods but Read.
type onlyReader struct{ io.Reader }

func framing(t *trial) {
	for _, tt := range framings {
		t.run(tt.name, func(t *trial) {
			c := t.dial(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/last" {
					io.WriteString(w, "next")
					return
				}
				tt.handler(w)
			})
			c.Send(tt.in + last)
			method, _, _ := strings.Cut(tt.in, " ")
			res, body := c.Answer(method)
			if res.StatusCode != tt.status || body != tt.body || tt.length != anyLength && res.ContentLength != tt.length && (method != "GET" || bodyAllowed(tt.status)) {
				t.Errorf("got %d, length %d, %.40q (%d bytes), want %d, length %d, %.40q", res.StatusCode, res.ContentLength, body, len(body), tt.status, tt.length, tt.body)
			}
			if strings.Contains(tt.in, "HTTP/1.0") && len(res.TransferEncoding) > 0 {
				t.Errorf("a client of 1.0 got %v", res.TransferEncoding)
			}
			if !bodyAllowed(tt.status) && (len(res.TransferEncoding) > 0 || tt.length == noLength && res.Header["Content-Length"] != nil) {
				t.Errorf("%d has a body: %v, %v", tt.status, res.TransferEncoding, res.Header)
			}
			if keeps := strings.EqualFold(res.Header.Get("Connection"), "keep-alive"); tt.in == kept10 && keeps != tt.goesOn {
				t.Errorf("a client of 1.0 that asks to keep alive is told %q", res.Header["Connection"])
			}
			rest := c.Rest()
			if want := map[bool]string{true: "200", false: ""}[tt.goesOn]; codes(rest) != want || tt.goesOn != strings.HasSuffix(rest, "\r\n\r\nnext") {
				t.Errorf("behind the answer came %.200q", rest)
			}
		})
	}
}

func bodyAllowed(status int) bool { return status != 204 && status != 304 }

// oddPieces writes one body over and over, in pieces of each size.
func oddPieces(t *trial) {
	body := pattern(100_000)
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		var piece, length int
		fmt.Sscanf(r.URL.RawQuery, "%d,%d", &piece, &length)
		if length > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(length))
		}
		for rest := body; len(rest) > 0; {
			n, err := w.Write(rest[:min(piece, len(rest))])
			if err != nil || n != min(piece, len(rest)) {
				t.Errorf("a write of %d: %d, %v", piece, n, err)
				return
			}
			rest = rest[n:]
			w.Write(nil)
		}
	})
	for _, piece := range append([]int{7, 333, 99_999}, oddSizes[3:]...) {
		for _, length := range []int{0, len(body)} {
			c.Send(fmt.Sprintf("GET /?%d,%d HTTP/1.1\r\nHost: x\r\n\r\n", piece, length))
			if _, got := c.Answer("GET"); got != string(body) {
				t.Fatalf("pieces of %d: got %d bytes, the first wrong one is %d", piece, len(got), differ(got, string(body)))
			}
		}
	}
}

// differ returns where a and b begin to differ.
func differ(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

func flush(t *trial) {
	release := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		<-release
		io.WriteString(w, "second")
	})
	c.Send(get(""))
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := []byte("     ")
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "first" {
		t.Errorf("got %q, %v before the handler ended", first, err)
	}
	close(release)
	if rest, _ := io.ReadAll(res.Body); string(rest) != "second" {
		t.Errorf("got %q", rest)
	}
}

func flushHead(t *trial) {
	release := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		w.WriteHeader(201)
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "body")
	})
	c.Send(get(""))
	res, err := http.ReadResponse(c.R, nil)
	if err != nil || res.StatusCode != 201 || res.ContentLength != 4 {
		t.Fatalf("got %v, %v before the handler ended", res, err)
	}
	close(release)
	if body, err := io.ReadAll(res.Body); string(body) != "body" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

// cut reads an answer that must not look complete, and that the end of the
// connection follows.
func (c *client) cut() (body string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(res.Body)
	if err == nil {
		c.t.Errorf("a cut answer of %.80q (%d bytes) looks complete", b, len(b))
	}
	if rest := c.Rest(); rest != "" {
		c.t.Errorf("behind a cut answer came %.80q", rest)
	}
	return string(b)
}

func tooLittle(t *trial) {
	for _, written := range []int{0, 3, 50_000} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(pattern(written))
		})
		c.Send(get("") + bait)
		if body := c.cut(); body != string(pattern(written)) {
			t.Errorf("got %d bytes of %d", len(body), written)
		}
	}
}

// tooMuch writes the declared length, and then more.
func tooMuch(t *trial) {
	for _, more := range []int{1, 100_000} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
			if _, err := w.Write(pattern(more)); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("a write of %d beyond the length: %v", more, err)
			}
		})
		c.Send(get(""))
		if _, body := c.Answer("GET"); body != "12345" {
			t.Errorf("got %q", body)
		}
		c.Send(last) // which may find the connection closed, and must not find the surplus
		if got := codes(c.Rest()); got != "200" && got != "" {
			t.Errorf("behind the answer came %q", got)
		}
	}
}

// tooMuchAtOnce writes what is declared and more in one piece: none of the
// surplus may pass for an answer.
func tooMuchAtOnce(t *trial) {
	const answer = "HTTP/1.1 299 Surplus\r\nContent-Length: 0\r\n\r\n"
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		if _, err := io.WriteString(w, "12345"+answer); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("a write beyond the length: %v", err)
		}
	})
	c.Send(get("") + last)
	if got := c.Rest(); strings.Contains(got, "299") || strings.Count(got, "12345") > 2 {
		t.Errorf("got %q", got)
	}
}

func abort(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c.Send(get("") + bait)
	if body := c.cut(); body != "part" {
		t.Errorf("got %q", body)
	}
	if log := t.log.text(); log != "" {
		t.Errorf("ErrAbortHandler was logged: %s", log)
	}
}

// panics has handlers that fail in the middle of their answers. Nothing of that
// must be felt by other connections.
func panics(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 100_000))
		panic("a mistake in the handler")
	})
	c := t.connect(e)
	c.Send(get("") + bait)
	c.cut()
	if log := t.log.text(); !strings.Contains(log, "a mistake in the handler") {
		t.Errorf("logged %q", log)
	}
	other := t.connect(e)
	other.Send(last)
	if got := codes(other.Rest()); got != "200" {
		t.Errorf("another connection got %q", got)
	}
}

func earlyPanic(t *trial) {
	for _, what := range []any{http.ErrAbortHandler, "a mistake", nil} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-A", "a")
			w.WriteHeader(200)
			panic(what)
		})
		c.Send(get("") + bait)
		if got := c.Rest(); got != "" {
			t.Errorf("behind a panic of %v came %q", what, got)
		}
	}
}
