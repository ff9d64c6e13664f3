package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

func TestWhatWasPutIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "tls")
	s, neighbour := Open(dir, zerolog.Nop()), Open(dir, zerolog.Nop())
	// Hosts may look like the marks of temporary files and broken ones.
	names := []string{"a.pem", "certs/*.example.com.pem", "certs/www.tmp-1.example.com.pem", "certs/x.broken-2.example.com.pem", "certs/x.lock.pem"}
	for _, name := range names {
		put(t, s, name, name)
		wantGet(t, s, name, name)
		wantGet(t, neighbour, name, name)
	}
	if got := Open(dir, zerolog.Nop()).List("."); !slices.Equal(got, names) {
		t.Errorf("List(.) = %q, want %q", got, names)
	}
	if got := s.List("certs"); !slices.Equal(got, names[1:]) {
		t.Errorf("List(certs) = %q, want %q", got, names[1:])
	}
	if got := s.List("cert"); len(got) != 0 {
		t.Errorf("List(cert) = %q, want nothing: there is no such directory", got)
	}
	put(t, neighbour, "a.pem", "from next door")
	wantGet(t, s, "a.pem", "from next door")
	if err := s.Delete("a.pem"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	wantNothing(t, s, "a.pem")
	wantNothing(t, neighbour, "a.pem")
	for _, name := range []string{"never/was.pem", "certs", "certs/x.lock.pem/below"} {
		if err := s.Delete(name); err != nil {
			t.Errorf("Delete(%s), which is no file: %v, want no error", name, err)
		}
	}
}

func TestWhoGetsDataMayChangeIt(t *testing.T) {
	s := Open(blocked(t), zerolog.Nop())
	data := []byte("data")
	s.Put("a", data)
	data[0] = 'X'
	wantGet(t, s, "a", "data")
	got, _ := s.Get("a")
	got[0] = 'Y'
	wantGet(t, s, "a", "data")
}

func TestNamesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := Open(filepath.Join(dir, "tls"), zerolog.Nop())
	for _, name := range []string{"", ".", "..", "../a", "/a", "a/../../b", "a/../b", "a//b", "a/", "./a", "a\x00b", ".tmp-x", "certs/.tmp-x", "a.lock", "a.broken-1"} {
		if err := s.Put(name, []byte("x")); err == nil {
			t.Errorf("Put(%q): no error", name)
		}
		if _, err := s.Get(name); err == nil {
			t.Errorf("Get(%q): no error", name)
		}
		if err := s.Delete(name); err == nil {
			t.Errorf("Delete(%q): no error", name)
		}
		s.SetAside(name, errors.New("nonsense"))
	}
	for _, name := range []string{"", "..", "../a", "/a", "a/../../b"} {
		if _, err := s.Lock(t.Context(), name); err == nil {
			t.Errorf("Lock(%q): no error", name)
		}
	}
	for size, name := range map[int]string{0: "empty", maxFile + 1: "large"} {
		if err := s.Put(name, make([]byte, size)); err == nil {
			t.Errorf("Put of %d bytes: no error", size)
		}
		wantNothing(t, s, name)
	}
	if got := s.Trouble(); got != "" {
		t.Errorf("trouble %q, want none: what is refused does not wait to be written", got)
	}
	if got := files(t, dir, "*"); len(got) != 0 {
		t.Errorf("files %q were made, want none", got)
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	secret := filepath.Join(out, "secret")
	for _, err := range []error{
		os.WriteFile(secret, []byte("x"), 0o644), os.Symlink(out, filepath.Join(dir, "certs")), os.Symlink(secret, filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := Open(dir, zerolog.Nop())
	for _, name := range []string{"certs/secret", "link"} {
		if got, err := s.Get(name); err == nil {
			t.Errorf("Get(%s), which leads out, = %q", name, got)
		}
	}
	if err := s.Put("certs/a", []byte("x")); err == nil {
		t.Error("Put(certs/a), which leads out: no error")
	}
	wantGet(t, s, "certs/a", "x")
	put(t, s, "link", "mine") // in place of the link
	if got, err := os.ReadFile(secret); err != nil || string(got) != "x" {
		t.Errorf("what the link led to says %q, %v, want x", got, err)
	}
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("what the link led to has mode %v, %v, want it left alone", info.Mode(), err)
	}
	if got := files(t, out, "*"); len(got) != 1 {
		t.Errorf("outside there are %q, want the one file", got)
	}
	if _, err := s.Lock(t.Context(), "certs/orders"); err != nil {
		t.Errorf("Lock where no file can be: %v, want it given", err)
	}
}

func TestReadersSeeWholeFiles(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir, zerolog.Nop())
	put(t, s, "a", string(content(0)))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, reader := range []*Store{s, Open(dir, zerolog.Nop())} {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if got, err := reader.Get("a"); err != nil || !whole(got) {
					t.Errorf("a reader saw %d bytes, %v, want a whole file", len(got), err)
					return
				}
			}
		})
	}
	for i := range 1000 {
		put(t, s, "a", string(content(i)))
	}
	close(done)
	readers.Wait()
}

// A process that starts removes leftovers, and nothing that another is writing.
func TestOpenDisturbsNoWriter(t *testing.T) {
	dir := t.TempDir()
	var writers sync.WaitGroup
	for w := range 4 {
		s := Open(dir, zerolog.Nop())
		writers.Go(func() {
			for i := range 50 {
				if err := s.Put(fmt.Sprintf("certs/%d", w), content(i)); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for opened := 0; ; opened++ {
		select {
		case <-done:
			if got := len(Open(dir, zerolog.Nop()).List("certs")); got != 4 || opened == 0 {
				t.Errorf("%d files after %d Opens, want 4 after some", got, opened)
			}
			return
		default:
			Open(dir, zerolog.Nop())
		}
	}
}

func TestWhatCannotBeAStoredFileIsNothing(t *testing.T) {
	dir := t.TempDir()
	var log journal
	s := Open(dir, zerolog.New(&log))
	for name, size := range map[string]int64{"empty": 0, "large": maxFile + 1} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, s, name)
		if got := files(t, dir, name+".broken-*"); len(got) != 1 {
			t.Errorf("%s: set aside are %q, want one file", name, got)
		}
		put(t, s, name, "sound")
		wantGet(t, s, name, "sound")
	}
	log.want(t, 2, "was set aside")
	os.Mkdir(filepath.Join(dir, "dir"), 0o700)
	if got, err := s.Get("dir"); err == nil || len(files(t, dir, "dir*")) != 0 {
		t.Errorf("Get of a directory = %q, %v, want an error, and it left alone", got, err)
	}
}

func TestTheLastBrokenFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	var log journal
	s := Open(dir, zerolog.New(&log))
	put(t, s, "certs/a.pem.x", "another's")
	// As if set aside while the clock was ahead.
	for _, later := range []string{"9000000000000000001", "9000000000000000002", "9000000000000000003"} {
		if err := os.WriteFile(filepath.Join(dir, "certs", "a.pem.broken-"+later), []byte("later"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		put(t, s, "certs/a.pem", strconv.Itoa(i))
		s.SetAside("certs/a.pem", errors.New("nonsense"))
		wantNothing(t, s, "certs/a.pem")
		kept := files(t, dir, "a.pem.broken-*")
		if got, err := os.ReadFile(kept[0]); len(kept) != maxBroken || err != nil || string(got) != strconv.Itoa(i) {
			t.Errorf("kept are %q, the first of them %q, %v: want %d with what was last", kept, got, err, maxBroken)
		}
	}
	log.want(t, 6, `"why":"nonsense"`)
	if got := fmt.Sprint(s.List(".")); got != "[certs/a.pem.x]" {
		t.Errorf("List = %s, want nothing that was set aside", got)
	}
	s.SetAside("never/was.pem", errors.New("nonsense"))
	if got := s.Trouble(); got != "" {
		t.Errorf("trouble %q after SetAside of nothing, want none", got)
	}
}

func TestLooseModesAreSaidWithinBounds(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 * maxSaid {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte("x"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o700)
	var log journal
	Open(dir, zerolog.New(&log))
	log.want(t, maxSaid, "the mode was corrected")
	log.want(t, 1, `"files":`+strconv.Itoa(maxSaid))
	if got := strings.Count(log.String(), "\n"); got != maxSaid+1 {
		t.Errorf("%d lines of log, want %d:\n%s", got, maxSaid+1, &log)
	}
}
