package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var behaviours = []struct {
	name string
	run  func(*testing.T, Make)
}{
	{"Expect is answered when the handler reads", expectContinue},
	{"Expect is not answered when the handler refuses", expectRefused},
	{"1xx answers go out at once", earlyHints},
	{"trailers go both ways", trailers},
	{"Flush sends what there is", flush},
	{"HEAD has no body", head},
	{"204 and 304 have no body", noBody},
	{"Hijack hands over bytes already read", hijack},
	{"deadlines reach the connection", deadlines},
	{"ReadFrom sends a file", readFrom},
	{"ErrAbortHandler cuts the answer", abort},
	{"a client that leaves ends the context", clientGone},
	{"Shutdown waits for requests", shutdownWaits},
	{"Shutdown closes idle connections", shutdownIdle},
	{"a connection after Shutdown is closed", afterShutdown},
}

func expectContinue(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if got := c.line(); got != "HTTP/1.1 100 Continue" {
		t.Fatalf("got %q before the body was sent", got)
	}
	c.line()
	c.send("hello")
	if res, body := c.answer("POST"); res.StatusCode != 200 || body != "hello" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

func expectRefused(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if got := c.line(); got != "HTTP/1.1 403 Forbidden" {
		t.Errorf("got %q, want 403 without 100", got)
	}
}

func earlyHints(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.ReadAll(r.Body) // which the client sends when it has seen the hints
		io.WriteString(w, "done")
	})
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
	if got := c.line(); got != "HTTP/1.1 103 Early Hints" {
		t.Fatalf("got %q", got)
	}
	for c.line() != "" {
	}
	c.send("x")
	if res, body := c.answer("POST"); res.StatusCode != 200 || body != "done" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

func trailers(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
	if res, body := c.answer("POST"); body != "abc" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q, trailer %v", body, res.Trailer)
	}
}

func flush(t *testing.T, mk Make) {
	release := newGate()
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		<-release
		io.WriteString(w, "second")
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
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

func head(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") })
	c.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := c.answer("HEAD"); res.StatusCode != 200 || res.ContentLength != 4 {
		t.Errorf("got %d, length %d", res.StatusCode, res.ContentLength)
	}
	if _, body := c.answer("GET"); body != "body" {
		t.Errorf("the answer behind HEAD is %q", body)
	}
}

func noBody(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
		w.Write([]byte("body"))
	})
	for _, path := range []string{"/204", "/304", "/204"} {
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if res, body := c.answer("GET"); body != "" || res.Header.Get("Transfer-Encoding") != "" {
			t.Errorf("%s: body %q, header %v", path, body, res.Header)
		}
	}
}

func hijack(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := bufio.NewReader(rw).ReadString('\n')
		io.WriteString(conn, "echo "+line)
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly\n")
	if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\r\n\r\necho early\n") {
		t.Errorf("got %q", got)
	}
}

func deadlines(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Errorf("set deadline: %v", err)
		}
		_, err := io.ReadAll(r.Body)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read behind the deadline: %v", err)
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(408)
	})
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	if res, _ := c.answer("POST"); res.StatusCode != 408 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func readFrom(t *testing.T, mk Make) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("the engine's writer has no ReadFrom")
		}
		http.ServeFile(w, r, path)
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := c.answer("GET"); body != string(content) {
		t.Errorf("got %d bytes, want %d", len(body), len(content))
	}
	c.send("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=100000-299999\r\n\r\n")
	if res, body := c.answer("GET"); res.StatusCode != 206 || body != string(content[100000:300000]) {
		t.Errorf("range: %d, %d bytes", res.StatusCode, len(body))
	}
}

func abort(t *testing.T, mk Make) {
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("a cut answer of %q looks complete", body)
	}
}

func clientGone(t *testing.T, mk Make) {
	ended := newGate()
	c, _ := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.line()
	c.Close()
	wait(t, ended, "the context to end")
}

func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

func shutdownWaits(t *testing.T, mk Make) {
	began, release := newGate(), newGate()
	c, e := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		io.WriteString(w, "done")
	})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	wait(t, began, "the request")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v with a request in flight", err)
	}
	close(release)
	if res, body := c.answer("GET"); body != "done" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

func shutdownIdle(t *testing.T, mk Make) {
	c, e := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {})
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer("GET")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := c.rest(); got != "" {
		t.Errorf("got %q on an idle connection", got)
	}
}

func afterShutdown(t *testing.T, mk Make) {
	c, e := dial(t, mk, func(w http.ResponseWriter, r *http.Request) {})
	c.send(get(""))
	c.rest()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	ours, theirs := pipe(t)
	e.ServeConn(theirs)
	if b, _ := io.ReadAll(ours); len(b) != 0 {
		t.Errorf("got %q", b)
	}
}
