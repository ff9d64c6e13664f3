package assets

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// codings are what content is compressed with beforehand, best first where a
// client has no preference.
var codings = []string{"zstd", "br", "gzip"}

// Sizes of what is compressed, in bytes. Less fits into the packet that carries
// the head; more takes seconds for each coding, and is seldom text for people.
const (
	minCompressed = 1 << 10
	maxCompressed = 16 << 20
)

// compressible tells whether a file of that name and size is worth the attempt.
func compressible(name string, size int64) bool {
	return size > minCompressed && size <= maxCompressed && Compresses(name)
}

// encode writes src, which has size bytes, to dst, compressed as hard as can be
// with one of codings. Equal content always becomes the same bytes. It reads src
// from its beginning, whatever its offset, and ends within half a second of ctx.
// It takes up to 45 MB of memory with "zstd", 65 MB with "br", 1 MB with "gzip".
func encode(ctx context.Context, coding string, src *os.File, size int64, dst *os.File) error {
	out := bufio.NewWriterSize(dst, 64<<10)
	w, release, err := encoder(coding, out, size)
	if err != nil {
		return err
	}
	defer release()
	if err := feed(ctx, w, io.NewSectionReader(src, 0, size), size); err != nil {
		return fmt.Errorf("compress with %s: %w", coding, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compress with %s: %w", coding, err)
	}
	return out.Flush()
}

// feed copies size bytes.
func feed(ctx context.Context, w io.Writer, r io.Reader, size int64) error {
	buf := make([]byte, 64<<10)
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		if err == io.EOF && left > 0 {
			return io.ErrUnexpectedEOF // somebody cut it
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return ctx.Err()
}

// encoder returns what compresses to w, and what is called when that is done or
// has failed.
func encoder(coding string, w io.Writer, size int64) (e io.WriteCloser, release func(), err error) {
	switch coding {
	case "zstd":
		e, release = zstdEncoder(w, size)
	case "br":
		e, release = brotliEncoder(w, size), func() {}
	case "gzip":
		e, err = gzip.NewWriterLevel(w, gzip.BestCompression)
		release = func() {}
	default:
		err = fmt.Errorf("no coding is called %q", coding)
	}
	return e, release, err
}

// zstdWindow is how far back content may refer: browsers take 8 MiB and no more
// (RFC 9659). The frame of a smaller file asks for what that needs.
const zstdWindow = 8 << 20

// zstdEncoders are kept for the next file: their tables are 36 MB, which take
// longer to clear than most files to compress. Those that are idle go with the
// garbage.
var zstdEncoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1), // more would cut content into blocks as they come, and start goroutines
		zstd.WithLowerEncoderMem(true), // 8 MB of history instead of 16
		zstd.WithWindowSize(zstdWindow),
		zstd.WithZeroFrames(true)) // else nothing comes of nothing, which is no zstd
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}}

func zstdEncoder(w io.Writer, size int64) (io.WriteCloser, func()) {
	e := zstdEncoders.Get().(*zstd.Encoder)
	e.ResetContentSize(w, size)
	return e, func() {
		e.Reset(nil)
		zstdEncoders.Put(e)
	}
}

// Above brotliSlow bytes, quality 11 would run for seconds at less than 1 MB/s to
// save one part in ten; 9 is some 20 times as fast.
const (
	brotliSlow      = 1 << 20
	brotliMaxWindow = 22 // as the power of 2, 4 MiB: what a decoder has to keep
)

func brotliEncoder(w io.Writer, size int64) io.WriteCloser {
	o := brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 10}
	if size > brotliSlow {
		o.Quality = 9
	}
	// A window has 16 bytes less than its power of 2 (RFC 7932, 9.1). What is
	// larger than the content would only cost memory, here and in browsers.
	for o.LGWin < brotliMaxWindow && 1<<o.LGWin-16 < size {
		o.LGWin++
	}
	return brotli.NewWriterOptions(w, o)
}
