package assets

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// An engine has directories of containers as tar streams.
type engine struct {
	mu      sync.Mutex
	streams map[string]func(ctx context.Context) (io.ReadCloser, error) // by id
	fetched map[string]int
}

func (e *engine) fetch(ctx context.Context, id, _ string) (io.ReadCloser, error) {
	e.mu.Lock()
	e.fetched[id]++
	stream := e.streams[id]
	e.mu.Unlock()
	if stream == nil {
		return nil, fmt.Errorf("no such container: %s", id)
	}
	return stream(ctx)
}

// count returns how often id was read since the last call.
func (e *engine) count(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.fetched[id]
	e.fetched[id] = 0
	return n
}

func (e *engine) set(id string, stream func(ctx context.Context) (io.ReadCloser, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams[id] = stream
}

// has gives a container a directory with files, of which names that end with "/"
// are directories.
func (e *engine) has(id string, files map[string]string) { e.sends(id, tarOf(files)) }

func (e *engine) sends(id string, stream []byte) {
	e.set(id, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream)), nil })
}

// tarOf returns the archive of a directory called static.
func tarOf(files map[string]string) []byte {
	heads := []tar.Header{{Name: "static/", Typeflag: tar.TypeDir, Mode: 0o755}}
	contents := []string{""}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := tar.Header{Name: "static/" + name, Typeflag: tar.TypeReg, Size: int64(len(files[name])), Mode: 0o644, ModTime: time.Unix(1e9, 0)}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		heads, contents = append(heads, h), append(contents, files[name])
	}
	return tarFrom(heads, contents)
}

func tarFrom(heads []tar.Header, contents []string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range heads {
		if err := w.WriteHeader(&heads[i]); err != nil {
			panic(err)
		}
		if i < len(contents) {
			io.WriteString(w, contents[i])
		}
	}
	w.Close()
	return b.Bytes()
}

var wideLimits = Limits{Total: 1 << 30, Copy: 64 << 20, File: 16 << 20, Entries: 10_000, Time: 30 * time.Second}

// A bench is a store under test with its engine. It is used in a bubble: after
// settle everything is done that can be at the time.
type bench struct {
	*testing.T
	*engine
	dir    string
	limits Limits
	log    bytes.Buffer
	store  *Store
	stop   func()
}

func newBench(t *testing.T) *bench {
	return &bench{
		T: t, dir: filepath.Join(t.TempDir(), "assets"), limits: wideLimits,
		engine: &engine{streams: map[string]func(context.Context) (io.ReadCloser, error){}, fetched: map[string]int{}},
	}
}

// open makes the store anew as at the start of a process, without running it.
func (b *bench) open() *Store {
	b.Helper()
	s := NewStore(Config{Dir: b.dir, Fetch: b.fetch, Limits: b.limits, Log: zerolog.New(&b.log)})
	s.compressible = func(string, int64) bool { return false }
	if err := s.Load(); err != nil {
		b.Error(err)
	}
	b.store = s
	return s
}

// run has the store work until the test ends, or halt is called.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s := b.store
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			b.Errorf("Run: %v", err)
		}
	}()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	b.Cleanup(b.stop)
}

func (b *bench) start() { b.Helper(); b.open(); b.run() }

func (b *bench) restart() { b.Helper(); b.stop(); b.start() }

func runOf(id string, started int) Run {
	return Run{ID: id, Container: "shop-" + id, StartedAt: time.Unix(int64(started), 0), Ready: true, Dir: "/app/static"}
}

// want says what collection c of the store has, and waits until that is done.
func (b *bench) want(key string, retain time.Duration, runs ...Run) *Collection {
	c := b.store.Collection(key)
	c.Want(runs, retain)
	synctest.Wait()
	return c
}

// content returns what a tree has under name, or the error.
func content(t Tree, name string) string {
	f, err := t.Stat(name)
	if err != nil {
		return err.Error()
	}
	file, err := t.Open(f)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (b *bench) has1(t Tree, name, want string) {
	b.Helper()
	if got := content(t, name); got != want {
		b.Errorf("%s: %q, want %q", name, got, want)
	}
}

func (b *bench) hasNot(t Tree, name string, want error) {
	b.Helper()
	if f, err := t.Stat(name); !errors.Is(err, want) {
		b.Errorf("%s: %+v, error %v, want %v", name, f, err, want)
	}
}

// onDisk returns the names of regular files in the store, without collections.json
// and the lock.
func (b *bench) onDisk() (names []string) {
	filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != stateName && d.Name() != lockName {
			name, _ := filepath.Rel(b.dir, path)
			names = append(names, name)
		}
		return nil
	})
	return names
}

func bubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newBench(t)) })
}

func TestWhatAContainerHasIsServed(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"app.js": "one", "css/": "", "css/a.css": "two", "css/a-b.css": "x", "css/a/deep.css": "three", "css.txt": "", "empty/": ""})
		b.start()
		c := b.want("shop", time.Hour, runOf("a", 1))
		b.has1(c, "app.js", "one")
		b.has1(c, "css/a.css", "two")
		b.has1(c, "css/a/deep.css", "three")
		f, err := c.Stat("app.js")
		if err != nil || f.Name != "app.js" || f.Size != 3 || f.Dir || !f.Strong || len(f.Version) != 32 || !f.Modified.Equal(time.Unix(1e9, 0)) {
			t.Errorf("app.js is %+v, %v", f, err)
		}
		for name, dir := range map[string]bool{"": true, "css": true, "css/a": true, "empty": true, "css.txt": false} {
			if f, err := c.Stat(name); err != nil || f.Dir != dir || f.Name != name {
				t.Errorf("%q is %+v, %v; want a directory: %t", name, f, err, dir)
			}
		}
		for _, name := range []string{"css/", "/app.js", "../x", "css/../app.js", "./app.js", "app.js/x", "cs", "css/a.cs", "a\x00", strings.Repeat("x", 256)} {
			b.hasNot(c, name, fs.ErrNotExist)
		}
		for name, want := range map[string]string{"": "app.js css css.txt empty", "css": "css/a css/a-b.css css/a.css", "css/a": "css/a/deep.css", "empty": "", "app.js": "error", "none": "error"} {
			list, err := c.List(name)
			var names []string
			for _, f := range list {
				names = append(names, f.Name)
			}
			got := strings.Join(names, " ")
			if err != nil {
				got = "error"
			}
			if got != want {
				t.Errorf("list of %q: %q, want %q", name, got, want)
			}
		}
		if st := c.Status(); st.State != Ready || st.Files != 5 || st.Bytes != 12 || st.Container != "shop-a" || st.Fault != nil || st.Since.IsZero() {
			t.Errorf("status %+v", st)
		}
		if _, err := c.Open(File{Name: "x"}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file of no tree: %v", err)
		}
		if n := b.count("a"); n != 1 {
			t.Errorf("read %d times, want once", n)
		}
	})
}

func TestStatesUntilTheFirstCopy(t *testing.T) {
	bubble(t, func(b *bench) {
		b.start()
		c := b.store.Collection("shop")
		if c != b.store.Collection("shop") || c == b.store.Collection("other") {
			t.Error("one collection for each key is wanted")
		}
		state := func(want string, missing error) {
			t.Helper()
			if st := c.Status(); st.State != want {
				t.Errorf("state %s, want %s (%+v)", st.State, want, st)
			}
			b.hasNot(c, "app.js", missing)
		}
		state(Waiting, fs.ErrNotExist)
		run := runOf("a", 1)
		run.Ready = false
		b.want("shop", time.Hour, run)
		state(Waiting, ErrPending)
		more, changed := make(chan struct{}), c.Changed()
		b.set("a", func(ctx context.Context) (io.ReadCloser, error) {
			select {
			case <-more:
				return nil, fs.ErrNotExist
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		b.want("shop", time.Hour, runOf("a", 1))
		state(Copying, ErrPending)
		<-changed
		changed = c.Changed()
		more <- struct{}{}
		synctest.Wait()
		<-changed
		state(Failed, ErrUnavailable)
		if f := c.Status().Fault; f == nil || f.Code != "static-missing" || f.Message != "has no directory /app/static" || f.Container != "shop-a" {
			t.Errorf("fault %+v", f)
		}
		b.want("shop", time.Hour, runOf("a", 1), Run{ID: "b", Dir: "/app/static"})
		state(Waiting, ErrPending) // of b
		version := c.Version()
		b.engine.has("b", map[string]string{"app.js": "b"})
		b.want("shop", time.Hour, runOf("a", 1), runOf("b", 0))
		b.has1(c, "app.js", "b")
		state(Ready, nil)
		if c.Version() == version {
			t.Error("a copy came and the version is the same")
		}
		b.want("shop", 0)
		state(Waiting, fs.ErrNotExist)
	})
}

func TestFilesOfFormerContainersStay(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.1.js": "1", "index.html": "1", "only1/x": ""})
		b.engine.has("b", map[string]string{"a.2.js": "2", "index.html": "2"})
		b.engine.has("c", map[string]string{"a.3.js": "3", "index.html": "3"})
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		b.want("shop", time.Hour, runOf("b", 2), runOf("a", 1))
		b.want("shop", time.Hour, runOf("b", 2))
		<-time.After(time.Minute)
		unready := runOf("c", 3)
		unready.Ready = false
		c := b.want("shop", time.Hour, unready)
		b.has1(c, "index.html", "2") // until there is a third
		c = b.want("shop", time.Hour, runOf("c", 3))
		for name, want := range map[string]string{"a.1.js": "1", "a.2.js": "2", "a.3.js": "3", "index.html": "3"} {
			b.has1(c, name, want)
		}
		if st := c.Status(); st.Retained != 2 || st.Container != "shop-c" {
			t.Errorf("status %+v, want two former ones", st)
		}
		if list, err := c.List(""); err != nil || len(list) != 2 {
			t.Errorf("list %v (%v), want the newest alone", list, err)
		}
		b.hasNot(c, "gone", fs.ErrNotExist)
		<-time.After(59*time.Minute + time.Second)
		synctest.Wait()
		b.hasNot(c, "a.1.js", fs.ErrNotExist)
		b.has1(c, "a.2.js", "2")
		<-time.After(time.Minute)
		synctest.Wait()
		b.hasNot(c, "a.2.js", fs.ErrNotExist)
		b.has1(c, "a.3.js", "3")
		if got := b.onDisk(); len(got) != 2 {
			t.Errorf("on disk: %v, want the one content and the tree", got)
		}
	})
}

func TestFilesStayUntilWhatIsWantedIsThere(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"index.html": "1"})
		b.start()
		b.want("shop", 0, runOf("a", 1))
		c := b.want("shop", 0, runOf("b", 2)) // the engine does not know it
		<-time.After(time.Hour)
		synctest.Wait()
		b.has1(c, "index.html", "1")
		if st := c.Status(); st.State != Ready || st.Fault == nil || st.Fault.Code != "static-copy-failed" || !strings.Contains(st.Fault.Message, "no such container: b") {
			t.Errorf("status %+v, fault %+v", st, st.Fault)
		}
		b.engine.has("b", map[string]string{"index.html": "2"})
		<-time.After(5 * time.Minute)
		synctest.Wait()
		b.has1(c, "index.html", "2")
		if st := c.Status(); st.Retained != 0 || st.Fault != nil {
			t.Errorf("status %+v", st)
		}
	})
}

func TestARunIsReadAgainOnceItHasEnded(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"index.html": "made at build time"})
		b.start()
		run := runOf("a", 1)
		c := b.want("shop", time.Hour, run)
		b.engine.has("a", map[string]string{"index.html": "made by the run"})
		run.Ended = true
		b.want("shop", time.Hour, run)
		b.has1(c, "index.html", "made by the run")
		b.want("shop", time.Hour, run)
		run.StartedAt = run.StartedAt.Add(time.Second)
		b.want("shop", time.Hour, run)
		if n := b.count("a"); n != 3 {
			t.Errorf("read %d times, want once for each run and its end", n)
		}
		if st := c.Status(); st.Retained != 0 {
			t.Errorf("%d former copies, of which nothing can be seen", st.Retained)
		}
	})
}

func TestTheStoreSurvivesARestart(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.1.js": "1", "w\n\x80\xff": "odd"})
		b.engine.has("b", map[string]string{"a.2.js": "2"})
		b.start()
		run := runOf("b", 2)
		run.Skip = []string{"x", "m"}
		b.want("shop\x00r", time.Hour, runOf("a", 1))
		b.want("shop\x00r", time.Hour, run)
		b.count("a")
		b.count("b")
		before := b.onDisk()
		for range 2 {
			b.restart()
			synctest.Wait()
			run.Skip = []string{"m", "x"}
			c := b.want("shop\x00r", time.Hour, run)
			b.has1(c, "a.1.js", "1")
			b.has1(c, "w\n\x80\xff", "odd")
			b.has1(c, "a.2.js", "2")
			if n := b.count("b"); n != 0 {
				t.Errorf("read %d times again", n)
			}
			if got := b.onDisk(); !slices.Equal(got, before) {
				t.Errorf("on disk: %v, before %v", got, before)
			}
		}
		<-time.After(time.Hour)
		synctest.Wait()
		b.hasNot(b.store.Collection("shop\x00r"), "a.1.js", fs.ErrNotExist)
	})
}

func TestWhatNobodyWantsAfterARestartGoes(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.1.js": "1"})
		b.start()
		b.want("shop", time.Second, runOf("a", 1))
		b.restart()
		<-time.After(grace - time.Second)
		synctest.Wait()
		b.has1(b.store.Collection("shop"), "a.1.js", "1") // the engine may be slow
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := b.onDisk(); len(got) > 0 {
			t.Errorf("on disk: %v", got)
		}
	})
}

// The time that files are kept for does not begin anew with each start.
func TestWhatNobodyWantsDoesNotStayByRestarts(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.1.js": "1"})
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		for range 3 {
			b.restart()
			<-time.After(25 * time.Minute)
			synctest.Wait()
		}
		if got := b.onDisk(); len(got) > 0 {
			t.Errorf("on disk: %v", got)
		}
	})
}

func TestEqualContentIsStoredOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		files := map[string]string{"a.js": "same", "b.js": "same", "c.js": "other"}
		b.engine.has("a", files)
		b.engine.has("b", files)
		files["c.js"] = "changed"
		b.engine.has("c", files)
		b.start()
		c := b.want("shop", time.Hour, runOf("b", 1), runOf("a", 1))
		if got := b.onDisk(); len(got) != 3 {
			t.Errorf("on disk after two replicas: %v, want two files and a tree", got)
		}
		if b.count("a") != 1 || b.count("b") != 1 {
			t.Error("each container is to be read once")
		}
		b.want("shop", time.Hour, runOf("c", 1), runOf("a", 1))
		if got := b.onDisk(); len(got) != 5 {
			t.Errorf("on disk after a change: %v, want three files and two trees", got)
		}
		if u := b.store.Usage(); u.Trees != 2 || u.Files != 3 || u.Bytes != 4+5+7 || u.Limit != b.limits.Total {
			t.Errorf("usage %+v", u)
		}
		other := b.want("other", time.Hour, runOf("c", 1))
		b.has1(other, "c.js", "changed")
		if n := b.count("c"); n != 1 {
			t.Errorf("a run that two collections want was read %d times", n)
		}
		b.has1(c, "c.js", "changed")
	})
}

func TestTheNewestRunIsReadFirstAndWhoHasNothingBefore(t *testing.T) {
	bubble(t, func(b *bench) {
		var order []string
		for _, id := range []string{"a", "b", "c", "d"} {
			stream := tarOf(map[string]string{"id": id})
			b.set(id, func(context.Context) (io.ReadCloser, error) {
				order = append(order, id)
				return io.NopCloser(bytes.NewReader(stream)), nil
			})
		}
		b.start()
		b.want("has", 0, runOf("a", 1))
		b.stop()
		b.open()
		b.store.Collection("has").Want([]Run{runOf("d", 9), runOf("a", 1)}, 0)
		b.store.Collection("none").Want([]Run{runOf("b", 2), runOf("c", 3)}, 0)
		b.run()
		synctest.Wait()
		if got := strings.Join(order, ""); got != "acdb" && got != "acbd" {
			t.Errorf("read in the order %s, want a; then c of the collection that has nothing, then d", got)
		}
	})
}

func TestNewestFirst(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.engine.has("b", map[string]string{"x": "b"})
		b.start()
		c := b.want("shop", time.Hour, runOf("b", 2), runOf("a", 1))
		b.has1(c, "x", "b")
		b.want("shop", time.Hour, runOf("a", 1))
		b.has1(c, "x", "a")
		if got := c.Status().Container; got != "shop-a" {
			t.Errorf("%s comes first, want shop-a", got)
		}
		<-time.After(time.Minute)
		b.want("shop", time.Hour)
		b.has1(c, "x", "a") // it left last
	})
}

func TestChangesAreTold(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		c := b.store.Collection("shop")
		before := c.Version()
		copied := c.Changed()
		b.want("shop", time.Hour, runOf("a", 1))
		<-copied
		changed := c.Changed()
		b.want("shop", time.Hour)
		<-time.After(time.Hour)
		<-changed
		if c.Version() == before {
			t.Error("files came and went, and the version is the same")
		}
	})
}

func TestTheStateIsReadableByItsOwnerAlone(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		filepath.WalkDir(b.dir, func(path string, _ fs.DirEntry, _ error) error {
			info, err := os.Lstat(path)
			if err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
			}
			return nil
		})
	})
}
