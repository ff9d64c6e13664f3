package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// zeros gives n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// besideBodies runs a proxy in front of an app that sends and takes as much as it
// is asked for.
func besideBodies(t *testing.T) *proxy {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if want, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64); err == nil {
			w.Header().Set("Content-Length", strconv.FormatInt(want, 10))
			io.Copy(w, zeros(want))
			return
		}
		fmt.Fprint(w, n)
	}))
	t.Cleanup(app.Close)
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	text := "bodies: {host: bodies.localhost, url: \"" + app.URL + "\"}\n"
	if err := os.WriteFile(routes, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return startProcess(t, "routes="+routes)
}

// kib reads a field of /proc/PID/status that is in KiB.
func kib(t *testing.T, pid int, field string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(status(t, pid)[field])[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// THREATS 30: bodies pass, they are not kept.
func TestBodiesOfAGigabyteTakeNoMemory(t *testing.T) {
	p := besideBodies(t)
	ask := func(method, path string, body io.Reader, length int64) int64 {
		r, err := http.NewRequest(method, "http://bodies.localhost"+path, body)
		if err != nil {
			t.Error(err)
			return 0
		}
		r.ContentLength = length
		c := client(p.addr, false)
		c.Timeout = 2 * time.Minute // a busy machine passes a gigabyte in seconds
		resp, err := c.Do(r)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s %s: %d, %v after %d bytes", method, path, resp.StatusCode, err, n)
		}
		return n
	}
	ask("GET", "/1000", nil, 0)
	grew := func(what string, limit int, f func()) {
		before := kib(t, p.pid, "VmRSS")
		f()
		if got := kib(t, p.pid, "VmHWM") - before; got > limit<<10 {
			t.Errorf("%s: memory grew by %d KiB, want at most %d MiB", what, got, limit)
		}
	}
	const gigabyte = 1 << 30
	grew("1 GiB down", 32, func() {
		if n := ask("GET", "/"+strconv.Itoa(gigabyte), nil, 0); n != gigabyte {
			t.Errorf("%d bytes arrived", n)
		}
	})
	grew("1 GiB up", 32, func() { ask("POST", "/", zeros(gigabyte), gigabyte) })
	grew("1 GiB up in chunks", 32, func() { ask("POST", "/", zeros(gigabyte), -1) })
	grew("50 at once", 64, func() {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if i%2 == 0 {
					ask("GET", "/"+strconv.Itoa(20<<20), nil, 0)
				} else {
					ask("POST", "/", zeros(20<<20), 20<<20)
				}
			})
		}
		all.Wait()
	})
}
