package h1

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
)

const (
	// skipped is how much of a body that a handler left is read off, so that the
	// connection can be kept, in bytes.
	skipped = 256 << 10
	// skipTime is how long that may take.
	skipTime = 250 * time.Millisecond
	// direct is from what size on a read goes past the buffer, in bytes.
	direct = 4 << 10
	// maxFraming is the most that stands between the data of two chunks, in bytes.
	maxFraming = http1.MaxChunkLine + http1.MaxTrailer + 16
)

var errSlowBody = fmt.Errorf("the request's body came too slowly: %w", os.ErrDeadlineExceeded)

// body is that of one request. It is not used again: whoever sends a body on may
// come back to it when the handler has returned long ago.
type body struct {
	c       *conn
	d       *desk
	expects bool        // the client waits for 100 Continue; changed under writer.saying
	arrived atomic.Bool // no byte of it is on the wire any more
	shut    atomic.Bool // the handler closed it, or has returned

	mu      sync.Mutex // guards all below; held while a Read waits
	chunked bool
	chunks  http1.Chunks
	left    int64 // of the body, or of the chunk in hand
	err     error // of every Read from now on: io.EOF at the end
	credit  time.Duration
}

// openBody makes the body of the request in hand, of length bytes if it is not
// chunked.
func (d *desk) openBody(length int64, chunked bool) {
	b := &body{c: d.c, d: d, chunked: chunked, left: length, credit: d.c.engine.cfg.BodyGrace}
	b.arrived.Store(!chunked && length <= int64(d.buffered()))
	d.body = b
	d.req.Body = b
}

// Read may be called by any goroutine, one at a time.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

// Buffered returns how many bytes of it, its framing included, were read from the
// connection already. It is for before the first Read, and the handler alone.
func (b *body) Buffered() int {
	if b.expects {
		return 0
	}
	return b.d.buffered()
}

// Close does not wait, neither for a Read nor for the rest of the body: that is
// read off when the handler has returned, if it is worth it.
func (b *body) Close() error {
	b.shut.Store(true)
	return nil
}

func (b *body) read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if err := b.d.w.sayContinue(b); err != nil {
		return 0, b.fail(err)
	}
	if b.chunked && b.left == 0 {
		if err := b.nextChunk(true); err != nil {
			return 0, err
		}
	}
	n, err := b.some(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err != nil:
		return n, b.fail(err)
	case b.left > 0:
		return n, nil
	case !b.chunked:
		b.finish()
		return n, b.err
	}
	return n, b.nextChunk(false) // the end may be there already
}

// some reads data into p, which is not longer than what is left.
func (b *body) some(p []byte) (int, error) {
	d := b.d
	if d.buffered() == 0 {
		if len(p) >= direct {
			return b.wait(p)
		}
		if err := b.fill(inSize); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.in[d.from:d.to])
	d.from += n
	return n, nil
}

// nextChunk reads the framing up to the data of the next chunk, or to the end.
// Without wait it does so only if that was read from the connection already.
func (b *body) nextChunk(wait bool) error {
	for {
		used, size, err := b.chunks.Next(b.d.in[b.d.from:b.d.to])
		switch {
		case err != nil:
			return b.fail(err)
		case used > 0 && size > 0:
			b.d.from += used
			b.left = size
			return nil
		case used > 0:
			b.d.from += used
			b.trail(b.chunks.Trailer)
			b.finish()
			return b.err
		case !wait:
			return nil
		}
		if err := b.fill(maxFraming); err != nil {
			return b.fail(err)
		}
	}
}

// trail makes trailers known, whether they were announced or not.
func (b *body) trail(trailer http.Header) {
	if len(trailer) == 0 || b.shut.Load() {
		return
	}
	r := b.d.req
	if r.Trailer == nil {
		r.Trailer = make(http.Header, len(trailer))
	}
	for name, values := range trailer {
		r.Trailer[name] = values
	}
}

// finish notes the end.
func (b *body) finish() {
	b.err = io.EOF
	b.arrived.Store(true)
	b.d.ctx.received()
}

// fail makes err stay, unless it is a deadline: that may be set anew.
func (b *body) fail(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if !isTimeout(err) || err == errSlowBody {
		b.err = err
	}
	return err
}

// fill reads into the buffer.
func (b *body) fill(limit int) error {
	if !b.d.room(limit) {
		return http1.ErrTooLarge
	}
	n, err := b.wait(b.d.in[b.d.to:])
	b.d.to += n
	return err
}

// wait reads from the connection, at the minimum rate: the client has credit,
// which shrinks while a read waits and grows with what arrives, to BodyGrace at
// most. The janitor ends a read that outlasts it. A total time would cut long
// uploads, and one per read would let a byte now and then hold a connection for
// ever.
func (b *body) wait(p []byte) (int, error) {
	cfg := &b.c.engine.cfg
	if cfg.MinBodyRate < 0 {
		return plainRead(b.c.nc, p)
	}
	start := time.Now()
	b.c.bodyDue.Store(int64(start.Sub(b.c.engine.epoch) + b.credit))
	n, err := plainRead(b.c.nc, p)
	if b.c.bodyDue.Swap(0) == tooSlow {
		return n, errSlowBody
	}
	b.credit += time.Duration(n)*time.Second/time.Duration(cfg.MinBodyRate) - time.Since(start)
	b.credit = max(min(b.credit, cfg.BodyGrace), 0)
	return n, err
}

// plainRead has no error if it read something.
func plainRead(r io.Reader, p []byte) (int, error) {
	n, err := r.Read(p)
	if n > 0 {
		err = nil
	}
	return n, err
}

// detach takes the body from the handler, which has returned, and reports whether
// that left some of it. A Read of another goroutine that waits is ended.
func (b *body) detach() (left bool) {
	if b == nil {
		return false
	}
	b.shut.Store(true)
	if !b.mu.TryLock() {
		b.c.nc.SetReadDeadline(longAgo)
		b.d.timed.Store(true)
		b.mu.Lock()
		if b.err == nil {
			b.err = os.ErrDeadlineExceeded // somebody may have lost some of it
		}
	}
	defer b.mu.Unlock()
	return b.err != io.EOF
}

// isThere reports whether all of the body was read from the connection.
func (b *body) isThere() bool { return b == nil || b.arrived.Load() }

// complete reports whether the next request stands where the buffer begins.
func (b *body) complete() bool { return b == nil || b.err == io.EOF }

// skip reads off the rest of a detached body if there is not much of it and it
// comes soon.
func (b *body) skip() bool {
	if b.complete() {
		return true
	}
	if b.err != nil || b.expects || b.left > skipped {
		return false
	}
	if !b.arrived.Load() {
		b.c.nc.SetReadDeadline(time.Now().Add(skipTime))
		b.d.timed.Store(true)
	}
	buf := outBuffers.Get().(*[outSize]byte)
	defer outBuffers.Put(buf)
	for n := 0; n < skipped; {
		m, err := b.read(buf[:])
		n += m
		if err != nil {
			return err == io.EOF
		}
	}
	return false
}
