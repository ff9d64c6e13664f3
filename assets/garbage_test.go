package assets

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kilobyte is content of 1000 bytes that nothing else has.
func kilobyte(name string) string { return name + strings.Repeat(".", 1000-len(name)) }

func TestTheLeastUsedFormerFilesMakeRoom(t *testing.T) {
	bubble(t, func(b *bench) {
		b.limits.Total = 3500
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			b.engine.has(id, map[string]string{id: kilobyte(id)})
		}
		b.start()
		for i, id := range []string{"a", "b", "c"} {
			b.want("shop", 24*time.Hour, runOf(id, i))
			<-time.After(time.Minute)
		}
		c := b.store.Collection("shop")
		b.has1(c, "a", kilobyte("a")) // which makes b the least used
		b.want("shop", 24*time.Hour, runOf("d", 4))
		b.hasNot(c, "b", fs.ErrNotExist)
		for _, id := range []string{"a", "c", "d"} {
			b.has1(c, id, kilobyte(id))
		}
		if got := b.onDisk(); len(got) != 6 {
			t.Errorf("on disk: %v, want three contents and trees", got)
		}
		b.want("other", 0, runOf("e", 5)) // of any collection
		if v := c.view.Load(); len(v.records) != 2 {
			t.Errorf("%d copies are left, want two", len(v.records))
		}
		if u := b.store.Usage(); u.Bytes != 3000 {
			t.Errorf("usage %+v", u)
		}
	})
}

func TestWhatIsWantedIsNeverRemovedForRoom(t *testing.T) {
	bubble(t, func(b *bench) {
		b.limits.Total = 2500
		for _, id := range []string{"a", "b", "c"} {
			b.engine.has(id, map[string]string{id: kilobyte(id)})
		}
		b.engine.has("d", map[string]string{"d": kilobyte("d"), "e": kilobyte("e"), "f": kilobyte("f")})
		b.start()
		b.want("old", time.Hour, runOf("a", 1))
		old := b.want("old", time.Hour)
		b.want("shop", time.Hour, runOf("b", 2))
		c := b.want("shop", time.Hour, runOf("d", 3), runOf("b", 2))
		f := c.Status().Fault
		if f == nil || f.Code != codeTooLarge || f.Fix != "raise --assets-max-total" || !strings.Contains(f.Message, "more than 2.4") {
			t.Errorf("fault %+v", f)
		}
		b.has1(c, "b", kilobyte("b"))
		b.has1(old, "a", kilobyte("a")) // it would not have helped
		b.hasNot(c, "d", fs.ErrNotExist)
		if u := b.store.Usage(); u.Bytes != 2000 || len(b.onDisk()) != 4 {
			t.Errorf("usage %+v, on disk %v", u, b.onDisk())
		}
		b.want("shop", time.Hour, runOf("c", 4), runOf("b", 2))
		b.has1(c, "c", kilobyte("c"))
		b.hasNot(old, "a", fs.ErrNotExist)
	})
}

func TestFormerCopiesAreBounded(t *testing.T) {
	bubble(t, func(b *bench) {
		b.start()
		for i := range maxFormer + 5 {
			id := fmt.Sprint(i)
			b.engine.has(id, map[string]string{id: id})
			b.want("shop", 24*time.Hour, runOf(id, i))
			<-time.After(time.Second)
		}
		c := b.store.Collection("shop")
		if st := c.Status(); st.Retained != maxFormer {
			t.Errorf("%d former copies, want %d", st.Retained, maxFormer)
		}
		b.hasNot(c, "3", fs.ErrNotExist)
		b.has1(c, "4", "4")
	})
}

func TestWhatWasCutShortIsRemoved(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		want := b.onDisk()
		b.stop()
		none := digest{1}.String()
		for _, name := range []string{"blobs/01/" + none, "blobs/01/" + none + ".br", "blobs/ff/" + none, "blobs/01/x", "blobs/stray", "trees/" + none, "trees/x", "spool/1", "work/" + none} {
			os.MkdirAll(filepath.Dir(filepath.Join(b.dir, name)), 0o700)
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.start()
		synctest.Wait()
		if got := b.onDisk(); !slices.Equal(got, want) {
			t.Errorf("on disk: %v, want %v", got, want)
		}
	})
}

// What is stored may have been changed by anything.
func TestWhatIsNotWholeIsReadAgain(t *testing.T) {
	one := func(b *bench, pattern string) string {
		names, _ := filepath.Glob(filepath.Join(b.dir, pattern))
		if len(names) == 0 {
			b.Fatalf("no %s", pattern)
		}
		return names[0]
	}
	for name, damage := range map[string]func(b *bench){
		"content gone": func(b *bench) { os.Remove(one(b, "blobs/*/*")) },
		"content cut":  func(b *bench) { os.Truncate(one(b, "blobs/*/*"), 1) },
		"tree gone":    func(b *bench) { os.Remove(one(b, "trees/*")) },
		"tree cut":     func(b *bench) { os.Truncate(one(b, "trees/*"), 60) },
		"tree changed": func(b *bench) { os.WriteFile(one(b, "trees/*"), []byte(manifestHead+"\nd 0 \"..\"\n"), 0o600) },
		"all gone":     func(b *bench) { os.RemoveAll(b.dir) },
		"list gone":    func(b *bench) { os.Remove(filepath.Join(b.dir, stateName)) },
		"list of others": func(b *bench) {
			os.WriteFile(filepath.Join(b.dir, stateName), []byte(`{"collections":{"shop":{"runs":[{"tree":"../../x"},{"tree":""},{}]},"x":null}}`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				b.engine.has("a", map[string]string{"x": "content"})
				b.start()
				b.want("shop", time.Hour, runOf("a", 1))
				b.stop()
				b.count("a")
				damage(b)
				b.start()
				c := b.want("shop", time.Hour, runOf("a", 1))
				b.has1(c, "x", "content")
				if n := b.count("a"); n != 1 {
					t.Errorf("read %d times, want once again", n)
				}
				if got := b.onDisk(); len(got) != 2 {
					t.Errorf("on disk: %v", got)
				}
			})
		})
	}
}

func TestAListThatMakesNoSense(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.start()
		b.want("shop", time.Hour, runOf("a", 1))
		b.stop()
		path := filepath.Join(b.dir, stateName)
		os.WriteFile(path, []byte("{"), 0o600)
		s := NewStore(Config{Dir: b.dir, Fetch: b.fetch, Limits: b.limits})
		if err := s.Load(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("Load: %v, want the path and what to do", err)
		}
		b.store = s
		b.run()
		b.has1(b.want("shop", time.Hour, runOf("a", 1)), "x", "a")
		if data, err := os.ReadFile(path + ".unreadable"); err != nil || string(data) != "{" {
			t.Errorf("what was there is not kept: %q, %v", data, err)
		}
	})
}
