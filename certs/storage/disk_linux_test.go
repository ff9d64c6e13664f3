package storage

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// mounted makes dir a file system of 256 KiB of its own, if that is permitted.
func mounted(t *testing.T, dir string) bool {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		t.Logf("without the right to mount: %v", err)
		return false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return true
}

// fill takes all room in dir, and returns what gives it back.
func fill(t *testing.T, dir string) (room func()) {
	t.Helper()
	filler := filepath.Join(dir, "filler")
	f, err := os.OpenFile(filler, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling %s ended with %v, want it full", dir, err)
	}
	return func() { os.Remove(filler) }
}

// forbid lets no file of this process grow, and returns what ends that.
func forbid(t *testing.T) (allow func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	allow = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
	t.Cleanup(allow)
	return allow
}

func TestDiskFull(t *testing.T) {
	t.Run("no file may grow", func(t *testing.T) {
		fails(t, t.TempDir(), "store a.pem: file too large", func() func() { return forbid(t) })
	})
	t.Run("a full file system", func(t *testing.T) {
		dir := t.TempDir()
		if mounted(t, dir) {
			fails(t, dir, "store a.pem: no space left on device", func() func() { return fill(t, dir) })
		}
	})
}

// fails checks what a store in dir does between begin and what it returns.
func fails(t *testing.T, dir, why string, begin func() (end func())) {
	var log journal
	s := Open(dir, zerolog.New(&log))
	put(t, s, "a.pem", "old")
	put(t, s, "broken.pem", "broken")
	end := begin()
	for range 3 {
		if err := s.Put("a.pem", []byte("new")); err == nil || err.Error() != why {
			t.Errorf("Put: %v, want %s", err, why)
		}
	}
	wantGet(t, s, "a.pem", "new")
	wantGet(t, Open(dir, zerolog.Nop()), "a.pem", "old") // on disk
	if got := s.Trouble(); got != why {
		t.Errorf("trouble %q, want %q", got, why)
	}
	s.SetAside("broken.pem", errors.New("nonsense"))
	wantNothing(t, s, "broken.pem")
	s.Put("broken.pem", []byte("sound"))
	wantGet(t, s, "broken.pem", "sound")
	log.want(t, 1, "would be lost at a restart")
	log.want(t, 0, "were saved again")
	defer run(t, s)()
	end()
	eventually(t, "what was put while the disk was full is written", func() bool { return s.Trouble() == "" })
	log.want(t, 1, "were saved again")
	disk := Open(dir, zerolog.Nop())
	wantGet(t, disk, "a.pem", "new")
	wantGet(t, disk, "broken.pem", "sound")
	if left := files(t, dir, tempMark+"*"); len(left) != 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "size=256k,mode=700"); err != nil {
		t.Fatalf("remount %s: %v", dir, err)
	}
}

// What made no sense is kept, also when there was no writing at that time.
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	var log journal
	if !mounted(t, dir) {
		// The best that is left. Without the right to mount, root can write everywhere.
		dir = blocked(t)
		s := Open(dir, zerolog.New(&log))
		s.SetAside("broken.pem", errors.New("nonsense"))
		s.Put("broken.pem", []byte("sound"))
		wantGet(t, s, "broken.pem", "sound")
		return
	}
	s := Open(dir, zerolog.New(&log))
	put(t, s, "certs/a.pem", "a")
	put(t, s, "broken.pem", "broken")
	remount(t, dir, syscall.MS_RDONLY)
	if err := s.Delete("never.pem"); err != nil || s.Trouble() != "" {
		t.Errorf("Delete of what is not there: %v, trouble %q, want neither", err, s.Trouble())
	}
	s.SetAside("broken.pem", errors.New("nonsense"))
	wantNothing(t, s, "broken.pem")
	if err := s.Put("broken.pem", []byte("sound")); err == nil || s.Trouble() != "store broken.pem: read-only file system" {
		t.Errorf("Put: %v, trouble %q, want it said that the file system is read-only", err, s.Trouble())
	}
	s.SetAside("broken.pem", errors.New("nonsense"))
	s.Put("broken.pem", []byte("sounder"))
	wantGet(t, s, "broken.pem", "sounder")
	if err := s.Delete("certs/a.pem"); err == nil {
		t.Error("Delete: no error")
	}
	wantNothing(t, s, "certs/a.pem")
	if unlock, err := s.Lock(t.Context(), "orders"); err != nil {
		t.Errorf("Lock: %v, want it given", err)
	} else {
		unlock()
	}
	log.want(t, 2, "it is ignored, and will be set aside")
	log.want(t, 1, "would be lost at a restart")
	remount(t, dir, 0)
	s.retry()
	disk := Open(dir, zerolog.Nop())
	wantGet(t, disk, "broken.pem", "sounder")
	wantNothing(t, disk, "certs/a.pem")
	aside := files(t, dir, "broken.pem.broken-*")
	if len(aside) != 1 {
		t.Fatalf("set aside are %q, want one file", aside)
	}
	if got, err := os.ReadFile(aside[0]); err != nil || string(got) != "broken" {
		t.Errorf("set aside is %q, %v, want what was there first", got, err)
	}
}

func TestModesAreOwnerOnly(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := filepath.Join(t.TempDir(), "tls")
	s := Open(dir, zerolog.Nop())
	put(t, s, "certs/a.pem", "key")
	unlock, err := s.Lock(t.Context(), "acme/orders")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	ownerOnly(t, dir)
	var log journal
	for name, mode := range map[string]fs.FileMode{"": 0o777, "certs": 0o755, "certs/a.pem": 0o644, "acme/orders.lock": 0o660} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	Open(dir, zerolog.New(&log))
	log.want(t, 4, "the mode was corrected")
	for _, said := range []string{`certs/a.pem","mode":"-rw-r--r--"`, `certs","mode":"-rwxr-xr-x"`} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %s:\n%s", said, &log)
		}
	}
	ownerOnly(t, dir)
	wantGet(t, s, "certs/a.pem", "key")
	var again journal
	Open(dir, zerolog.New(&again))
	again.want(t, 0, "corrected")
}

func ownerOnly(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want none for others", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
