package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing/iotest"
)

var fileBehaviours = []behaviour{
	{"ReadFrom sends a file", serveFile},
	{"ReadFrom takes any reader", readFrom},
	{"ReadFrom takes readers apart", readFromOften},
	{"ReadFrom hands on what its reader fails with", readFromFails},
	{"ReadFrom does not go beyond the length", readFromTooMuch},
	{"ReadFrom sends what came while the next is waited for", readFromSlowly},
}

// file returns the path of a new file.
func (t *trial) file(content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open returns an open file that is closed when the test ends.
func (t *trial) open(path string) *os.File {
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		panic(http.ErrAbortHandler)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func serveFile(t *trial) {
	content := pattern(1 << 20)
	path := t.file(content)
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("the engine's writer has no ReadFrom")
		}
		http.ServeFile(w, r, path)
	})
	c.Send(get(""))
	if _, body := c.Answer("GET"); body != string(content) {
		t.Errorf("got %d bytes, want %d", len(body), len(content))
	}
	c.Send(get("Range: bytes=100000-299999\r\n"))
	if res, body := c.Answer("GET"); res.StatusCode != 206 || body != string(content[100000:300000]) {
		t.Errorf("range: %d, %d bytes", res.StatusCode, len(body))
	}
	c.Send(head11)
	if res, _ := c.Answer("HEAD"); res.ContentLength != int64(len(content)) {
		t.Errorf("HEAD: length %d", res.ContentLength)
	}
}

// readFrom copies readers of all kinds, with and without a length, to clients of
// both versions.
func readFrom(t *trial) {
	content := pattern(300_000)
	path := t.file(content)
	sources := []struct {
		name string
		open func() io.Reader
		want []byte
	}{
		{"file", func() io.Reader { return t.open(path) }, content},
		{"part of a file", func() io.Reader { return io.LimitReader(t.open(path), 200_001) }, content[:200_001]},
		{"more than a file", func() io.Reader { return io.LimitReader(t.open(path), 1<<40) }, content},
		{"end of a file", func() io.Reader { f := t.open(path); f.Seek(299_990, io.SeekStart); return f }, content[299_990:]},
		{"memory", func() io.Reader { return bytes.NewReader(content) }, content},
		{"plain reader", func() io.Reader { return onlyReader{bytes.NewReader(content)} }, content},
		{"part of a reader", func() io.Reader { return io.LimitReader(onlyReader{bytes.NewReader(content)}, 5) }, content[:5]},
		{"halves", func() io.Reader { return iotest.HalfReader(bytes.NewReader(content)) }, content},
		{"data with EOF", func() io.Reader { return iotest.DataErrReader(bytes.NewReader(content)) }, content},
		{"single bytes", func() io.Reader { return iotest.OneByteReader(bytes.NewReader(content[:5000])) }, content[:5000]},
		{"nothing", func() io.Reader { return onlyReader{strings.NewReader("")} }, nil},
	}
	for _, src := range sources {
		for _, in := range []string{get11, get10} {
			for _, declare := range []bool{false, true} {
				c := t.dial(func(w http.ResponseWriter, r *http.Request) {
					if declare {
						w.Header().Set("Content-Length", fmt.Sprint(len(src.want)))
					}
					if n, err := w.(io.ReaderFrom).ReadFrom(src.open()); n != int64(len(src.want)) || err != nil {
						t.Errorf("%s: ReadFrom: %d, %v, want %d", src.name, n, err, len(src.want))
					}
				})
				c.Send(in)
				res, body := c.Answer("GET")
				if body != string(src.want) || declare && res.ContentLength != int64(len(src.want)) {
					t.Errorf("%s to %.14q, length declared: %v: got %d bytes, length %d, want %d", src.name, in, declare, len(body), res.ContentLength, len(src.want))
				}
			}
		}
	}
}

// readFromOften mixes Write and ReadFrom in one answer.
func readFromOften(t *trial) {
	content := pattern(100_000)
	path := t.file(content)
	want := "begin " + string(content) + " middle " + string(content[:10]) + string(content) + " end"
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "declared" {
			w.Header().Set("Content-Length", fmt.Sprint(len(want)))
		}
		io.WriteString(w, "begin ")
		io.Copy(w, t.open(path))
		io.WriteString(w, " middle ")
		io.CopyN(w, t.open(path), 10)
		io.Copy(w, onlyReader{bytes.NewReader(content)})
		io.WriteString(w, " end")
	})
	for _, query := range []string{"", "declared"} {
		c.Send("GET /?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, got := c.Answer("GET"); got != want {
			t.Errorf("%q: got %d bytes, the first wrong one is %d of %d", query, len(got), differ(got, want), len(want))
		}
	}
}

func readFromFails(t *trial) {
	mistake := errors.New("the source broke")
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		n, err := io.Copy(w, io.MultiReader(bytes.NewReader(pattern(50_000)), iotest.ErrReader(mistake)))
		if n != 50_000 || !errors.Is(err, mistake) {
			t.Errorf("copied %d, %v", n, err)
		}
	})
	c.Send(get("") + bait)
	if body := c.cut(); len(body) > 50_000 {
		t.Errorf("got %d bytes of 50,000", len(body))
	}
}

// readFromTooMuch: the surplus would be the next answer.
func readFromTooMuch(t *trial) {
	path := t.file(pattern(100))
	for name, open := range map[string]func() io.Reader{
		"file":   func() io.Reader { return t.open(path) },
		"reader": func() io.Reader { return onlyReader{bytes.NewReader(pattern(100))} },
	} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/last" {
				return
			}
			w.Header().Set("Content-Length", "50")
			if _, err := w.(io.ReaderFrom).ReadFrom(open()); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("%s: ReadFrom: %v", name, err)
			}
		})
		c.Send(get("") + last)
		_, body, _ := strings.Cut(c.Rest(), "\r\n\r\n")
		if surplus := strings.TrimPrefix(body, string(pattern(50))); surplus != "" && !strings.HasPrefix(surplus, "HTTP/1.1 ") {
			t.Errorf("%s: behind the length came %.80q", name, surplus)
		}
	}
}

// readFromSlowly has a source that goes on when the client has seen what it gave
// before, as events do: none may wait for a buffer to fill.
func readFromSlowly(t *trial) {
	events, w := io.Pipe()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		io.Copy(flushing{w, http.NewResponseController(w)}, events)
	})
	t.Cleanup(func() { w.Close() }) // lest a test that fails waits for the handler
	c.Send(get(""))
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		event := fmt.Sprintf("data: %d\n\n", i)
		io.WriteString(w, event)
		got := make([]byte, len(event))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != event {
			t.Fatalf("got %q, %v, want %q", got, err, event)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v at the end", rest, err)
	}
}
