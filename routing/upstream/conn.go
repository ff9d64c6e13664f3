package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/fairlead/fairlead/internal/http1"
)

const (
	bufferSize = 8 << 10 // of a connection that waits for its next request
	manyFields = 64      // a header map that had more is not used again
)

// A stage is how far the exchange on a connection is.
type stage int32

const (
	exchanging stage = iota
	unanswered       // it was sent, may be sent again, and nothing of an answer came
	tunnelling       // it was upgraded
)

// conn is one connection to an endpoint, with all that one exchange after the
// other on it needs. It belongs to the goroutine of the request that took it,
// with three exceptions: the upload of a body writes, the sweeper and abort close
// it, and a peek looks at it while nobody has it.
type conn struct {
	t      *transport
	nc     net.Conn // what is read and written: TLS, direct, or sock itself
	sock   net.Conn
	direct *socket // nil with TLS and where there is none
	name   string  // it was verified for, "" without TLS

	in     []byte // in[r:w] is read and not yet used
	r, w   int
	secure bool   // nc is TLS
	out    []byte // the head being sent
	served int    // requests before this one
	idleAt int64
	wary   bool // the answer before had no body by rule: one may come all the same

	head   head
	reply  *http.Response // the answer in hand
	body   reader
	upload upload

	cause    atomic.Pointer[error] // why it was aborted
	stage    atomic.Int32          // a stage
	farewell func()                // see tunnel.OnFarewell; guarded by the transport's mutex

	// What the sweeper goes by. The stamps are those of what is waited for now;
	// the others are guarded by the transport's mutex.
	stamps  [awaited]atomic.Int64
	place   int             // in the transport's busy, -1 if it is not there
	began   int64           // when it was taken
	limit   int64           // when the exchange has to be over, 0 for no limit
	ctx     context.Context // of the request
	unwatch func() bool     // ends the watch over ctx; nil without one

	mu      sync.Mutex // guards what an upload and the reader share
	waiting bool       // for the first byte of the answer
}

func newConn(t *transport, sock net.Conn) *conn {
	c := &conn{t: t, sock: sock, in: make([]byte, bufferSize), place: -1}
	c.nc = c.sock
	if c.direct = newSocket(sock); c.direct != nil {
		c.nc = c.direct
	}
	c.upload.init(c)
	return c
}

// abort ends whatever is going on on c, from any goroutine. The first cause is
// the one its request reports.
func (c *conn) abort(cause error) {
	if c.cause.Load() == nil {
		aborted := cause
		c.cause.CompareAndSwap(nil, &aborted)
	}
	c.sock.Close()
}

// gone ends the exchange of a request whose context ended.
func (c *conn) gone(ctx context.Context) { c.abort(context.Cause(ctx)) }

func (c *conn) close() { c.t.release(c, false) }

// reset makes c ready for the next exchange, and lets go of what was read.
func (c *conn) reset() {
	if len(c.in) > bufferSize {
		c.in = make([]byte, bufferSize)
	}
	c.r, c.w = 0, 0
	c.reply = nil
	switch {
	case len(c.head.fields.Header) > manyFields:
		c.head.fields = http1.Fields{}
	case !c.t.poison: // which is still to be found
		c.head.fields.Reset()
	}
}

// buffered returns how many bytes were read and not yet used.
func (c *conn) buffered() int { return c.w - c.r }

// fill reads once, behind what is buffered, growing the buffer up to limit.
func (c *conn) fill(limit int) error {
	if err := c.makeRoom(limit); err != nil {
		return err
	}
	n, err := c.nc.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (c *conn) makeRoom(limit int) error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.in) {
		switch {
		case c.r > 0:
			c.w = copy(c.in, c.in[c.r:c.w])
			c.r = 0
		case len(c.in) < limit:
			c.in = append(c.in, make([]byte, min(len(c.in), limit-len(c.in)))...)
		default:
			return errHeadSize
		}
	}
	return nil
}

// take returns bytes that are buffered.
func (c *conn) take(p []byte) int {
	n := copy(p, c.in[c.r:c.w])
	c.r += n
	return n
}
