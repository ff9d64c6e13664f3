package h1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An answer whose header is lent has the fields of that header, and trailers from
// the writer's own.
func TestALentHeaderIsWritten(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			lent := http.Header{"X-Lent": {"a", "b"}, "Trailer": {"X-Sum"}}
			lend := w.(interface{ Lend(http.Header) bool }).Lend
			if !lend(lent) || lend(lent) {
				t.Error("Lend reports the wrong thing")
			}
			w.Header().Set("X-Hook", "1")
			w.WriteHeader(http.StatusAccepted)
			clear(lent) // its owner has it back
			lent["X-Late"] = []string{"1"}
			if lend(lent) {
				t.Error("a header was lent behind the head")
			}
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
		})
		c := dial(t, e, how)
		for range 2 {
			c.Send(get)
			res, body := c.Answer("GET")
			if res.StatusCode != 202 || body != "body" || len(res.Header["X-Lent"]) != 2 || res.Header.Get("X-Hook") != "1" || res.Header.Get("X-Late") != "" || res.Trailer.Get("X-Sum") != "42" {
				t.Errorf("got %d %q %v, trailer %v", res.StatusCode, body, res.Header, res.Trailer)
			}
		}
	})
}

// A header that is not empty is not hidden by one that is lent.
func TestNothingIsLentOverFieldsOfTheHandler(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Own", "1")
		if w.(interface{ Lend(http.Header) bool }).Lend(http.Header{}) {
			t.Error("it was lent")
		}
	})
	c := dial(t, e, byCallback)
	c.Send(get)
	if res, _ := c.Answer("GET"); res.Header.Get("X-Own") != "1" {
		t.Errorf("got %v", res.Header)
	}
}

// Hints with lent headers leave the final answer as it was.
func TestHintsMayBeLent(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		for _, link := range []string{"</a>", "</b>"} {
			w.(interface{ Lend(http.Header) bool }).Lend(http.Header{"Link": {link}, "Content-Length": {"7"}})
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, "ok")
	})
	c := dial(t, e, byCallback)
	c.Send(get + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := c.Rest()
	for range 2 {
		var ok bool
		if got, ok = strings.CutPrefix(got, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\n"); !ok {
			t.Fatalf("got %q", got)
		}
		_, got, _ = strings.Cut(got, "\r\n\r\nok")
	}
}

// Whatever the sizes of the pieces, the body arrives as it was written, and it is
// known where it ends.
func TestBodiesOfAllSizesArrive(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 20<<10)
	sizes := []int{0, 1, direct - 1, direct, outSize - 300, outSize - 1, outSize, outSize + 1, 2 * outSize, len(large)}
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			var n, piece int
			if _, err := sscan(r.URL.Path, &n, &piece); err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(r.URL.Path, "/sized") {
				w.Header().Set("Content-Length", itoa(n))
			}
			if strings.HasSuffix(r.URL.Path, "from") {
				w.(io.ReaderFrom).ReadFrom(struct{ io.Reader }{bytes.NewReader(large[:n])})
				return
			}
			for p := large[:n]; len(p) > 0; p = p[min(piece, len(p)):] {
				if _, err := w.Write(p[:min(piece, len(p))]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
		c := dial(t, e, how)
		for _, n := range sizes {
			for _, kind := range []string{"/sized", "/open"} {
				for _, piece := range []string{"1000", "5000", "100000", "1 from"} {
					c.Send("GET " + kind + "/" + itoa(n) + "/" + strings.Replace(piece, " ", "/", 1) + " HTTP/1.1\r\nHost: x\r\n\r\n")
					if _, got := c.Answer("GET"); got != string(large[:n]) {
						t.Fatalf("%s, %d bytes in pieces of %s: got %d bytes", kind, n, piece, len(got))
					}
				}
			}
		}
	})
}

func TestFilesAreSentWhole(t *testing.T) {
	content := bytes.Repeat([]byte("fairlead"), 100_000)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			switch r.URL.Path {
			case "/short":
				w.Header().Set("Content-Length", "100")
				if n, err := io.Copy(w, f); n != 100 || err != http.ErrContentLength {
					t.Errorf("more than was declared: %d bytes, %v", n, err)
				}
			case "/part":
				w.Header().Set("Content-Length", "100")
				io.CopyN(w, f, 40)
				io.CopyN(w, f, 60)
			case "/open":
				io.Copy(w, f)
			default:
				http.ServeFile(w, r, name)
			}
		})
		c := dial(t, e, how)
		for path, want := range map[string][]byte{"/file": content, "/part": content[:100], "/open": content, "/short": content[:100]} {
			c.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, got := c.Answer("GET"); got != string(want) {
				t.Errorf("%s: got %d bytes, want %d", path, len(got), len(want))
			}
		}
	})
}

// A client that does not read blocks the handler until its connection says that
// it is enough.
func TestAStalledClientBlocksTheWriter(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		result := make(chan error, 1)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(short))
			p := make([]byte, 1<<20)
			for range 1000 {
				if _, err := w.Write(p); err != nil {
					result <- err
					if _, again := w.Write(p); again == nil {
						t.Error("a write behind one that failed did not fail")
					}
					return
				}
			}
			result <- nil
		})
		c := dial(t, e, how)
		c.Send(get)
		if err := within(t, result, "the writer"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		waitFor(t, "the connection to end", func() bool { return e.Stats().Conns == 0 })
	})
}

// What would make two answers of one is not written.
func TestFieldsCannotSplitAnswers(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Value"] = []string{"a\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK"}
		h["X-Bad\r\nX-Evil"] = []string{"1"}
		h["X Bad"] = []string{"1"}
		h[""] = []string{"1"}
		h["Trailer"] = []string{"X-T"}
		io.WriteString(w, "ok")
		h["X-T"] = []string{"a\r\n\r\nHTTP/1.1 200 OK"}
	})
	c := dial(t, e, byCallback)
	c.Send(get)
	res, body := c.Answer("GET")
	if body != "ok" || res.Header.Get("X-Evil") != "" || res.Header.Get("X-Value") != "a  X-Evil: 1    HTTP/1.1 200 OK" {
		t.Errorf("got %q, %v", body, res.Header)
	}
	if got := res.Trailer.Get("X-T"); got != "a    HTTP/1.1 200 OK" {
		t.Errorf("got the trailer %q", got)
	}
	c.Send(get)
	if _, body := c.Answer("GET"); body != "ok" {
		t.Errorf("the next answer is %q", body)
	}
}

// A handler's goroutine may end itself; the connection ends with it, and nothing
// else.
func TestAHandlerThatExits(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			r.Context().Done()
			runtime.Goexit()
		})
		c := dial(t, e, how)
		c.Send(get)
		if got := c.Rest(); got != "" {
			t.Errorf("got %q", got)
		}
		waitFor(t, "the connection to end", func() bool { return e.Stats().Conns == 0 })
		if got := watched(e); got != 0 {
			t.Errorf("%d clients are still watched", got)
		}
	})
}

// An answer to 1.0 whose end is that of the connection does not look complete if
// it was cut.
func TestACutAnswerToOldClientsIsReset(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		read := make(chan bool)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "part")
			http.NewResponseController(w).Flush()
			<-read
			panic(http.ErrAbortHandler)
		})
		c := dial(t, e, how)
		c.Send("GET / HTTP/1.0\r\n\r\n")
		for line := ""; line != "\r\n"; {
			line, _ = c.R.ReadString('\n')
		}
		close(read)
		if body, err := io.ReadAll(c.R); err == nil && how == byCallback {
			t.Errorf("%q looks complete", body)
		}
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

// sscan reads the two numbers of a path.
func sscan(path string, n, piece *int) (int, error) {
	parts := strings.Split(path, "/")
	var err error
	if *n, err = strconv.Atoi(parts[2]); err != nil {
		return 0, err
	}
	*piece, err = strconv.Atoi(parts[3])
	return 2, err
}
