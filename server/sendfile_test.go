package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fileOf writes n bytes into a file and opens it behind the first skip of them.
func fileOf(t *testing.T, n, skip int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Seek(int64(skip), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f, content[skip:]
}

func TestFilesAreSentWhole(t *testing.T) {
	const size, skip = 9<<20 + 17, 5
	for name, limit := range map[string]int64{"to the end": -1, "a part": 6 << 20, "more than there is": 99 << 20, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			c, client, _ := connected(t, Limits{})
			f, want := fileOf(t, size, skip)
			src := io.Reader(f)
			if limit >= 0 {
				src = &io.LimitedReader{R: f, N: limit}
				want = want[:min(limit, int64(len(want)))]
			}
			sent := make(chan error, 1)
			go func() {
				n, err := c.ReadFrom(src)
				if n != int64(len(want)) {
					t.Errorf("ReadFrom = %d, want %d", n, len(want))
				}
				if l, ok := src.(*io.LimitedReader); ok && l.N != limit-n {
					t.Errorf("got %d left of the limit, want %d", l.N, limit-n)
				}
				sent <- errors.Join(err, c.CloseWrite())
			}()
			got, err := io.ReadAll(client)
			if err := errors.Join(err, <-sent); err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256(got) != sha256.Sum256(want) || !bytes.Equal(got, want) {
				t.Errorf("got %d other bytes, want the %d of the file", len(got), len(want))
			}
		})
	}
}

// A client that reads slowly gets all of a file, however long that takes; one that
// does not read is cut.
func TestFilesAreCutForClientsThatDoNotRead(t *testing.T) {
	c, _, gs := connected(t, Limits{Stall: 50 * time.Millisecond})
	f, _ := fileOf(t, 32<<20, 0)
	if _, err := c.ReadFrom(f); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ReadFrom = %v, want that the time is over", err)
	}
	if n := gs.stalled.Load(); n != 1 {
		t.Errorf("got %d clients counted that stalled, want 1", n)
	}
}

func TestFilesAreSentToSlowClients(t *testing.T) {
	c, client, _ := connected(t, Limits{Stall: 2 * time.Second})
	f, want := fileOf(t, 24<<20, 0)
	sent := make(chan error, 1)
	go func() {
		_, err := c.ReadFrom(f)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got := 0
	buf := make([]byte, 256<<10)
	tick := time.NewTicker(50 * time.Millisecond) // in all longer than a stall may be
	defer tick.Stop()
	for {
		<-tick.C
		n, err := io.ReadFull(client, buf)
		if got += n; err != nil {
			break
		}
	}
	if err := <-sent; err != nil || got != len(want) {
		t.Errorf("got %d bytes, %v, want all %d", got, err, len(want))
	}
}
