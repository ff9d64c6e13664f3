package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	bufferSize = 8 << 10 // of a connection that waits for its next request
	writeMore  = time.Second
)

// A stage is how far the exchange on a connection is.
type stage int32

const (
	exchanging stage = iota
	unanswered       // it was sent, may be sent again, and nothing of an answer came
	tunnelling       // it was upgraded
)

// conn is one connection to an endpoint. It belongs to the goroutine of the
// request that took it, with three exceptions: the upload of a body writes,
// abort closes it, and peek runs while nobody has it.
type conn struct {
	t      *transport
	nc     net.Conn // TLS, or sock itself
	sock   net.Conn
	name   string // it was verified for, "" without TLS
	in     []byte // in[r:w] is read and not yet used
	r, w   int
	out    []byte // the head being sent
	served int    // requests before this one
	idleAt time.Time
	peek   func(fd uintptr)
	raw    syscall.RawConn
	stale  bool // found by peek

	cause    atomic.Pointer[error] // why it was aborted
	stage    atomic.Int32          // a stage
	farewell func()                // see tunnel.OnFarewell; guarded by the transport's mutex

	mu       sync.Mutex // guards what upload and reader share
	waiting  bool       // for the first byte of the answer
	deadline time.Time  // for reading
	armed    bool       // some deadline may be set
}

func newConn(t *transport, nc, sock net.Conn, name string) *conn {
	c := &conn{t: t, nc: nc, sock: sock, name: name, in: make([]byte, bufferSize)}
	if s, ok := sock.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	c.peek = c.look
	return c
}

// abort ends whatever is going on on c, from any goroutine. The first cause is
// the one its request reports.
func (c *conn) abort(cause error) {
	c.cause.CompareAndSwap(nil, &cause)
	c.sock.Close()
}

func (c *conn) close() {
	c.t.forget(c)
	c.sock.Close()
}

// buffered returns how many bytes were read and not yet used.
func (c *conn) buffered() int { return c.w - c.r }

// fill reads once, behind what is buffered, growing the buffer up to limit.
func (c *conn) fill(limit int) error {
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

// read returns buffered bytes first, and reads past the buffer otherwise.
func (c *conn) read(p []byte) (int, error) {
	if c.r < c.w {
		n := copy(p, c.in[c.r:c.w])
		c.r += n
		return n, nil
	}
	return c.nc.Read(p)
}

// awaitAnswer sets the deadlines for sending call and for its answer. The limit
// for the answer begins when the request is sent; where a body follows, its
// upload sets that from its own goroutine.
func (c *conn) awaitAnswer(call *call) {
	d := call.limit
	if !call.stream {
		d = call.answerBy()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
	if c.armed || !d.IsZero() {
		c.deadline = d
		c.nc.SetDeadline(d)
	}
	c.armed = !d.IsZero() || call.stream // an upload moves the one for writing
}

// sent sets the deadline for an answer that is still waited for.
func (c *conn) sent(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.setRead(deadline)
	}
}

// gotAnswer ends the wait; from here on only the reader moves the deadline.
func (c *conn) gotAnswer() {
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
}

// progress moves the read deadline to idle from now, at most once a second or
// eight times in idle: setting a deadline costs more than many a read.
func (c *conn) progress(idle time.Duration, limit time.Time) {
	if idle <= 0 {
		if !c.deadline.Equal(limit) {
			c.setRead(limit)
		}
		return
	}
	step := min(idle/8, writeMore)
	next := time.Now().Add(idle)
	if d := next.Sub(c.deadline); d > -step && d < 0 && !c.deadline.IsZero() {
		return
	}
	c.setRead(earlier(next.Add(step), limit))
}

func (c *conn) setRead(t time.Time) {
	if c.deadline.Equal(t) {
		return
	}
	c.deadline, c.armed = t, true
	c.nc.SetReadDeadline(t)
}

// earlier returns the earlier of two deadlines, of which zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
