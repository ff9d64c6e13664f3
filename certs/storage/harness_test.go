package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/logtest"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// In the environment these make the test binary a process that rewrites a file
// of the store there for ever, or that holds its lock.
const (
	asWriter = "TEST_STORAGE_WRITER"
	asHolder = "TEST_STORAGE_HOLDER"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asWriter); dir != "" {
		s := Open(dir, zerolog.Nop())
		fmt.Println("ready")
		for i := 0; ; i++ {
			s.Put("certs/a.pem", content(i))
		}
	}
	if dir := os.Getenv(asHolder); dir != "" {
		unlock, err := Open(dir, zerolog.Nop()).Lock(context.Background(), "orders")
		fmt.Println("ready", err)
		os.Stdin.Read(make([]byte, 1)) // until the parent is done with it
		unlock()
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs the test binary with env, until it says that it is ready.
func child(t *testing.T, env string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	said := make([]byte, 64)
	if n, err := out.Read(said); err != nil || !bytes.HasPrefix(said, []byte("ready")) {
		t.Fatalf("the child said %q, %v, want ready", said[:n], err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// content is whole if it ends as it begins.
func content(i int) []byte {
	text := strconv.Itoa(i)
	return []byte(text + strings.Repeat(" ", 5000) + text)
}

func whole(data []byte) bool {
	fields := bytes.Fields(data)
	return len(fields) == 2 && bytes.Equal(fields[0], fields[1])
}

func put(t *testing.T, s *Store, name, data string) {
	t.Helper()
	if err := s.Put(name, []byte(data)); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

func wantGet(t *testing.T, s *Store, name, want string) {
	t.Helper()
	if got, err := s.Get(name); err != nil || string(got) != want {
		t.Errorf("Get(%s) = %.40q, %v, want %q", name, got, err, want)
	}
}

func wantNothing(t *testing.T, s *Store, name string) {
	t.Helper()
	if got, err := s.Get(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get(%s) = %.40q, %v, want that it does not exist", name, got, err)
	}
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// run starts s.Run and returns what ends it.
func run(t *testing.T, s *Store) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
	}
}

// files returns the names of all files below dir that match, with their paths.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if match, _ := filepath.Match(pattern, filepath.Base(name)); match && err == nil && !d.IsDir() {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A journal is a log of which tests ask what it says.
type journal struct{ logtest.Buffer }

// want checks how many lines of the log contain text.
func (j *journal) want(t *testing.T, n int, text string) {
	t.Helper()
	if got := strings.Count(j.String(), text); got != n {
		t.Errorf("the log says %q %d times, want %d:\n%s", text, got, n, j)
	}
}
