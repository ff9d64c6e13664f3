package assets

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// dripping sends pieces with pauses between them, until ctx ends.
func dripping(pause time.Duration, pieces ...[]byte) func(ctx context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			defer w.Close()
			for _, piece := range pieces {
				if _, err := w.Write(piece); err != nil {
					return
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					w.CloseWithError(ctx.Err())
					return
				}
			}
		}()
		return r, nil
	}
}

func whole(data []byte) func(ctx context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func TestWhyACopyFails(t *testing.T) {
	good := tarOf(map[string]string{"a": "1", "b": strings.Repeat("x", 2000)})
	first := func(h tar.Header) func(context.Context) (io.ReadCloser, error) {
		return whole(tarFrom([]tar.Header{h}, nil))
	}
	limits := Limits{Total: 1 << 20, Copy: 64 << 10, File: 10_000, Entries: 20, Time: 5 * time.Second}
	many := map[string]string{}
	for i := range limits.Entries + 1 {
		many[fmt.Sprint(i)] = ""
	}
	for _, tt := range []struct {
		name         string
		stream       func(ctx context.Context) (io.ReadCloser, error)
		code         string
		message, fix string
	}{
		{"missing", func(context.Context) (io.ReadCloser, error) { return nil, fmt.Errorf("ask: %w", fs.ErrNotExist) }, codeMissing, "has no directory /app/static", "correct the path"},
		{"file", first(tar.Header{Name: "static", Typeflag: tar.TypeReg}), codeMissing, "/app/static, which is a file, not a directory", "name the directory that it lies in"},
		{"link", first(tar.Header{Name: "static", Typeflag: tar.TypeSymlink, Linkname: "../static.v3"}), codeMissing, `is a symbolic link to "../static.v3"`, `name "/static.v3"`},
		{"absolute link", first(tar.Header{Name: "static", Typeflag: tar.TypeSymlink, Linkname: "/srv/x"}), codeMissing, `is a symbolic link to "/srv/x"`, `name "/srv/x"`},
		{"device", first(tar.Header{Name: "static", Typeflag: tar.TypeChar}), codeMissing, "which is not a directory", ""},
		{"hostile top", first(tar.Header{Name: "../static/", Typeflag: tar.TypeDir}), codeFailed, `begins with "../static/"`, ""},
		{"gone", func(context.Context) (io.ReadCloser, error) { return nil, errors.New("no such container") }, codeFailed, "could not be read: no such container", ""},
		{"nothing", whole(nil), codeFailed, "ended too early", ""},
		{"no tar", whole(bytes.Repeat([]byte("no"), 2000)), codeFailed, "not a tar archive", ""},
		{"cut in a file", whole(good[:len(good)-2500]), codeFailed, "ended too early", ""},
		{"cut between files", whole(good[:512*4]), codeFailed, "ended too early", ""},
		{"connection lost", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(good), iotest.ErrReader(io.ErrUnexpectedEOF))), nil
		}, codeFailed, "ended too early", ""},
		{"reset", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(good), iotest.ErrReader(syscall.ECONNRESET))), nil
		}, codeFailed, "connection reset", ""},
		{"large file", whole(tarOf(map[string]string{"js/big.map": strings.Repeat("x", 10_001)})), codeTooLarge, `has a file of 9.767KiB, "/app/static/js/big.map"`, "raise --assets-max-file (now 9.766KiB)"},
		{"large stream", whole(tarOf(map[string]string{"1": strings.Repeat("x", 9000), "2": strings.Repeat("x", 9000), "3": strings.Repeat("x", 9000), "4": strings.Repeat("x", 9000), "5": strings.Repeat("x", 9000), "6": strings.Repeat("x", 9000), "7": strings.Repeat("x", 9000), "8": strings.Repeat("x", 9000)})), codeTooLarge, "has more than 64KiB in /app/static", "raise --assets-max-copy"},
		{"many", whole(tarOf(many)), codeTooLarge, "has more than 20 files and directories", "raise --assets-max-entries"},
		{"stalled", dripping(2*time.Second+1, good[:700], good[700:]), codeFailed, "nothing came for 2s after 700B", ""},
		{"slow", dripping(1100*time.Millisecond, good[:1], good[1:2], good[2:3], good[3:4], good[4:5], good[5:6], good[6:]), codeTooLarge, "could not be read in 5s: 5B came", "raise --assets-copy-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				b.limits = limits
				b.engine.has("old", map[string]string{"index.html": "old"})
				b.start()
				b.want("shop", 0, runOf("old", 1))
				b.set("a", tt.stream)
				before := b.onDisk()
				c := b.want("shop", 0, runOf("a", 2))
				<-time.After(6 * time.Second)
				synctest.Wait()
				f := c.Status().Fault
				if f == nil || f.Code != tt.code || !strings.Contains(f.Message, tt.message) || !strings.Contains(f.Fix, tt.fix) || f.Container != "shop-a" {
					t.Errorf("fault %+v, want %s %q with the fix %q", f, tt.code, tt.message, tt.fix)
				}
				b.has1(c, "index.html", "old")
				b.hasNot(c, "a", fs.ErrNotExist)
				if got := b.onDisk(); len(got) != len(before) {
					t.Errorf("on disk: %v, before %v", got, before)
				}
				b.sends("a", good)
				<-time.After(time.Minute)
				synctest.Wait()
				b.has1(c, "a", "1")
				if f := c.Status().Fault; f != nil {
					t.Errorf("fault after it was copied: %+v", f)
				}
			})
		})
	}
}

func TestAStreamThatComesSlowlyIsRead(t *testing.T) {
	bubble(t, func(b *bench) {
		good := tarOf(map[string]string{"a": "1"})
		b.set("a", dripping(1900*time.Millisecond, good[:10], good[10:600], good[600:700], good[700:]))
		b.start()
		c := b.want("shop", 0, runOf("a", 2))
		<-time.After(4 * time.Second)
		if st := c.Status(); st.State != Copying || st.Bytes != 700 || st.Container != "shop-a" || time.Since(st.Since) != 4*time.Second {
			t.Errorf("status while copying: %+v", st)
		}
		if got := b.onDisk(); len(got) > 0 {
			t.Errorf("on disk while copying: %v", got)
		}
		<-time.After(4 * time.Second)
		synctest.Wait()
		b.has1(c, "a", "1")
		if log := b.log.String(); strings.Count(log, "are being copied") != 2 || strings.Count(log, `"files":1,"bytes":1,"duration":7600`) != 1 {
			t.Errorf("want two lines of progress, after 2 and 7 s, and one of the end:\n%s", log)
		}
	})
}

func TestACopyThatNobodyWantsIsLeft(t *testing.T) {
	bubble(t, func(b *bench) {
		ended := false
		b.set("a", func(ctx context.Context) (io.ReadCloser, error) {
			<-ctx.Done()
			ended = true
			return nil, ctx.Err()
		})
		b.engine.has("b", map[string]string{"x": "b"})
		b.start()
		b.want("shop", 0, runOf("a", 1))
		c := b.want("shop", 0, runOf("b", 2))
		b.has1(c, "x", "b")
		if f := c.Status().Fault; !ended || f != nil {
			t.Errorf("ended: %t, fault %+v", ended, f)
		}
	})
}

func TestTheEndOfTheStoreEndsACopy(t *testing.T) {
	bubble(t, func(b *bench) {
		b.set("a", func(ctx context.Context) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b.start()
		c := b.want("shop", 0, runOf("a", 1))
		b.stop()
		synctest.Wait()
		if f := c.Status().Fault; f != nil || b.log.Len() > 0 {
			t.Errorf("fault %+v, log %s", f, &b.log)
		}
	})
}

func TestWhatFailedIsTriedAgainWithGrowingPauses(t *testing.T) {
	bubble(t, func(b *bench) {
		var at []time.Duration
		began := time.Now()
		b.set("a", func(context.Context) (io.ReadCloser, error) {
			at = append(at, time.Since(began))
			return nil, errors.New("busy")
		})
		b.start()
		c := b.want("shop", 0, runOf("a", 1))
		<-time.After(30 * time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 2, 6, 14, 30, 62, 126, 254, 510, 810, 1110, 1410, 1710}
		if len(at) != len(want) {
			t.Fatalf("tried at %v, want %v s", at, want)
		}
		for i := range want {
			if at[i] != want[i]*time.Second {
				t.Errorf("tried at %v, want %v s", at, want)
			}
		}
		if n := strings.Count(b.log.String(), "not copied"); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
		b.engine.has("b", map[string]string{"x": "b"})
		b.want("shop", 0, runOf("a", 1), runOf("b", 1)) // at once
		b.has1(c, "x", "b")
		if f := c.Status().Fault; f == nil || f.Container != "shop-a" {
			t.Errorf("fault %+v, want that of the run that still fails", f)
		}
		b.want("shop", 0, runOf("b", 1))
		if f := c.Status().Fault; f != nil {
			t.Errorf("fault %+v of a run that is gone", f)
		}
	})
}

func TestAStoreThatCannotBeWritten(t *testing.T) {
	for name, broken := range map[string]string{"no directory for content": blobsDir, "no directory for trees": treesDir, "no list": stateName, "no directory for streams": spoolDir, "no directory for work": workDir} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				b.engine.has("a", map[string]string{"x": "a"})
				b.engine.has("b", map[string]string{"x": "b"})
				b.start()
				b.want("shop", time.Hour, runOf("a", 1))
				synctest.Wait()
				path, aside := filepath.Join(b.dir, broken), filepath.Join(b.dir, "aside")
				if err := os.Rename(path, aside); err != nil {
					t.Fatal(err)
				}
				if broken == stateName {
					os.MkdirAll(filepath.Join(path, "x"), 0o700)
				} else {
					os.WriteFile(path, nil, 0o600)
				}
				c := b.want("shop", time.Hour, runOf("b", 2))
				f := c.Status().Fault
				if f == nil || f.Code != codeStore || !strings.Contains(f.Message, b.dir) || f.Fix == "" {
					t.Errorf("fault %+v", f)
				}
				if _, err := c.Stat("x"); err != nil {
					t.Errorf("what was there: %v", err)
				}
				os.RemoveAll(path)
				os.Rename(aside, path)
				<-time.After(time.Minute)
				synctest.Wait()
				b.has1(c, "x", "b")
				if f := c.Status().Fault; f != nil {
					t.Errorf("fault afterwards: %+v", f)
				}
			})
		})
	}
}

// The directory may come later, as the mount of a volume may.
func TestAStoreThatCannotBeOpened(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		if err := os.WriteFile(b.dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewStore(Config{Dir: b.dir, Fetch: b.fetch, Limits: b.limits})
		if err := s.Load(); err == nil || !strings.Contains(err.Error(), b.dir) {
			t.Errorf("Load: %v, want an error with the path", err)
		}
		b.store = s
		b.run()
		c := b.want("shop", 0, runOf("a", 1))
		if st := c.Status(); st.State != Failed || st.Fault == nil || st.Fault.Code != codeStore {
			t.Errorf("status %+v", st)
		}
		os.Remove(b.dir)
		<-time.After(time.Minute)
		synctest.Wait()
		b.has1(c, "x", "a")
	})
}

// What somebody removed or cut by hand comes back with the next copy of equal
// content.
func TestContentThatIsGoneIsStoredAgain(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "same"})
		b.engine.has("b", map[string]string{"x": "same"})
		b.engine.has("c", map[string]string{"x": "same"})
		b.start()
		c := b.want("shop", time.Hour, runOf("a", 1))
		os.RemoveAll(filepath.Join(b.dir, blobsDir))
		b.want("shop", time.Hour, runOf("b", 1))
		b.has1(c, "x", "same")
		blobs, _ := filepath.Glob(filepath.Join(b.dir, blobsDir, "*", "*"))
		os.Truncate(blobs[0], 2)
		b.want("shop", time.Hour, runOf("c", 1))
		b.has1(c, "x", "same")
	})
}

func TestTwoProcesses(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.has("a", map[string]string{"x": "a"})
		b.engine.has("b", map[string]string{"x": "b"})
		b.start()
		first, stopFirst := b.store, b.stop
		b.want("shop", time.Hour, runOf("a", 1))
		b.start()
		c := b.want("shop", time.Hour, runOf("a", 1))
		b.has1(c, "x", "a")
		b.want("shop", time.Hour, runOf("b", 2))
		<-time.After(10 * time.Second)
		synctest.Wait()
		b.has1(c, "x", "a")
		if n := b.count("b"); n != 0 {
			t.Fatalf("read %d times by a process without the lock", n)
		}
		first.Collection("shop").Want([]Run{runOf("b", 2)}, time.Hour)
		<-time.After(2 * time.Second)
		synctest.Wait()
		b.has1(c, "x", "b") // that the first has published
		b.engine.has("c", map[string]string{"x": "c"})
		b.want("shop", time.Hour, runOf("c", 3))
		stopFirst()
		<-time.After(lockEvery)
		synctest.Wait()
		b.has1(c, "x", "c")
		if n := b.count("b"); n != 1 {
			t.Errorf("b was read %d times by both", n)
		}
	})
}
