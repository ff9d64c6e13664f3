package assets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// asVictim in the environment makes the test binary a process that copies files
// until it is killed.
const asVictim = "TEST_ASSETS_VICTIM"

func init() {
	if dir := os.Getenv(asVictim); dir != "" {
		victim(dir)
	}
}

// killLimits leave room for a few of the trees alone, so that some go as garbage
// all the time.
var killLimits = Limits{Total: 600 << 10, Copy: 16 << 20, File: 1 << 20, Entries: 1000, Time: time.Minute}

// victimTree is what a container has: some files of its own, others that many
// have.
func victimTree(id int) map[string]string {
	files := map[string]string{}
	for i := range 40 {
		of := i
		if i%2 == 0 {
			of = i + 100*id
		}
		files[fmt.Sprintf("d%d/f%d.js", i%5, of)] = strings.Repeat(fmt.Sprintf("%d;", of), 400)
	}
	return files
}

// victim copies one container after the other for ever.
func victim(dir string) {
	s := killStore(dir)
	if err := s.Load(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(3)
	}
	go s.Run(context.Background())
	c := s.Collection("shop")
	for id := os.Getpid() % 1000; ; id++ {
		changed := c.Changed()
		run := runOf(strconv.Itoa(id), id)
		c.Want([]Run{run}, time.Hour)
		for c.Status().Container != run.Container || c.Status().State != Ready {
			<-changed
			changed = c.Changed()
		}
	}
}

func killStore(dir string) *Store {
	s := NewStore(Config{Dir: dir, Limits: killLimits, Log: zerolog.Nop(), Fetch: func(_ context.Context, id, _ string) (io.ReadCloser, error) {
		n, err := strconv.Atoi(id)
		return io.NopCloser(bytes.NewReader(tarOf(victimTree(n)))), err
	}})
	s.compressible = func(name string, _ int64) bool { return strings.HasSuffix(name, "5.js") }
	s.encode = func(_ context.Context, _ string, _ *os.File, size int64, dst *os.File) error {
		_, err := dst.Write(make([]byte, size/3))
		return err
	}
	return s
}

// A process that is killed at any moment leaves a store of which all that can be
// reached is whole, and nothing that stays for good.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const kills = 50
	dir := filepath.Join(t.TempDir(), "assets")
	found := 0
	for n := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asVictim+"="+dir)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(30+rand.IntN(200)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		if said.Len() > 0 {
			t.Fatalf("kill %d: the process ended by itself:\n%s", n, &said)
		}
		found += lookAfterKill(t, dir)
		if n%10 == 9 {
			swept(t, dir)
		}
		if t.Failed() {
			t.Fatalf("after kill %d", n)
		}
	}
	if found == 0 {
		t.Error("nothing was ever published")
	}
	t.Logf("%d kills, %d files looked at", kills, found)
}

// lookAfterKill loads the store, and returns how many files it has: each with the
// content that it should have.
func lookAfterKill(t *testing.T, dir string) (files int) {
	t.Helper()
	s := killStore(dir)
	if err := s.Load(); err != nil {
		t.Errorf("load: %v", err)
	}
	c := s.Collection("shop")
	for _, r := range c.view.Load().records {
		id, _ := strconv.Atoi(r.run.ID)
		want := victimTree(id)
		if r.tree.files != len(want) {
			t.Errorf("container %d: %d files, want %d", id, r.tree.files, len(want))
		}
		for i := range r.tree.entries {
			f := r.tree.entries[i].file()
			if f.Dir {
				continue
			}
			files++
			file, err := c.Open(f)
			if err != nil {
				t.Errorf("container %d: %v", id, err)
				continue
			}
			data, err := io.ReadAll(file)
			file.Close()
			if sum := digest(sha256.Sum256(data)); err != nil || string(data) != want[f.Name] || sum != f.blob.digest {
				t.Errorf("container %d: %s has %d bytes of %s, %v", id, f.Name, len(data), sum, err)
			}
			if e, ok := c.Encoded(f, "br"); ok {
				if info, err := os.Stat(s.blobPath(f.blob.digest) + ".br"); err != nil || info.Size() != e.Size || e.Size != f.Size/3 {
					t.Errorf("container %d: the variant of %s has %v, %v", id, f.Name, info, err)
				}
			}
		}
	}
	return files
}

// swept has the next process begin, and compares what is on disk with what it
// knows.
func swept(t *testing.T, dir string) {
	t.Helper()
	s := killStore(dir)
	lock, err := s.lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	want := len(s.trees) + len(s.blobs) + 2 // the list and the lock
	for _, b := range s.blobs {
		for at := range b.variants {
			if b.variants[at].Load() != 0 {
				want++
			}
		}
	}
	got, bytes := 0, int64(0)
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			got++
			if info, err := d.Info(); err == nil && strings.HasPrefix(path, filepath.Join(dir, blobsDir)) {
				bytes += info.Size()
			}
		}
		return nil
	})
	if got != want || bytes != s.bytes || bytes > killLimits.Total {
		t.Errorf("%d files with %d bytes of content, want %d and %d, at most %d", got, bytes, want, s.bytes, killLimits.Total)
	}
}
