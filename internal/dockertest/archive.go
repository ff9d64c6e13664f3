package dockertest

import (
	"archive/tar"
	"bytes"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tar returns a directory as the engine sends it: a header of its own, then files
// by their name below it. A name that ends with a slash is a directory.
func Tar(dir string, files map[string]string) []byte {
	base := path.Base(dir)
	headers := []tar.Header{{Name: base + "/", Typeflag: tar.TypeDir, Mode: 0o755}}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for i, c := range name {
			if c == '/' && !seen[name[:i]] {
				seen[name[:i]] = true
				headers = append(headers, tar.Header{Name: base + "/" + name[:i] + "/", Typeflag: tar.TypeDir, Mode: 0o755})
			}
		}
		if !strings.HasSuffix(name, "/") {
			headers = append(headers, tar.Header{Name: base + "/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))})
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range headers {
		h := &headers[i]
		h.ModTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(files[strings.TrimPrefix(h.Name, base+"/")]))
		}
	}
	w.Close()
	return b.Bytes()
}

// archives are the copies out of containers: those of one wait for each other, and
// what asks for the container waits for them, as with the engine's lock.
type archives struct {
	mu     sync.Mutex // guards all below
	locks  map[string]*sync.Mutex
	stall  int // the body stops after so many bytes, 0 never
	cut    int // the connection ends after so many bytes, 0 never
	closed int // by the client before the end
}

// StallArchive has copies stop after n bytes until the client closes, 0 not.
func (e *Engine) StallArchive(n int) { e.archives.set(func(a *archives) { a.stall = n }) }

// CutArchive has the connection of copies end after n bytes, 0 not.
func (e *Engine) CutArchive(n int) { e.archives.set(func(a *archives) { a.cut = n }) }

// ClosedArchives returns how many copies were closed by the client before the end.
func (e *Engine) ClosedArchives() (n int) {
	e.archives.set(func(a *archives) { n = a.closed })
	return n
}

func (a *archives) set(f func(*archives)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// lock waits for the container and returns what lets go of it.
func (a *archives) lock(id string) (unlock func()) {
	a.mu.Lock()
	if a.locks == nil {
		a.locks = map[string]*sync.Mutex{}
	}
	l := a.locks[id]
	if l == nil {
		l = new(sync.Mutex)
		a.locks[id] = l
	}
	a.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// serveArchive sends a path of a container, as said by Container.Archive.
func (e *Engine) serveArchive(w http.ResponseWriter, r *http.Request, id string) {
	e.mu.Lock()
	c := e.find(id)
	var data []byte
	ok := false
	if c != nil {
		data, ok = c.Archive[r.URL.Query().Get("path")]
	}
	e.mu.Unlock()
	switch {
	case c == nil:
		e.refuse(w, statusError{404, "No such container: " + id})
		return
	case !ok:
		e.refuse(w, statusError{404, "Could not find the file " + r.URL.Query().Get("path") + " in container " + id})
		return
	}
	defer e.archives.lock(c.id)()
	var stall, cut int
	e.archives.set(func(a *archives) { stall, cut = a.stall, a.cut })
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("X-Docker-Container-Path-Stat", "e30=") // of no use to anybody: {}
	w.WriteHeader(http.StatusOK)
	end := len(data)
	for _, n := range []int{stall, cut} {
		if n > 0 {
			end = min(end, n)
		}
	}
	_, err := w.Write(data[:end])
	http.NewResponseController(w).Flush()
	if stall > 0 && err == nil {
		<-r.Context().Done()
		err = r.Context().Err()
	}
	if err != nil {
		e.archives.set(func(a *archives) { a.closed++ })
		return
	}
	if cut > 0 {
		panic(http.ErrAbortHandler)
	}
}
