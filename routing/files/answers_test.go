package files

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/fairlead/fairlead/assets"
)

func TestLiveFilesAreLookedAtOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := newTree(t, map[string]string{"a.jpg": "one"})
		h := root(tree)
		for range 10 {
			get(h, "/a.jpg").expect(t, "at first", 200, "one")
		}
		if got := tree.stats.Load(); got != 1 {
			t.Errorf("%d looks for 10 requests at once, want 1", got)
		}
		<-time.After(believed)
		opens := tree.opens.Load()
		get(h, "/a.jpg").expect(t, "a second later", 200, "one")
		if stats, more := tree.stats.Load(), tree.opens.Load()-opens; stats != 2 || more != 0 {
			t.Errorf("%d looks, %d more opened; want 2 and none", stats, more)
		}
		tree.write(t, "a.jpg", "two", old.Add(time.Second))
		get(h, "/a.jpg").expect(t, "within a second of a change", 200, "one")
		<-time.After(believed)
		get(h, "/a.jpg").expect(t, "a second after a change", 200, "two")
		if err := os.Remove(tree.dir + "/a.jpg"); err != nil {
			t.Fatal(err)
		}
		<-time.After(believed)
		get(h, "/a.jpg").expectCode(t, "a second after it went", 404, "no-file")
		tree.write(t, "a.jpg", "three", old)
		get(h, "/a.jpg").expect(t, "at once when it is back", 200, "three")
	})
}

func TestSiblingsThatComeAndGoAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := newTree(t, map[string]string{"a.css": "style"})
		h := root(tree)
		get(h, "/a.css", "Accept-Encoding", "gzip").expect(t, "without a sibling", 200, "style")
		tree.write(t, "a.css.gz", "gz", old)
		<-time.After(believed)
		get(h, "/a.css", "Accept-Encoding", "gzip").expect(t, "with one", 200, "gz")
		tree.write(t, "a.css.gz", "g2", old.Add(time.Second))
		<-time.After(believed)
		get(h, "/a.css", "Accept-Encoding", "gzip").expect(t, "with another", 200, "g2")
		os.Remove(tree.dir + "/a.css.gz")
		<-time.After(believed)
		get(h, "/a.css", "Accept-Encoding", "gzip").expect(t, "once it went", 200, "style")
	})
}

func TestAWeakTagBecomesStrongWithAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := newTree(t, nil)
		tree.write(t, "a.txt", "one", time.Now().Add(-time.Second))
		h := root(tree)
		young := get(h, "/a.txt").header.Get("Etag")
		<-time.After(believed)
		grown := get(h, "/a.txt").header.Get("Etag")
		if "W/"+grown != young {
			t.Errorf("got %s, then %s; want the same, weak and strong", young, grown)
		}
		get(h, "/a.txt", "If-None-Match", young).expect(t, "with the weak one", 304, "")
	})
}

func TestOneLooksWhileOthersUseWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := &slowTree{testTree: newTree(t, map[string]string{"a.jpg": "one"})}
		h := root(tree)
		get(h, "/a.jpg")
		<-time.After(believed)
		tree.gate = make(chan struct{})
		var late sync.WaitGroup
		late.Go(func() { get(h, "/a.jpg").expect(t, "who looks", 200, "one") })
		synctest.Wait() // it hangs in Stat
		for range 5 {
			get(h, "/a.jpg").expect(t, "who does not", 200, "one")
		}
		close(tree.gate)
		late.Wait()
		if got := tree.stats.Load(); got != 2 {
			t.Errorf("%d looks, want 2", got)
		}
	})
}

// A slowTree is one whose Stat waits for a gate, if there is one.
type slowTree struct {
	*testTree
	gate chan struct{}
}

func (t *slowTree) Stat(name string) (assets.File, error) {
	if t.gate != nil {
		<-t.gate
	}
	return t.testTree.Stat(name)
}

func TestSettledFilesHoldUntilTheirTreeChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := newTree(t, map[string]string{"a.jpg": "one"})
		tree.settled.Store(true)
		h := root(tree)
		for range 3 {
			get(h, "/a.jpg").expect(t, "a file", 200, "one")
			get(h, "/b.jpg").expectCode(t, "none", 404, "no-file")
			<-time.After(time.Minute)
		}
		if got := tree.stats.Load(); got != 3 { // a.jpg, b.jpg, 404.html
			t.Errorf("%d looks, want 3", got)
		}
		tree.write(t, "a.jpg", "two", old.Add(time.Second))
		tree.write(t, "b.jpg", "new", old)
		tree.version.Add(1)
		get(h, "/a.jpg").expect(t, "at once after a change", 200, "two")
		get(h, "/b.jpg").expect(t, "a new one", 200, "new")
		opens := tree.opens.Load()
		tree.version.Add(1) // by something else
		get(h, "/a.jpg").expect(t, "the same", 200, "two")
		if got := tree.opens.Load(); got != opens {
			t.Error("a file that did not change was read again")
		}
	})
}

func TestMissingLiveFilesAreNotRemembered(t *testing.T) {
	tree := newTree(t, nil)
	h := root(tree)
	for i := range 100 {
		get(h, fmt.Sprintf("/%d.jpg", i))
	}
	if n, _ := h.o.Answers.count(); n != 0 {
		t.Errorf("%d entries of what is not there", n)
	}
}

// count returns how many entries there are, and what they take.
func (a *Answers) count() (entries int, bytes int64) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		entries += len(s.ring)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}

func TestAnswersAreBounded(t *testing.T) {
	content := map[string]string{}
	for i := range 400 {
		content[fmt.Sprintf("%d.jpg", i)] = strings.Repeat("x", 10_000)
	}
	tree := newTree(t, content)
	for _, tt := range []struct {
		bytes   int64
		entries int
	}{{1 << 20, 1000}, {64 << 20, 100}, {0, 1000}, {shards * (entryCost + 100), 1000}} {
		h := root(tree, func(o *Options) { o.Answers = NewAnswers(tt.bytes, tt.entries) })
		for range 2 {
			for name, text := range content {
				get(h, "/"+name).expect(t, name, 200, text)
			}
		}
		entries, bytes := h.o.Answers.count()
		if bytes > tt.bytes || entries > tt.entries {
			t.Errorf("%d entries of %d bytes, want %d and %d at most", entries, bytes, tt.entries, tt.bytes)
		}
		if tt.bytes >= 1<<20 && entries < 60 {
			t.Errorf("only %d entries in %d bytes and %d entries", entries, tt.bytes, tt.entries)
		}
	}
	tree.settled.Store(true)
	h := root(tree, func(o *Options) { o.Answers = NewAnswers(1<<20, 320) })
	tree.opens.Store(0)
	for i := range 2000 {
		get(h, "/1.jpg") // stays, for it is asked for
		get(h, fmt.Sprintf("/none-%d", i))
	}
	entries, _ := h.o.Answers.count()
	if entries > 320 {
		t.Errorf("%d entries of missing names", entries)
	}
	if opens := tree.opens.Load(); opens != 1 {
		t.Errorf("a file that is asked for all the time was read %d times: it made room for names that are not there", opens)
	}
}

// A name that were a part of its request would keep all of that in memory.
func TestNamesAreKeptByThemselves(t *testing.T) {
	tree := newTree(t, map[string]string{"a.jpg": "one"})
	h := root(tree)
	target := "/a.jpg?" + strings.Repeat("x", 1000)
	get(h, target)
	e, err := h.o.Answers.find(tree, "a.jpg", time.Now())
	if err != nil || unsafe.StringData(e.name) == unsafe.StringData(target[1:]) {
		t.Errorf("%q is a part of its request, %v", e.name, err)
	}
}

func TestAnswersAreSharedByHandlersOfATree(t *testing.T) {
	tree, other := newTree(t, map[string]string{"a.jpg": "one"}), newTree(t, map[string]string{"a.jpg": "two"})
	shared := NewAnswers(1<<20, 100)
	with := func(o *Options) { o.Answers = shared }
	for range 2 {
		get(root(tree, with), "/a.jpg").expect(t, "a tree", 200, "one")
		get(root(other, with), "/a.jpg").expect(t, "another", 200, "two")
	}
	if got := tree.stats.Load(); got != 1 {
		t.Errorf("%d looks, want 1", got)
	}
}

// Everything happens at once: files change, requests come, entries have to go.
func TestConcurrentRequestsSeeWholeVersions(t *testing.T) {
	tree := newTree(t, map[string]string{})
	sizes := []int{1000, small + 1000}
	write := func(version int) {
		for i, size := range sizes {
			tree.write(t, fmt.Sprintf("%d.jpg.new", i), strings.Repeat(string(rune('a'+version%26)), size+version%3), old.Add(time.Duration(version)*time.Second))
			if err := os.Rename(fmt.Sprintf("%s/%d.jpg.new", tree.dir, i), fmt.Sprintf("%s/%d.jpg", tree.dir, i)); err != nil {
				t.Error(err)
			}
		}
	}
	write(0)
	tree.settled.Store(true)
	h := root(tree, func(o *Options) { o.Answers = NewAnswers(shards*2*entryCost, 2*shards) })
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for i := range 400 {
				out := get(h, fmt.Sprintf("/%d.jpg", i%len(sizes)))
				if n := len(out.body); out.status == 200 && (out.header.Get("Content-Length") != fmt.Sprint(n) || strings.Count(out.body, out.body[:1]) != n) {
					t.Errorf("a file of two versions: %d bytes of %s", n, out.header.Get("Content-Length"))
				} else if out.status != 200 && out.x.Code != "files-unavailable" {
					t.Errorf("got %d with code %q", out.status, out.x.Code)
				}
				get(h, fmt.Sprintf("/none-%d", i))
			}
		})
	}
	for version := range 100 {
		write(version + 1)
		tree.version.Add(1)
	}
	clients.Wait()
}
