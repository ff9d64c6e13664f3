package files

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/exchange"
)

// old is when files of tests were modified, unless they say otherwise.
var old = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// A testTree is a directory, and what tests make of it.
type testTree struct {
	dir     string
	strong  bool
	settled atomic.Bool
	version atomic.Uint64
	fault   atomic.Pointer[error] // of Stat and List
	changed atomic.Pointer[chan struct{}]
	stats   atomic.Int64
	opens   atomic.Int64
	onOpen  func(name string)                             // before a file is opened
	encoded func(assets.File, string) (assets.File, bool) // nil for none

	mu    sync.Mutex // guards names
	names []string   // that were asked for
}

// newTree returns a tree of files with this content, modified when old.
func newTree(t testing.TB, content map[string]string) *testTree {
	t.Helper()
	tree := &testTree{dir: t.TempDir()}
	for name, text := range content {
		tree.write(t, name, text, old)
	}
	return tree
}

func (t *testTree) write(tb testing.TB, name, text string, when time.Time) {
	tb.Helper()
	path := filepath.Join(t.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chtimes(path, when, when); err != nil {
		tb.Fatal(err)
	}
}

func (t *testTree) note(name string) error {
	t.mu.Lock()
	t.names = append(t.names, name)
	t.mu.Unlock()
	if err := t.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func (t *testTree) asked(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.names, name)
}

func (t *testTree) Stat(name string) (assets.File, error) {
	t.stats.Add(1)
	if err := t.note(name); err != nil {
		return assets.File{}, err
	}
	info, err := os.Stat(filepath.Join(t.dir, name))
	if err != nil {
		return assets.File{}, err
	}
	return t.file(name, info), nil
}

func (t *testTree) file(name string, info fs.FileInfo) assets.File {
	if info.IsDir() {
		return assets.File{Name: name, Dir: true}
	}
	version := strings.ReplaceAll(info.ModTime().UTC().Format("20060102150405.000000000"), ".", "-")
	return assets.File{Name: name, Size: info.Size(), Modified: info.ModTime(), Version: version, Strong: t.strong}
}

func (t *testTree) Open(f assets.File) (*os.File, error) {
	t.opens.Add(1)
	if t.onOpen != nil {
		t.onOpen(f.Name)
	}
	t.note(f.Name)
	return os.Open(filepath.Join(t.dir, f.Name))
}

func (t *testTree) List(name string) (out []assets.File, err error) {
	if err := t.note(name); err != nil {
		return nil, err
	}
	list, err := os.ReadDir(filepath.Join(t.dir, name))
	for _, d := range list {
		if info, err := d.Info(); err == nil {
			out = append(out, t.file(filepath.ToSlash(filepath.Join(name, d.Name())), info))
		}
	}
	return out, err
}

func (t *testTree) Encoded(f assets.File, coding string) (assets.File, bool) {
	if t.encoded == nil {
		return assets.File{}, false
	}
	return t.encoded(f, coding)
}

func (t *testTree) Version() uint64 { return t.version.Load() }
func (t *testTree) Settled() bool   { return t.settled.Load() }

// Changed is there for trees that may be pending.
func (t *testTree) Changed() <-chan struct{} {
	if c := t.changed.Load(); c != nil {
		return *c
	}
	return nil
}

// is makes all of t fail with err, nil for no more.
func (t *testTree) is(err error) {
	if err == nil {
		t.fault.Store(nil)
		return
	}
	t.fault.Store(&err)
}

// A call is one request of a test.
type call struct {
	method string // "" for GET
	target string
	path   string        // as the route left it; "" for target
	prefix string        // Exchange.Matched
	header []string      // name, value, …
	leaves time.Duration // when the client does; 0 for not at all
}

// An outcome is what came of it.
type outcome struct {
	status  int
	header  http.Header
	body    string
	x       *exchange.Exchange
	aborted bool
}

// ask has h answer c, as it is asked behind an entry point.
func ask(h http.Handler, c call) (out outcome) {
	method := c.method
	if method == "" {
		method = http.MethodGet
	}
	r := &http.Request{Method: method, RequestURI: c.target, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "shop.test"}
	for i := 0; i+1 < len(c.header); i += 2 {
		r.Header.Add(c.header[i], c.header[i+1])
	}
	if c.leaves > 0 {
		ctx, leave := context.WithTimeout(context.Background(), c.leaves)
		defer leave()
		r = r.WithContext(ctx)
	}
	rec := httptest.NewRecorder()
	x, w, r := exchange.Begin(rec, r)
	x.Target, x.Matched = c.target, c.prefix
	if c.path != "" {
		r = exchange.Rewrite(r, c.path)
	}
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
		out = outcome{status: rec.Code, header: rec.Result().Header, body: rec.Body.String(), x: x, aborted: p != nil}
	}()
	h.ServeHTTP(w, r)
	return out
}

// get asks for target without any fields.
func get(h http.Handler, target string, header ...string) outcome {
	return ask(h, call{target: target, header: header})
}

// root returns a document root of tree.
func root(tree assets.Tree, change ...func(*Options)) *Handler {
	o := Options{Root: true, Areas: []Area{{Tree: tree}}, Fallback: "404", Index: "index.html"}
	for _, f := range change {
		f(&o)
	}
	return New(o)
}

// app is an app that says what it was asked for.
var app = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "app: "+r.Method+" "+r.RequestURI)
})

func withApp(o *Options) { o.App, o.Fallback = app, "upstream" }

// expect fails the test unless out has this status and body.
func (o outcome) expect(t testing.TB, what string, status int, body string) {
	t.Helper()
	if o.status != status || o.body != body {
		t.Errorf("%s: got %d with %.80q, want %d with %.80q", what, o.status, o.body, status, body)
	}
}
