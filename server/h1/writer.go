package h1

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// How the end of an answer's body is told.
type framing int

const (
	sized    framing = iota // Content-Length
	bodiless                // by the status, or the method
	chunked
	closing // the end of the connection, for HTTP/1.0
)

var (
	errLate     = errors.New("http: the handler has returned")
	errInside   = fmt.Errorf("http: a request that asks for no upgrade cannot be hijacked: %w", http.ErrNotSupported)
	continueMsg = []byte("HTTP/1.1 100 Continue\r\n\r\n")
)

// writer is the ResponseWriter of the requests of a desk. The answer is gathered
// and leaves in one write if it is small. As long as its length may still become
// known, the lines of the head that tell it are missing, and are put in between
// head and body when that is decided.
type writer struct {
	d        *desk
	live     bool        // a handler has it
	strict   bool        // late use panics
	own      http.Header // used again
	lent     http.Header // what Header returns instead, until WriteHeader
	array    *[outSize]byte
	out      []byte // what is gathered, in array as long as that suffices
	headEnd  int    // of out: where the missing lines go
	status   int    // 0 until WriteHeader
	decided  bool   // the head is complete, and framing holds
	framing  framing
	length   int64 // as the handler declared it, -1 if it did not
	written  int64 // of the body
	trailers []string
	trailing bool // it has to be chunked: there may be trailers
	hijacked bool
	err      error // of the first write that failed

	saying sync.Mutex // guards expects of a body, and that 100 is not behind the head
}

var _ http.ResponseWriter = (*writer)(nil)

func (w *writer) begin() {
	w.live, w.strict, w.length = true, w.d.c.engine.cfg.Poison, -1
	if w.own == nil {
		w.own = make(http.Header, 8)
	}
}

// clear makes w ready for the next request.
func (w *writer) clear() {
	if len(w.own) > manyFields {
		w.own = nil
	}
	clear(w.own)
	w.live, w.hijacked, w.trailing = false, false, false
	clear(w.trailers)
	w.lent, w.trailers, w.err = nil, w.trailers[:0], nil
	w.status, w.decided, w.framing, w.written, w.headEnd = 0, false, sized, 0, 0
	w.putBuffer()
}

func (w *writer) takeBuffer() {
	if w.array == nil {
		w.array = outBuffers.Get().(*[outSize]byte)
		w.out = w.array[:0]
	}
}

func (w *writer) putBuffer() {
	if w.array != nil {
		outBuffers.Put(w.array)
		w.array, w.out = nil, nil
	}
}

// Header returns what is lent, else the map for the next head or the trailers.
func (w *writer) Header() http.Header {
	if w.lent != nil {
		return w.lent
	}
	return w.own
}

// Lend makes h what Header returns until the next WriteHeader has returned. It
// reports false once the head is out or the writer's own header has fields.
func (w *writer) Lend(h http.Header) bool {
	if !w.live || w.status != 0 || w.hijacked || w.lent != nil || len(w.own) > 0 {
		return false
	}
	w.lent = h
	return true
}

// usable says why w cannot be written to any more.
func (w *writer) usable() error {
	switch {
	case w.hijacked:
		return http.ErrHijacked
	case w.live:
		return nil
	case w.strict:
		panic(errLate)
	}
	return errLate
}

// Write gathers p, or writes it with what was gathered.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case hasNoBody(w.status) && w.d.method != http.MethodHead:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	if err := w.body(p); err != nil {
		return 0, err
	}
	w.written += int64(len(p))
	return len(p), nil
}

// body passes a piece of the body on.
func (w *writer) body(p []byte) error {
	if w.d.method == http.MethodHead {
		if !w.decided && len(w.out)+int(w.written)+len(p) > outSize {
			w.decide(false) // as for a GET, which would be chunked
		}
		return nil
	}
	if !w.decided {
		if len(w.out)+len(p) <= outSize {
			w.out = append(w.out, p...)
			return nil
		}
		w.decide(false)
	}
	if w.framing != chunked {
		return w.push(p, nil)
	}
	w.out = appendHex(w.out, len(p))
	return w.push(p, crlf)
}

// push sends p and tail, which is short, behind what was gathered: gathers them,
// if they are small, or writes all of it without copying.
func (w *writer) push(p, tail []byte) error {
	if len(p) < direct && len(w.out)+len(p)+len(tail) <= outSize {
		w.out = append(append(w.out, p...), tail...)
		return nil
	}
	err := w.send(w.out, p, tail)
	w.out = w.out[:0]
	return err
}

// flush writes what was gathered.
func (w *writer) flush() error {
	if len(w.out) == 0 {
		return w.err
	}
	err := w.send(w.out, nil, nil)
	w.out = w.out[:0]
	return err
}

// send writes up to three pieces, of which the first is w.out.
func (w *writer) send(a, b, c []byte) error {
	if w.err != nil {
		return w.err
	}
	if w.err = w.d.c.write(a, b, c); w.err != nil {
		w.d.ctx.left()
	}
	return w.err
}

// FlushError sends what was written, the head included.
func (w *writer) FlushError() error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.decided {
		w.decide(false)
	}
	return w.flush()
}

// Flush is FlushError for those who know http.Flusher.
func (w *writer) Flush() { w.FlushError() }

// finish completes the answer, and reports whether it is as complete as was
// declared.
func (w *writer) finish() (complete bool) {
	if w.status == 0 {
		w.lent = nil // whose it was has not written it
		w.WriteHeader(http.StatusOK)
	}
	w.live = false
	if !w.decided {
		w.decide(true)
	}
	complete = w.framing != sized || w.written == w.length
	if w.framing == chunked {
		w.trail()
	}
	return w.flush() == nil && complete
}

// sayContinue tells a client that waits for it to send the body, unless the
// answer is on its way.
func (w *writer) sayContinue(b *body) error {
	w.saying.Lock()
	defer w.saying.Unlock()
	if !b.expects {
		return nil
	}
	b.expects = false
	_, err := w.d.c.nc.Write(continueMsg)
	return err
}

// settleContinue makes it too late for 100 Continue, and reports whether the
// client still waits for it.
func (w *writer) settleContinue() (waits bool) {
	b := w.d.body
	if b == nil {
		return false
	}
	w.saying.Lock()
	defer w.saying.Unlock()
	waits, b.expects = b.expects, false
	return waits
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex are for
// http.ResponseController. Deadlines end with the request. Bodies are never read
// before the handler asks, so answers may always begin before their end.
func (w *writer) SetReadDeadline(t time.Time) error {
	if err := w.usable(); err != nil {
		return err
	}
	w.d.timed.Store(true)
	return w.d.c.nc.SetReadDeadline(t)
}

func (w *writer) SetWriteDeadline(t time.Time) error {
	if err := w.usable(); err != nil {
		return err
	}
	w.d.timed.Store(true)
	return w.d.c.nc.SetWriteDeadline(t)
}

func (w *writer) EnableFullDuplex() error { return w.usable() }
