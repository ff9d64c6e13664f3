package assets

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

// text returns n bytes that look a little like a program, the same for a seed. They
// repeat themselves, or the race detector takes minutes for some megabytes.
func text(n int, seed uint64) []byte {
	const fresh = 30 << 10
	if n > fresh {
		return bytes.Repeat(text(fresh, seed), n/fresh+1)[:n]
	}
	r := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("function return const let var this window document => { } ( ) ; = == === + . , name value element style class export default")
	var b bytes.Buffer
	for b.Len() < n {
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "%x", r.Uint32())
		}
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" \n"[r.IntN(10)/9])
	}
	return b.Bytes()[:n]
}

// encoded returns content compressed with coding.
func encoded(t testing.TB, ctx context.Context, coding string, content []byte) ([]byte, error) {
	t.Helper()
	src, dst := fileWith(t, content), fileWith(t, nil)
	defer src.Close()
	defer dst.Close()
	if _, err := src.Seek(int64(len(content)/2), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := encode(ctx, coding, src, int64(len(content)), dst); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(dst.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b, nil
}

func fileWith(t testing.TB, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// decoded is what a browser reads of b.
func decoded(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch coding {
	case "zstd":
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer d.Close()
		}
		r = d
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return got
}

func TestWhatIsEncodedDecodes(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, coding := range codings {
		for _, size := range []int{0, 1, 1009, 1025, 40_000, 130 << 10, brotliSlow + 1, 9 << 20} {
			content := text(size, 1)
			b, err := encoded(t, t.Context(), coding, content)
			if err != nil {
				t.Errorf("%s of %d bytes: %v", coding, size, err)
				continue
			}
			if !bytes.Equal(decoded(t, coding, b), content) {
				t.Errorf("%s of %d bytes is other content when it is decoded", coding, size)
			}
			if size > minCompressed && len(b) > size*2/3 {
				t.Errorf("%s made %d bytes of %d", coding, len(b), size)
			}
		}
	}
}

func TestEqualContentIsEncodedEqually(t *testing.T) {
	a, b := text(60<<10, 1), text(40<<10, 2)
	for _, coding := range codings {
		var first []byte
		for i := range 3 {
			got, err := encoded(t, t.Context(), coding, a)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = got
			} else if !bytes.Equal(got, first) {
				t.Errorf("%s: time %d differs from the first", coding, i+1)
			}
			if _, err := encoded(t, t.Context(), coding, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := encoded(t, t.Context(), "gzip", a)
	if err != nil {
		t.Fatal(err)
	}
	// Flags (a name would be one) and time, RFC 1952.
	if want := make([]byte, 5); !bytes.Equal(got[3:8], want) {
		t.Errorf("flags and time are % x, want % x", got[3:8], want)
	}
}

// endsLater is a context that ends when it has been asked so many times.
type endsLater struct {
	context.Context
	left int
}

func (c *endsLater) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestEncodingEndsWithItsContext(t *testing.T) {
	content := text(600<<10, 1)
	for _, coding := range codings {
		for _, left := range []int{0, 1, 5} {
			ctx := &endsLater{Context: t.Context(), left: left}
			if _, err := encoded(t, ctx, coding, content); !errors.Is(err, context.Canceled) {
				t.Errorf("%s ends with %v, want %v", coding, err, context.Canceled)
			}
			if ctx.left < -1 {
				t.Errorf("%s went on, and asked %d times more", coding, -1-ctx.left)
			}
		}
		// Nothing of it is in what comes next.
		small := text(20<<10, 3)
		b, err := encoded(t, t.Context(), coding, small)
		if err != nil || !bytes.Equal(decoded(t, coding, b), small) {
			t.Errorf("%s after one that was given up: %v", coding, err)
		}
	}
}

func TestEncodingFails(t *testing.T) {
	src := fileWith(t, text(100<<10, 1))
	defer src.Close()
	readOnly, err := os.Open(src.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	for _, coding := range codings {
		dst := fileWith(t, nil)
		if err := encode(t.Context(), coding, src, 200<<10, dst); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s of a file that was cut: %v, want %v", coding, err, io.ErrUnexpectedEOF)
		}
		dst.Close()
		if err := encode(t.Context(), coding, src, 100<<10, dst); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s to a closed file: %v", coding, err)
		}
		if err := encode(t.Context(), coding, src, 100<<10, readOnly); err == nil {
			t.Errorf("%s to a file that cannot be written succeeded", coding)
		}
	}
	if err := encode(t.Context(), "deflate", src, 10, readOnly); err == nil || !strings.Contains(err.Error(), `"deflate"`) {
		t.Errorf("an unknown coding: %v", err)
	}
}

func TestWindowsAreWhatBrowsersTake(t *testing.T) {
	for _, tt := range []struct {
		size       int
		zstd, bits int // window in bytes, and as the power of 2
	}{
		{2000, 2048, 11},
		{4096, 4096, 13}, // 16 bytes less than a power of 2 count
		{200_000, 1 << 18, 18},
		{brotliSlow + 1, 2 << 20, 21},
		{9 << 20, 8 << 20, 22},
	} {
		content := text(tt.size, 1)
		b, err := encoded(t, t.Context(), "zstd", content)
		if err != nil {
			t.Fatal(err)
		}
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		window := h.WindowSize
		if h.SingleSegment {
			window = h.FrameContentSize
		}
		if window > uint64(tt.zstd) || h.FrameContentSize != uint64(tt.size) {
			t.Errorf("%d bytes as zstd: a window of %d for %d bytes, want %d at most", tt.size, window, h.FrameContentSize, tt.zstd)
		}
		if b, err = encoded(t, t.Context(), "br", content); err != nil {
			t.Fatal(err)
		}
		if got := brotliBits(b[0]); got > tt.bits {
			t.Errorf("%d bytes as br: a window of 2^%d, want 2^%d at most", tt.size, got, tt.bits)
		}
	}
}

// brotliBits returns the size of the window as the power of 2 (RFC 7932, 9.1).
func brotliBits(b byte) int {
	switch {
	case b&1 == 0:
		return 16
	case b>>1&7 != 0:
		return 17 + int(b>>1&7)
	case b>>4&7 == 0:
		return 17
	default:
		return 8 + int(b>>4&7)
	}
}

func TestWhatIsWorthCompressing(t *testing.T) {
	const kib = 1 << 10
	for _, tt := range []struct {
		name string
		size int64
		want bool
	}{
		{"app.js", 2 * kib, true}, {"a/b.min.CSS", 2 * kib, true}, {"index.html", 2 * kib, true}, {"x.mjs", 2 * kib, true},
		{"app.js.map", 2 * kib, true}, {"logo.svg", 2 * kib, true}, {"x.json", 2 * kib, true}, {"x.wasm", 2 * kib, true},
		{"x.xml", 2 * kib, true}, {"robots.txt", 2 * kib, true}, {"README.md", 2 * kib, true}, {"x.csv", 2 * kib, true},
		{"f.ttf", 2 * kib, true}, {"f.otf", 2 * kib, true}, {"f.eot", 2 * kib, true}, {"favicon.ico", 2 * kib, true},
		{"site.webmanifest", 2 * kib, true}, {"feed.rss", 2 * kib, true}, {"feed.atom", 2 * kib, true}, {"x.yaml", 2 * kib, true},
		{"x.geojson", 2 * kib, true}, {"x.vtt", 2 * kib, true}, {"m.glb", 2 * kib, true}, {"live.m3u8", 2 * kib, true},

		{"x.png", 2 * kib, false}, {"x.jpg", 2 * kib, false}, {"f.woff2", 2 * kib, false}, {"f.woff", 2 * kib, false},
		{"x.mp4", 2 * kib, false}, {"x.ts", 2 * kib, false}, {"x.zip", 2 * kib, false}, {"x.svgz", 2 * kib, false},
		{"app.js.br", 2 * kib, false}, {"app.js.gz", 2 * kib, false}, {"app.js.zst", 2 * kib, false}, {"x.pdf", 2 * kib, false},
		{"x.docx", 2 * kib, false}, {"x.epub", 2 * kib, false}, {"LICENSE", 2 * kib, false}, {"dir.js/file", 2 * kib, false},
		{"x.unknown", 2 * kib, false}, {"", 2 * kib, false},

		{"app.js", 0, false}, {"app.js", kib, false}, {"app.js", kib + 1, true},
		{"app.js", 16 << 20, true}, {"app.js", 16<<20 + 1, false},
	} {
		if got := compressible(tt.name, tt.size); got != tt.want {
			t.Errorf("compressible(%q, %d) is %v", tt.name, tt.size, got)
		}
	}
}

// BenchmarkEncode compresses the sources of the module, which are text of the
// kind that is served.
func BenchmarkEncode(b *testing.B) {
	all := sources(b, 3<<20)
	for _, size := range []int{10 << 10, 100 << 10, brotliSlow, 3 << 20} {
		for _, coding := range codings {
			b.Run(fmt.Sprintf("%s-%dk", coding, size>>10), func(b *testing.B) {
				src, dst := fileWith(b, all[:size]), fileWith(b, nil)
				defer src.Close()
				defer dst.Close()
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := errors.Join(dst.Truncate(0), encode(b.Context(), coding, src, int64(size), dst)); err != nil {
						b.Fatal(err)
					}
					dst.Seek(0, io.SeekStart)
				}
				info, err := dst.Stat()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/float64(size), "ratio")
			})
		}
	}
}

func sources(b *testing.B, n int) []byte {
	var all []byte
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content...)
		return err
	})
	if err != nil || len(all) == 0 {
		b.Fatal(len(all), err)
	}
	for len(all) < n {
		all = append(all, all...)
	}
	return all[:n]
}
