package files

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// openFiles returns how many of the process's open files lie in dir.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

func TestOpenFilesAreUsedAgainAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", small+1)
		content := map[string]string{}
		for i := range 2 * mostOpen {
			content[fmt.Sprintf("%d.jpg", i)] = large
		}
		tree := newTree(t, content)
		h := root(tree)
		for range 5 {
			get(h, "/0.jpg").expect(t, "a large file", 200, large)
		}
		if opens, now := tree.opens.Load(), openFiles(t, tree.dir); opens != 1 || now != 1 {
			t.Errorf("opened %d times, %d open; want 1 and 1", opens, now)
		}
		for name := range content {
			get(h, "/"+name)
		}
		if now := openFiles(t, tree.dir); now == 0 || now > mostOpen {
			t.Errorf("%d files are open, want up to %d", now, mostOpen)
		}
		<-time.After(handleIdle + sweepEvery + time.Second)
		synctest.Wait()
		if now := openFiles(t, tree.dir); now != 0 {
			t.Errorf("%d files are open that nobody asked for lately", now)
		}
		get(h, "/0.jpg")
		tree.write(t, "0.jpg", large+"y", old.Add(time.Second))
		<-time.After(believed)
		get(h, "/0.jpg").expect(t, "a large file that changed", 200, large+"y")
		if now := openFiles(t, tree.dir); now != 1 {
			t.Errorf("%d files are open, want the new one only", now)
		}
		<-time.After(entryIdle + sweepEvery + time.Second)
		synctest.Wait()
		if n, bytes := h.o.Answers.count(); n != 0 || bytes != 0 || h.o.Answers.open.Load() != 0 || h.o.Answers.armed.Load() {
			t.Errorf("%d entries of %d bytes are left, %d files, another sweep: %v", n, bytes, h.o.Answers.open.Load(), h.o.Answers.armed.Load())
		}
	})
}

func TestAFileThatWasInUseWhenItsEntryWentIsClosed(t *testing.T) {
	tree := newTree(t, map[string]string{"a.jpg": strings.Repeat("x", small+1)})
	a := NewAnswers(1<<20, 100)
	e, err := a.find(tree, "a.jpg", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.content(e, e.whole)
	if err != nil {
		t.Fatal(err)
	}
	e.retire()
	if a.put(e.whole, c.handle, time.Now()); openFiles(t, tree.dir) != 0 {
		t.Error("the file is still open")
	}
}
