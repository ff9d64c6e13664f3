package assets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// put makes files below dir: name to content; "-> target" makes a link, and a
// name that ends in "/" a directory.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// live returns the tree of path, which is closed at the end of the test.
func live(t testing.TB, path string) *Dir {
	d := OpenDir(path, "")
	t.Cleanup(func() { d.Close() })
	return d
}

// content returns what name has in d.
func contentOf(d Tree, name string) (string, error) {
	f, err := d.Stat(name)
	if err != nil {
		return "", err
	}
	file, err := d.Open(f)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	return string(b), err
}

// has fails the test unless name has the content want in d.
func has(t testing.TB, d Tree, name, want string) {
	t.Helper()
	if got, err := contentOf(d, name); got != want || err != nil {
		t.Errorf("%q is %q, %v, want %q", name, got, err, want)
	}
}

func TestDirHasWhatLiesInIt(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	long := strings.Repeat("n", 255)
	put(t, outer, map[string]string{
		"secret":           "secret",
		"outside/secret":   "secret",
		"rooted/app.js":    "secret", // a sibling that begins like the root
		"root/app.js":      "app",
		"root/css/a.css":   "css",
		"root/empty/":      "",
		"root/.hidden":     "hidden",
		"root/a b%2f?#.js": "odd",
		"root/\xe9\n.js":   "bytes",
		"root/" + long:     "long",

		"root/link.js":       "-> app.js",
		"root/again.js":      "-> css/back.js",
		"root/css/back.js":   "-> ../link.js",
		"root/style":         "-> css",
		"root/dangling":      "-> nothing",
		"root/loop":          "-> loop",
		"root/ping":          "-> pong",
		"root/pong":          "-> ping",
		"root/up":            "-> ../secret",
		"root/updir":         "-> ..",
		"root/round":         "-> ../root/app.js",
		"root/css/far":       "-> ../../outside/secret",
		"root/outdir":        "-> ../outside",
		"root/absolute":      "-> " + filepath.Join(root, "app.js"),
		"root/absolute-out":  "-> " + filepath.Join(outer, "secret"),
		"root/etc":           "-> /etc",
		"root/proc":          "-> /proc/self/root/etc/passwd",
		"root/deep/way/out":  "-> ../../css/far",
		"root/deep/way/self": "-> .",
	})
	d := live(t, root)
	const directory, none = "\x00directory", "\x00none"
	for name, want := range map[string]string{
		"": directory, "css": directory, "empty": directory, "style": directory, "deep/way/self": directory,
		"app.js": "app", "css/a.css": "css", ".hidden": "hidden", "a b%2f?#.js": "odd", "\xe9\n.js": "bytes", long: "long",
		"link.js": "app", "again.js": "app", "css/back.js": "app", "style/a.css": "css", "style/back.js": "app",
		"deep/way/self/self/self": directory,

		"nothing": none, "css/nothing": none, "app.js/x": none, "App.js": none,
		"dangling": none, "loop": none, "ping": none,
		"up": none, "updir": none, "updir/secret": none, "updir/root/app.js": none, "round": none, "css/far": none,
		"outdir": none, "outdir/secret": none, "absolute": none, "absolute-out": none, "etc": none, "etc/passwd": none,
		"proc": none, "deep/way/out": none,

		".": none, "..": none, "../secret": none, "css/../app.js": none, "css/../../secret": none, "./app.js": none,
		"/app.js": none, "/etc/passwd": none, "app.js/": none, "css//a.css": none, "//": none, "/": none,
		"css\\a.css": none, "..\\secret": none, "app.js\x00": none, "\x00": none, "css/\x00/a.css": none,
		long + "n": none, strings.Repeat("a/", 3000) + "a": none,
	} {
		f, err := d.Stat(name)
		switch want {
		case none:
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q is %+v, %v, want nothing there", name, f, err)
			}
			if file, err := d.Open(File{Name: name}); err == nil {
				file.Close()
				t.Errorf("%q opened", name)
			}
		case directory:
			if err != nil || !f.Dir || f.Size != 0 || f.Name != name {
				t.Errorf("%q is %+v, %v, want a directory", name, f, err)
			}
			if file, err := d.Open(f); err == nil {
				file.Close()
				t.Errorf("directory %q opened", name)
			}
		default:
			if err != nil || f.Dir || f.Size != int64(len(want)) || f.Name != name || f.Strong || f.Modified.IsZero() {
				t.Errorf("%q is %+v, %v, want a file", name, f, err)
			}
			has(t, d, name, want)
		}
	}
	if f := d.Fault(); f != nil {
		t.Errorf("fault is %+v", f)
	}
	if d.Settled() || d.Version() != 0 {
		t.Errorf("a live directory is settled, or has a version: %v", d.Version())
	}
	if _, ok := d.Encoded(File{Name: "app.js"}, "gzip"); ok {
		t.Error("something was compressed beforehand")
	}
}

func TestVersionsOfAFileDiffer(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"a": "1", "b": "1"})
	d := live(t, root)
	path := filepath.Join(root, "a")
	of := func() string {
		t.Helper()
		f, err := d.Stat("a")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Trim(f.Version, "0123456789abcdef-") != "" {
			t.Errorf("version is %q", f.Version)
		}
		return f.Version
	}
	first := of()
	if again := of(); again != first {
		t.Errorf("unchanged, and %s became %s", first, again)
	}
	seen := map[string]string{first: "new"}
	for _, tt := range []struct {
		what string
		do   func() error
	}{
		{"longer", func() error { return os.WriteFile(path, []byte("12"), 0o644) }},
		{"older", func() error { return os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 1)) }},
		{"a nanosecond younger", func() error { return os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 2)) }},
		{"another file", func() error { return os.Rename(filepath.Join(root, "b"), path) }},
	} {
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		v := of()
		if was, ok := seen[v]; ok {
			t.Errorf("%s has the version of %s: %s", tt.what, was, v)
		}
		seen[v] = tt.what
	}
}

func TestAReplacedDirectoryIsNoticedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := t.TempDir()
		path := filepath.Join(outer, "files")
		put(t, outer, map[string]string{"files/a": "old", "files/gone": "old", "next/a": "new", "next/b": "new"})
		d := live(t, path)
		has(t, d, "a", "old")
		<-time.After(lookAgain / 2)
		move(t, path, filepath.Join(outer, "old"))
		move(t, filepath.Join(outer, "next"), path)
		has(t, d, "a", "old")
		<-time.After(lookAgain / 2)
		has(t, d, "a", "new")
		if _, err := d.Stat("gone"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file of the old directory: %v", err)
		}
	})
}

func TestANewFileOfAReplacedDirectoryIsThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := t.TempDir()
		path := filepath.Join(outer, "files")
		put(t, outer, map[string]string{"files/a": "old", "next/b": "new", "next/sub/c": "new"})
		d := live(t, path)
		has(t, d, "a", "old")
		<-time.After(lookOnErrors)
		move(t, path, filepath.Join(outer, "old"))
		move(t, filepath.Join(outer, "next"), path)
		if list, err := d.List("sub"); err != nil || len(list) != 1 {
			t.Errorf("the list is %+v, %v, want c", list, err)
		}
		has(t, d, "b", "new")
	})
}

func TestADirectoryThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := t.TempDir()
		path := filepath.Join(outer, "files")
		d := live(t, path)
		for range 3 {
			if _, err := d.Stat("a"); !errors.Is(err, ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("without the directory: %v, want %v", err, ErrUnavailable)
			}
			if _, err := d.List(""); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("the list without the directory: %v", err)
			}
			if f := d.Fault(); f == nil || f.Code != "static-missing" {
				t.Fatalf("fault is %+v", f)
			}
			put(t, path, map[string]string{"a": "here"})
			<-time.After(lookAgain)
			has(t, d, "a", "here")
			if f := d.Fault(); f != nil {
				t.Fatalf("fault is %+v", f)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			<-time.After(lookOnErrors)
		}
	})
}

func TestFaultsOfADirectorySayWhatToDo(t *testing.T) {
	outer := t.TempDir()
	put(t, outer, map[string]string{
		"file": "x", "secret/key": "k", "mount/file": "x", "mount/out": "-> ../secret",
		"mount/abs": "-> " + filepath.Join(outer, "secret"), "mount/loop": "-> loop", "loop": "-> loop",
	})
	mount := filepath.Join(outer, "mount")
	for _, tt := range []struct{ mount, below, code, message string }{
		{filepath.Join(outer, "none"), "", "static-missing", "has no directory PATH"},
		{filepath.Join(outer, "none", "none"), "", "static-missing", "has no directory PATH"},
		{mount, "none", "static-missing", "has no directory PATH"},
		{filepath.Join(outer, "none"), "below", "static-missing", "has no directory PATH"},
		{filepath.Join(outer, "file"), "", "static-missing", "PATH, as the proxy sees it (it runs as user UID), is not a directory"},
		{mount, "file", "static-missing", "PATH, as the proxy sees it (it runs as user UID), is not a directory"},
		{mount, "file/below", "static-missing", "PATH, as the proxy sees it (it runs as user UID), is not a directory"},
		{mount, "out", "static-missing", "is a symbolic link that leads out of MOUNT"},
		{mount, "abs", "static-missing", "is a symbolic link that leads out of MOUNT"},
		{mount, "../secret", "static-missing", "leads out of MOUNT"},
		{filepath.Join(outer, "loop"), "", "static-missing", "PATH, as the proxy sees it"},
	} {
		d := OpenDir(tt.mount, tt.below)
		defer d.Close()
		want := strings.NewReplacer("PATH", d.Path(), "MOUNT", tt.mount, "UID", fmt.Sprint(os.Geteuid())).Replace(tt.message)
		f := d.Fault()
		if f == nil || f.Code != tt.code || !strings.Contains(f.Message, want) || f.Fix == "" {
			t.Errorf("%s: fault is %+v, want %s: …%s…", d.Path(), f, tt.code, want)
			continue
		}
		if !strings.Contains(f.Message, fmt.Sprintf("user %d", os.Geteuid())) {
			t.Errorf("%s: message does not say the user: %s", d.Path(), f.Message)
		}
		_, err := d.Stat("key")
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), f.Message) {
			t.Errorf("%s: Stat gives %v", d.Path(), err)
		}
		if _, err := d.Open(File{Name: "key"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: Open gives %v", d.Path(), err)
		}
	}
}

func TestADirectoryBelowAMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := t.TempDir()
		put(t, outer, map[string]string{
			"volume/releases/1/a": "one", "volume/releases/2/a": "two", "volume/key": "secret",
			"volume/releases/1/up": "-> ../../key",
			"volume/current":       "-> releases/1",
			"link":                 "-> volume", // the operator's, not the app's
			"etc/a":                "secret",
		})
		d := OpenDir(filepath.Join(outer, "link"), "current")
		defer d.Close()
		has(t, d, "a", "one")
		if f, err := d.Stat("up"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("above the directory, in the mount: %+v, %v", f, err)
		}
		for _, tt := range []struct{ target, want string }{{"releases/2", "two"}, {"../etc", ""}, {"releases/1", "one"}} {
			current := filepath.Join(outer, "volume/current")
			if err := os.Remove(current); err != nil {
				t.Fatal(err)
			}
			put(t, outer, map[string]string{"volume/current": "-> " + tt.target})
			<-time.After(lookAgain)
			if tt.want != "" {
				has(t, d, "a", tt.want)
			} else if got, err := contentOf(d, "a"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("out of the mount there is %q, %v", got, err)
			}
		}
	})
}

func TestAClosedDirectoryHasNothing(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"a": "a"})
	used, unused := OpenDir(root, ""), OpenDir(root, "")
	has(t, used, "a", "a")
	for _, d := range []*Dir{used, unused} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		d.Close()
		if _, err := d.Stat("a"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Stat gives %v", err)
		}
		if file, err := d.Open(File{Name: "a"}); !errors.Is(err, ErrUnavailable) {
			file.Close()
			t.Errorf("Open gives %v", err)
		}
		if d.Fault() != nil {
			t.Errorf("fault is %+v", d.Fault())
		}
	}
}

func TestErrorsOfTheFileSystemAreTold(t *testing.T) {
	d := OpenDir("x", "")
	const errIO = syscall.EIO
	for _, err := range []error{&fs.PathError{Op: "open", Path: "x", Err: errIO}, errIO} {
		f := d.failed(err).fault
		if f.Code != "static-unreadable" || !strings.HasSuffix(f.Message, ": "+errIO.Error()) {
			t.Errorf("fault is %+v", f)
		}
		if got := refused("stat", "a", err); !errors.Is(got, ErrUnavailable) || errors.Is(got, fs.ErrNotExist) {
			t.Errorf("told as %v", got)
		}
	}
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkDirStat(b *testing.B) {
	root := b.TempDir()
	put(b, root, map[string]string{"css/app.css": "x", "a": "x"})
	d := live(b, root)
	for _, name := range []string{"a", "css/app.css", "nothing", "css/nothing"} {
		b.Run(strings.ReplaceAll(name, "/", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDirOpen(b *testing.B) {
	root := b.TempDir()
	put(b, root, map[string]string{"css/app.css": "x"})
	d := live(b, root)
	b.ReportAllocs()
	for b.Loop() {
		file, err := d.Open(File{Name: "css/app.css"})
		if err != nil {
			b.Fatal(err)
		}
		file.Close()
	}
}
