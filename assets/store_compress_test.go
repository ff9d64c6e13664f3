package assets

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// compressing has the store compress with gzip whatever coding is asked for.
func (b *bench) compressing() (calls *int) {
	b.open()
	calls = new(int)
	b.store.compressible = func(name string, _ int64) bool { return strings.HasSuffix(name, ".js") }
	b.store.encode = func(_ context.Context, _ string, src *os.File, size int64, dst *os.File) error {
		*calls++
		w := gzip.NewWriter(dst)
		_, err := io.Copy(w, io.NewSectionReader(src, 0, size))
		return errors.Join(err, w.Close())
	}
	return calls
}

func unzipped(t *testing.T, c *Collection, f File) string {
	t.Helper()
	file, err := c.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if info, _ := file.Stat(); info.Size() != f.Size {
		t.Errorf("%s has %d bytes, want %d", f.Version, info.Size(), f.Size)
	}
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCopiedFilesAreCompressed(t *testing.T) {
	bubble(t, func(b *bench) {
		text := strings.Repeat("function ", 500)
		b.engine.has("a", map[string]string{"a.js": text, "same.js": text, "a.png": text + "x", "short.js": "abcdefgh"})
		calls := b.compressing()
		b.run()
		run := runOf("a", 1)
		run.Ready = false
		c := b.want("shop", time.Hour, run)
		before := c.Version()
		changed := c.Changed()
		b.want("shop", time.Hour, runOf("a", 1))
		<-changed
		if c.Version() < before+2 {
			t.Error("the version is the same after files were compressed")
		}
		f, err := c.Stat("a.js")
		if err != nil {
			t.Fatal(err)
		}
		versions := map[string]bool{f.Version: true}
		for _, coding := range codings {
			e, ok := c.Encoded(f, coding)
			if !ok || e.Size <= 0 || e.Size >= f.Size || !e.Strong || versions[e.Version] || unzipped(t, c, e) != text {
				t.Errorf("%s: %+v, %t", coding, e, ok)
			}
			versions[e.Version] = true
			if again, ok := c.Encoded(e, coding); ok && again == e {
				t.Errorf("%s of itself", coding)
			}
		}
		for _, name := range []string{"a.png", "short.js"} {
			f, _ := c.Stat(name)
			if e, ok := c.Encoded(f, "gzip"); ok {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if _, ok := c.Encoded(f, "deflate"); ok {
			t.Error("a coding that there is not")
		}
		if *calls != 6 {
			t.Errorf("%d encodings, want 3 of two contents", *calls)
		}
		used := b.store.Usage()
		b.stop()
		calls = b.compressing()
		b.run()
		c = b.want("shop", time.Hour, runOf("a", 1))
		f, _ = c.Stat("same.js")
		if e, ok := c.Encoded(f, "br"); !ok || unzipped(t, c, e) != text || *calls != 0 {
			t.Errorf("after a restart: %+v, %d encodings", e, *calls)
		}
		if got := b.store.Usage(); got != used || used.Bytes <= int64(2*len(text))+9 {
			t.Errorf("usage %+v, before %+v", got, used)
		}
		b.want("shop", 0)
		if got := b.onDisk(); len(got) > 0 || b.store.Usage().Bytes != 0 {
			t.Errorf("left on disk: %v, usage %+v", got, b.store.Usage())
		}
	})
}

func TestCompressingMakesWayForCopies(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.js": strings.Repeat("x", 2000)})
		b.engine.has("b", map[string]string{"b.js": "short"})
		b.compressing()
		left, block := 0, true
		b.store.encode = func(ctx context.Context, _ string, _ *os.File, _ int64, dst *os.File) error {
			if !block {
				_, err := dst.WriteString("done")
				return err
			}
			<-ctx.Done()
			left++
			return ctx.Err()
		}
		b.run()
		b.want("shop", time.Hour, runOf("a", 1))
		<-time.After(time.Minute)
		c := b.want("shop", time.Hour, runOf("b", 2), runOf("a", 1))
		b.has1(c, "b.js", "short")
		if left == 0 {
			t.Error("the copy waited for the encoder")
		}
		f, _ := c.Stat("a.js")
		if _, ok := c.Encoded(f, "br"); ok {
			t.Error("half a variant is there")
		}
		if work, _ := filepath.Glob(filepath.Join(b.dir, workDir, "*")); len(work) != 1 {
			t.Errorf("in work: %v, want what is being encoded again", work)
		}
		b.stop()
		block = false
		b.run()
		synctest.Wait()
		if _, ok := c.Encoded(f, "br"); ok {
			t.Error("a file of the store that was loaded before")
		}
		f, _ = c.Stat("a.js")
		if e, ok := c.Encoded(f, "br"); !ok || e.Size != 4 {
			t.Errorf("%+v, %t; want it tried again", e, ok)
		}
	})
}

func TestVariantsNeedRoom(t *testing.T) {
	bubble(t, func(b *bench) {
		b.limits.Total = 4096 + 10
		b.engine.has("a", map[string]string{"a.js": strings.Repeat("x", 4096)})
		calls := b.compressing()
		b.run()
		c := b.want("shop", time.Hour, runOf("a", 1))
		<-time.After(time.Hour)
		f, _ := c.Stat("a.js")
		for _, coding := range codings {
			if _, ok := c.Encoded(f, coding); ok {
				t.Errorf("%s is over the limit", coding)
			}
		}
		if *calls != 1 || len(b.onDisk()) != 2 {
			t.Errorf("%d encodings, on disk %v", *calls, b.onDisk())
		}
		b.engine.has("b", map[string]string{"b.js": strings.Repeat("y", 2048)})
		b.want("shop", 0)
		c = b.want("shop", 0, runOf("b", 2))
		<-time.After(time.Minute)
		synctest.Wait()
		f, _ = c.Stat("b.js")
		if _, ok := c.Encoded(f, "br"); !ok {
			t.Error("not compressed although there is room again")
		}
	})
}

func TestAnEncoderThatFails(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.js": strings.Repeat("x", 4096)})
		b.compressing()
		calls := 0
		b.store.encode = func(context.Context, string, *os.File, int64, *os.File) error { calls++; return fs.ErrInvalid }
		b.run()
		c := b.want("shop", time.Hour, runOf("a", 1))
		<-time.After(time.Hour)
		f, err := c.Stat("a.js")
		if _, ok := c.Encoded(f, "gzip"); ok || err != nil || calls != len(codings) {
			t.Errorf("%t, %v, %d encodings; want the file alone and each tried once", ok, err, calls)
		}
		if got := b.onDisk(); slices.ContainsFunc(got, func(name string) bool { return strings.Contains(name, ".") }) {
			t.Errorf("on disk: %v", got)
		}
	})
}

func TestVariantsThatSaveLittleAreLeft(t *testing.T) {
	for _, tt := range []struct {
		size, variant int64
		want          bool
	}{{1000, 936, true}, {1000, 937, false}, {100_000, 95_000, true}, {100_000, 95_001, false}, {64, 0, true}, {100, 200, false}} {
		if got := worth(tt.size, tt.variant); got != tt.want {
			t.Errorf("%d bytes instead of %d: %t, want %t", tt.variant, tt.size, got, tt.want)
		}
	}
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"a.js": strings.Repeat("x", 1000)})
		b.compressing()
		b.store.encode = func(_ context.Context, _ string, _ *os.File, size int64, dst *os.File) error {
			_, err := dst.Write(make([]byte, size-10))
			return err
		}
		b.run()
		c := b.want("shop", time.Hour, runOf("a", 1))
		f, _ := c.Stat("a.js")
		for _, coding := range codings {
			if e, ok := c.Encoded(f, coding); ok {
				t.Errorf("%s: %+v", coding, e)
			}
		}
		b.stop()
		calls := b.compressing()
		b.run()
		c = b.want("shop", time.Hour, runOf("a", 1))
		if b.has1(c, "a.js", strings.Repeat("x", 1000)); *calls != 0 {
			t.Errorf("tried %d times again after a restart", *calls)
		}
	})
}
