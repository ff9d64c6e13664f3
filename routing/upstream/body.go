package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
)

// body is the Body of one answer. It must be closed, and is not safe for use by
// several goroutines, except that a Close more does no harm whenever it comes:
// from the first one on body has nothing to do with the connection, which may be
// in other hands.
type body struct{ of atomic.Pointer[reader] }

var _ io.ReadCloser = (*body)(nil)

func (b *body) Read(p []byte) (int, error) {
	r := b.of.Load()
	if r == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return r.read(p)
}

// Close ends the exchange. The connection is kept if the answer was read to
// its end, nothing came behind it, the request was sent completely, and both
// sides want to go on.
func (b *body) Close() error {
	if r := b.of.Swap(nil); r != nil {
		r.close()
	}
	return nil
}

// Buffered returns how many bytes can be read without waiting, at least.
func (b *body) Buffered() int {
	r := b.of.Load()
	if r == nil || r.err != nil || r.chunked && r.left == 0 {
		return 0
	}
	return r.c.buffered()
}

// Whole returns what is left of the body, without reading, if its length is known
// and all of it was read from the connection already; it counts as read then, and
// is valid until Close.
func (b *body) Whole() ([]byte, bool) {
	r := b.of.Load()
	if r == nil || r.chunked || r.left <= 0 || int64(r.c.buffered()) < r.left || r.err != nil {
		return nil, false
	}
	c := r.c
	p := c.in[c.r : c.r+int(r.left)]
	c.r += len(p)
	r.left, r.err = 0, io.EOF
	return p, true
}

// peek returns what was read of the body and not used yet, until the next Read.
func (b *body) peek() []byte {
	r := b.of.Load()
	if r == nil {
		return nil
	}
	return r.c.in[r.c.r:r.c.w]
}

// Uploading reports whether the request's body was not read to its end yet.
func (b *body) Uploading() bool {
	r := b.of.Load()
	return r != nil && r.up != nil && !r.up.read.Load()
}

// reader reads the body of the answer in hand, of which there is one at a time.
type reader struct {
	c    *conn
	up   *upload // nil if the request was sent before the answer was read
	idle time.Duration

	chunked bool
	chunks  http1.Chunks
	left    int64 // of the body or the chunk, -1: until the connection ends
	err     error // how it ended; io.EOF when it is complete
	keep    bool
}

func (r *reader) read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.next(p)
	if err != nil {
		r.err = r.failure(err)
	}
	return n, r.err
}

func (r *reader) next(p []byte) (n int, err error) {
	if r.chunked && r.left == 0 {
		if err := r.nextChunk(); err != nil {
			return 0, err
		}
	}
	if r.left >= 0 && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	if r.c.buffered() > 0 {
		n = r.c.take(p)
	} else {
		r.c.await(forMore, r.idle)
		n, err = r.c.nc.Read(p)
		r.c.came(forMore)
	}
	if r.left < 0 {
		return n, err // an end of the connection is the end of the body
	}
	r.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	case err != nil || r.left > 0:
		return n, err
	case r.chunked:
		// What came along is looked at now: a body that is complete says so
		// with its last bytes, which saves whoever sends it on a flush.
		_, err = r.chunk()
		return n, err
	}
	return n, io.EOF
}

// nextChunk reads on until a chunk begins, or returns io.EOF behind the last.
func (r *reader) nextChunk() error {
	for {
		if ok, err := r.chunk(); ok || err != nil {
			return err
		}
		r.c.await(forMore, r.idle)
		err := r.c.fill(http1.MaxChunkLine + http1.MaxTrailer)
		r.c.came(forMore)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// chunk parses the line that begins a chunk if all of it is buffered.
func (r *reader) chunk() (ok bool, err error) {
	used, size, err := r.chunks.Next(r.c.in[r.c.r:r.c.w])
	if err != nil {
		return false, fmt.Errorf("its body has %w", err)
	}
	if used == 0 {
		return false, nil
	}
	r.c.r += used
	r.left = size
	if size == 0 {
		r.trail(r.chunks.Trailer)
		return true, io.EOF
	}
	return true, nil
}

// trail adds the trailers that may be there.
func (r *reader) trail(fields http.Header) {
	resp := r.c.reply
	for name, values := range fields {
		if !mayTrail(name) {
			continue
		}
		if resp.Trailer == nil {
			resp.Trailer = make(http.Header)
		}
		resp.Trailer[name] = values
	}
}

// failure says what ended the body before its end.
func (r *reader) failure(err error) error {
	if err == io.EOF {
		return err
	}
	if cause := r.c.cause.Load(); cause != nil {
		err = *cause
		if errors.Is(err, errVanished) || errors.Is(err, errDied) {
			return r.c.t.broken(err)
		}
		return err
	}
	if err == io.ErrUnexpectedEOF {
		return err
	}
	return r.c.t.broken(err)
}

func (r *reader) close() {
	c := r.c
	keep := r.keep && r.err == io.EOF && c.buffered() == 0
	if r.up != nil {
		if !keep {
			c.sock.Close()
		}
		keep = r.up.finish() && keep
	}
	c.reply.Header = nil // it is about to be somebody else's
	if c.t.poison {
		c.poison()
	}
	finish := c.t.finish
	c.t.release(c, keep)
	finish()
}
