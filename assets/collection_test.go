package assets

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Requests see one copy or the next while copies come and go, whole each time.
func TestRequestsWhileCopiesComeAndGo(t *testing.T) {
	b := newBench(t)
	b.limits.Total = 64 << 10
	for i := range 20 {
		id := fmt.Sprint(i)
		b.engine.has(id, map[string]string{"index.html": strings.Repeat(id+";", 1000), id + ".js": kilobyte(id), "d/" + id: id})
	}
	b.start()
	c := b.store.Collection("shop")
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Stat("index.html"); err != nil {
					continue // before the first copy
				}
				got := content(c, "index.html")
				id, _, _ := strings.Cut(got, ";")
				if got != strings.Repeat(id+";", 1000) && !strings.Contains(got, "no such file") { // it had gone between Stat and Open
					t.Errorf("index.html has %d bytes, of %q", len(got), id)
				}
				c.List("d")
				c.Status()
				b.store.Usage()
				f, _ := c.Stat("d/1")
				c.Encoded(f, "br")
			}
		})
	}
	for i := range 20 {
		run := runOf(fmt.Sprint(i), i)
		changed := c.Changed()
		c.Want([]Run{run}, time.Duration(i%3)*time.Minute)
		for st := c.Status(); st.Container != run.Container || st.State != Ready; st = c.Status() {
			<-changed
			changed = c.Changed()
		}
	}
	cancel()
	readers.Wait()
	b.has1(c, "19.js", kilobyte("19"))
}

// Pages of a new container name its files at once: what no copy has is still to
// come as long as one is, and not missing.
func TestWhatTheNextCopyMayHaveIsNotMissing(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"old.js": "a"})
		b.set("b", dripping(time.Second, tarOf(map[string]string{"new.js": "b"})))
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		unready := runOf("b", 2)
		unready.Ready = false
		c := b.want("shop", time.Hour, unready, runOf("a", 1))
		b.hasNot(c, "new.js", fs.ErrNotExist) // of a container that takes no requests
		b.want("shop", time.Hour, runOf("b", 2), runOf("a", 1))
		b.hasNot(c, "new.js", ErrPending)
		b.has1(c, "old.js", "a")
		<-time.After(2 * time.Second)
		synctest.Wait()
		b.has1(c, "new.js", "b")
		b.hasNot(c, "none.js", fs.ErrNotExist)
	})
}

func TestTheSameWantChangesNothing(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		c := b.want("shop", time.Hour, runOf("a", 1))
		version, changed := c.Version(), c.Changed()
		for range 3 {
			b.want("shop", time.Hour, runOf("a", 1))
		}
		select {
		case <-changed:
			t.Error("a change was told")
		default:
		}
		if c.Version() != version || b.count("a") != 1 {
			t.Errorf("version %d, want %d", c.Version(), version)
		}
	})
}

// A collection that was empty, and so no longer known to the store, is again once
// something is wanted.
func TestACollectionComesBack(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		c := b.want("shop", 0, runOf("a", 1))
		b.want("shop", 0)
		if len(b.store.collections) != 0 {
			t.Errorf("%d collections are known, want none", len(b.store.collections))
		}
		c.Want([]Run{runOf("a", 1)}, 0)
		synctest.Wait()
		b.has1(c, "x", "a")
	})
}

func manyFiles(n int) listing {
	l := make(listing, n)
	for i := range l {
		l[i] = listed{name: fmt.Sprintf("assets/chunk-%08d.js", i), size: 1000, modified: 1e18, digest: digest{byte(i), byte(i >> 8), byte(i >> 16)}}
	}
	return l
}

// What a file costs in memory is its name and about 150 bytes.
func TestManyFilesAreSmallInMemory(t *testing.T) {
	const n, most = 100_000, 160
	s := NewStore(Config{Limits: wideLimits})
	var before, after runtime.MemStats
	l := manyFiles(n)
	data := encodeListing(l)
	l = nil
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, err := decodeListing(data)
	if err != nil {
		t.Fatal(err)
	}
	m := s.hold(digest{}, l, nil)
	l = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / n; each > most {
		t.Errorf("%d bytes for each file with its name, want at most %d", each, most)
	} else {
		t.Logf("%d bytes for each file with its name", each)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(data)
}

func BenchmarkStat(b *testing.B) {
	s := NewStore(Config{Limits: wideLimits})
	m := s.hold(digest{}, manyFiles(10_000), nil)
	c := s.Collection("shop")
	s.add(c, runOf("a", 1), m, time.Now())
	c.Want([]Run{runOf("a", 1)}, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Stat("assets/chunk-00004711.js"); err != nil {
			b.Fatal(err)
		}
	}
}
