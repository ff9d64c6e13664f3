package storage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// blocked returns the path of a directory that cannot be: a file has its name.
func blocked(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tls")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWithoutADirectoryMemoryServes(t *testing.T) {
	dir := blocked(t)
	var log journal
	s := Open(dir, zerolog.New(&log))
	wantNothing(t, s, "a.pem")
	if err := s.Put("certs/a.pem", []byte("a")); err == nil {
		t.Error("Put: no error")
	}
	s.Put("b.pem", []byte("b"))
	s.Put("c.pem", []byte("c"))
	s.Delete("b.pem")
	s.SetAside("c.pem", errors.New("nonsense"))
	wantGet(t, s, "certs/a.pem", "a")
	wantNothing(t, s, "b.pem")
	wantNothing(t, s, "c.pem")
	if got := s.List("."); !slices.Equal(got, []string{"certs/a.pem"}) {
		t.Errorf("List(.) = %q, want what is in memory", got)
	}
	log.want(t, 1, "would be lost at a restart")
	if !strings.Contains(log.String(), dir) {
		t.Errorf("the log does not name %s:\n%s", dir, &log)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	run(t, s)() // Run tries once more at its end
	wantGet(t, Open(dir, zerolog.Nop()), "certs/a.pem", "a")
	if got := s.Trouble(); got != "" {
		t.Errorf("trouble %q after all was written, want none", got)
	}
	log.want(t, 1, "were saved again")
}

// Nothing waits to be written, and still Trouble has to end.
func TestADirectoryIsMadeOnceItCanBe(t *testing.T) {
	dir := blocked(t)
	s := Open(dir, zerolog.Nop())
	if s.retry() || !strings.Contains(s.Trouble(), dir) {
		t.Errorf("trouble %q, want it to name %s", s.Trouble(), dir)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if !s.retry() || s.Trouble() != "" {
		t.Errorf("trouble %q, want none", s.Trouble())
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v, want a directory of mode 0700", dir, info, err)
	}
}

func TestRunTriesEverMoreRarely(t *testing.T) {
	dir := blocked(t)
	synctest.Test(t, func(t *testing.T) {
		s := Open(dir, zerolog.Nop())
		defer run(t, s)()
		s.Put("a.pem", []byte("a"))
		synctest.Wait()
		// Tries are due 1, 3, 7, 15, 31, 61, 91 and 121 s after the first failed.
		<-time.After(91*time.Second + time.Millisecond)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		<-time.After(29 * time.Second)
		if s.Trouble() == "" {
			t.Error("it was written before the next try was due")
		}
		<-time.After(time.Second)
		synctest.Wait()
		if got := s.Trouble(); got != "" {
			t.Errorf("31 s after it could be written: %s, want it written", got)
		}
	})
	wantGet(t, Open(dir, zerolog.Nop()), "a.pem", "a")
}

// Without Run, too: the next Put shows that the disk is well.
func TestTroubleEndsWithTheLastFile(t *testing.T) {
	dir := t.TempDir()
	var log journal
	s := Open(dir, zerolog.New(&log))
	for _, name := range []string{"a", "b"} { // a directory with something in it is where a file should be
		if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(name, []byte(name)); err == nil || !strings.Contains(err.Error(), "store "+name+": ") {
			t.Errorf("Put(%s) in place of a directory: %v, want an error that names it", name, err)
		}
	}
	put(t, s, "c", "c")
	os.RemoveAll(filepath.Join(dir, "a"))
	s.retry()
	if got := s.Trouble(); !strings.Contains(got, "store b: ") {
		t.Errorf("trouble %q, want b's", got)
	}
	os.RemoveAll(filepath.Join(dir, "b"))
	put(t, s, "b", "newer")
	if got := s.Trouble(); got != "" {
		t.Errorf("trouble %q, want none", got)
	}
	for name, want := range map[string]string{"a": "a", "b": "newer", "c": "c"} {
		wantGet(t, Open(dir, zerolog.Nop()), name, want)
	}
	log.want(t, 1, "would be lost at a restart")
	log.want(t, 1, "were saved again")
}
