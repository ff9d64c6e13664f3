package assets

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestVersionTellsAFileThatHidesItsChange(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a")
	put(t, root, map[string]string{"a": "old"})
	d := live(t, root)
	before, err := d.Stat("a")
	if err != nil {
		t.Fatal(err)
	}
	// The kernel's clock for inodes ticks every few milliseconds.
	for {
		if err := os.WriteFile(path, []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(before.Modified) {
			break
		}
	}
	if err := os.Chtimes(path, before.Modified, before.Modified); err != nil {
		t.Fatal(err)
	}
	after, err := d.Stat("a")
	if err != nil || after.Size != before.Size || !after.Modified.Equal(before.Modified) {
		t.Fatalf("the file is %+v, %v, was %+v", after, err, before)
	}
	if after.Version == before.Version {
		t.Errorf("other content has the same version %s", after.Version)
	}
}

func TestWhatIsNoFileIsNeverOpened(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"sub/file": "x", "link": "-> pipe"})
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	opened := opens(t, filepath.Join(root, "pipe"))
	devices := OpenDir("/dev", "")
	defer devices.Close()
	d := live(t, root)
	for _, tt := range []struct {
		d    *Dir
		name string
	}{{d, "pipe"}, {d, "link"}, {d, "socket"}, {devices, "null"}, {devices, "zero"}} {
		if f, err := tt.d.Stat(tt.name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is %+v, %v", tt.name, f, err)
		}
		if file, err := tt.d.Open(File{Name: tt.name}); !errors.Is(err, fs.ErrNotExist) {
			file.Close()
			t.Errorf("%s opened: %v", tt.name, err)
		}
		if list, err := tt.d.List(tt.name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s lists %v, %v", tt.name, list, err)
		}
	}
	if list, err := d.List(""); err != nil || len(list) != 1 || list[0].Name != "sub" {
		t.Errorf("the list is %+v, %v, want sub", list, err)
	}
	if n := opened(); n != 0 {
		t.Errorf("the pipe was opened %d times", n)
	}
	// Who wins the race gets no more than an open that returns.
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if file, err := openRegular(r, "pipe"); !errors.Is(err, fs.ErrNotExist) {
		file.Close()
		t.Errorf("a pipe in the place of a file opened: %v", err)
	}
	if n := opened(); n != 1 {
		t.Errorf("the watch counted %d opens, want that one", n)
	}
}

// opens returns a func that counts the opens of path since its last call.
func opens(t *testing.T, path string) func() int {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	return func() int {
		var buf [4096]byte
		n, err := unix.Read(fd, buf[:])
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		return max(n, 0) / unix.SizeofInotifyEvent
	}
}

func TestADirectoryThatIsAPipeDoesNotBlock(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(mount, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Dir{OpenDir(filepath.Join(mount, "pipe"), ""), OpenDir(mount, "pipe")} {
		if f := d.Fault(); f == nil || !strings.Contains(f.Message, "is not a directory") {
			t.Errorf("fault is %+v", f)
		}
	}
}

// unprivileged calls f without what root may do with files that are not its own.
// It is the thread that gives it up.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(id int) {
		if err := errors.Join(unix.Setfsgid(id), unix.Setfsuid(id)); err != nil {
			t.Error(err)
		}
	}
	become(65534)
	defer become(0)
	f()
}

// public returns a directory that everybody may search.
func public(t *testing.T) string {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAFileThatMayNotBeRead(t *testing.T) {
	root := public(t)
	put(t, root, map[string]string{"open": "x", "own": "x", "shut/a": "a", "unlisted/a": "a", "link": "-> own"})
	for name, mode := range map[string]os.FileMode{"own": 0o200, "shut": 0o200, "unlisted": 0o311} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(root, "shut"), 0o755); os.Chmod(filepath.Join(root, "unlisted"), 0o755) })
	unprivileged(t, func() { mayNotBeRead(t, live(t, root)) })
}

func mayNotBeRead(t *testing.T, d *Dir) {
	has(t, d, "open", "x")
	// What may be searched and not read cannot be walked through by os.Root.
	for _, name := range []string{"own", "link", "shut/a", "unlisted/a"} {
		if f, err := d.Stat(name); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%s is %+v, %v, want %v", name, f, err, fs.ErrPermission)
		}
		if _, err := d.Open(File{Name: name}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s opened: %v", name, err)
		}
	}
	for _, name := range []string{"shut", "unlisted"} {
		if list, err := d.List(name); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s lists %v, %v", name, list, err)
		}
	}
	if f := d.Fault(); f != nil {
		t.Errorf("fault is %+v", f)
	}
}

func TestADirectoryThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := filepath.Join(public(t), "files")
		put(t, root, map[string]string{"a": "x"})
		d := live(t, root)
		has(t, d, "a", "x")
		for _, mode := range []os.FileMode{0o300, 0o600, 0} {
			<-time.After(lookAgain)
			if err := os.Chmod(root, mode); err != nil {
				t.Fatal(err)
			}
			unprivileged(t, func() {
				fresh := OpenDir(root, "")
				defer fresh.Close()
				for _, d := range []*Dir{d, fresh} {
					if mode == 0o300 && d != fresh {
						continue // what is open already can be searched on
					}
					if got, err := contentOf(d, "a"); !errors.Is(err, ErrUnavailable) {
						t.Errorf("mode %o: the file is %q, %v", mode, got, err)
					}
					f := d.Fault()
					if f == nil || f.Code != "static-unreadable" || !strings.Contains(f.Message, fmt.Sprintf("runs as user %d, may not read %s", os.Geteuid(), root)) || !strings.Contains(f.Fix, "chmod -R o+rX "+root) {
						t.Errorf("mode %o: fault is %+v", mode, f)
					}
				}
			})
		}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		<-time.After(lookAgain)
		unprivileged(t, func() { has(t, d, "a", "x") })
	})
}

// TestDirectoriesAreExchangedWhileTheyAreRead holds that nobody ever finds
// nothing there, nor anything but the files of the one or the other.
func TestDirectoriesAreExchangedWhileTheyAreRead(t *testing.T) {
	outer := t.TempDir()
	path, next := filepath.Join(outer, "files"), filepath.Join(outer, "next")
	put(t, outer, map[string]string{
		"secret": "secret", "files/sub/a": "a", "next/sub/a": "b",
		"files/swap": "in", "files/evil": "-> ../secret", "next/swap": "in", "next/evil": "-> ../secret",
	})
	d := live(t, path)
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	loop := func(f func()) {
		writers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	exchange := func(a, b string) {
		if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
			t.Error(err)
		}
	}
	loop(func() { exchange(path, next) })
	loop(func() { exchange(filepath.Join(path, "swap"), filepath.Join(path, "evil")); runtime.Gosched() })
	loop(func() { d.look(0) })
	for range 4 {
		readers.Go(func() {
			for range 2000 {
				if got, err := contentOf(d, "sub/a"); err != nil || got != "a" && got != "b" {
					t.Errorf("the file is %q, %v", got, err)
				}
				if got, err := contentOf(d, "swap"); got != "in" && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("what is a link out at times is %q, %v", got, err)
				}
				if list, err := d.List("sub"); err != nil || len(list) != 1 {
					t.Errorf("the list is %v, %v", list, err)
				}
			}
		})
	}
	readers.Wait()
	close(done)
	writers.Wait()
}

func TestDirectoriesKeepNothingOpen(t *testing.T) {
	outer := t.TempDir()
	path := filepath.Join(outer, "files")
	put(t, outer, map[string]string{"secret": "x", "files/a": "x", "files/up": "-> ../secret", "files/sub/b": "x", "files/l": "-> sub/b"})
	if err := unix.Mkfifo(filepath.Join(path, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for range 20 {
		for _, d := range []*Dir{OpenDir(path, ""), OpenDir(outer, "files"), OpenDir(path, "up"), OpenDir(path, "a")} {
			for _, name := range []string{"a", "up", "sub", "sub/b", "l", "pipe", "none", ""} {
				contentOf(d, name)
				d.List(name)
				d.look(0)
			}
			move(t, path, path+".old")
			d.look(0)
			move(t, path+".old", path)
			d.look(0)
			d.Close()
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
