//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/bench/wire"
	"golang.org/x/sys/unix"
)

// A conn has at most one request under way.
type conn struct {
	fd     int
	busy   bool
	since  time.Time // when the request was due
	out    []byte    // of it what was not written yet
	asking bool      // EPOLLOUT is asked for
	in     []byte    // of a head that is not whole yet
	body   int64     // bytes of the answer's body still to come
	inBody bool
}

var (
	errClosed = errors.New("the connection was closed")
	errMore   = errors.New("more bytes than the answer's length")
)

func (r *run) dial() error {
	fd, err := wire.Dial(r.Addr)
	if err != nil {
		return err
	}
	if err := r.poll.Add(fd, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return err
	}
	c := &conn{fd: fd}
	r.conns[fd] = c
	r.free = append(r.free, c)
	return nil
}

// send begins the next request on c.
func (r *run) send(c *conn, now time.Time) {
	c.busy, c.since = true, now
	if r.Rate > 0 {
		c.since = r.start.Add(time.Duration(r.sent) * r.interval())
	}
	c.out = r.Send[r.sent%len(r.Send)]
	r.sent++
	r.flight++
	r.write(c)
}

func (r *run) write(c *conn) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case err == unix.EAGAIN:
			r.ask(c, true)
			return
		case err != nil:
			r.drop(c, fmt.Errorf("write: %w", err))
			return
		}
		c.out = c.out[n:]
	}
	r.ask(c, false)
}

func (r *run) ask(c *conn, out bool) {
	if c.asking == out {
		return
	}
	c.asking = out
	events := uint32(unix.EPOLLIN)
	if out {
		events |= unix.EPOLLOUT
	}
	if err := r.poll.Set(c.fd, events); err != nil {
		r.drop(c, err)
	}
}

// step does what c is ready for.
func (r *run) step(c *conn) {
	if len(c.out) > 0 {
		r.write(c)
		if r.conns[c.fd] != c {
			return
		}
	}
	n, err := unix.Read(c.fd, r.buf)
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		r.drop(c, fmt.Errorf("read: %w", err))
	case n == 0:
		r.drop(c, errClosed)
	default:
		r.take(c, r.buf[:n])
	}
}

// take reads b as what comes next of the answer on c.
func (r *run) take(c *conn, b []byte) {
	if !c.inBody {
		if len(c.in) > 0 {
			c.in = append(c.in, b...)
			b = c.in
		}
		n := wire.Head(b)
		if n == 0 {
			c.in = append(c.in[:0], b...)
			return
		}
		if err := r.check(b[:n]); err != nil {
			r.drop(c, err)
			return
		}
		c.inBody, c.body, c.in = true, r.Want, c.in[:0]
		b = b[n:]
	}
	if c.body -= int64(len(b)); c.body < 0 || !c.busy {
		r.drop(c, errMore)
		return
	}
	if c.body == 0 && len(c.out) == 0 {
		r.answered(c)
	}
}

func (r *run) check(head []byte) error {
	if status := wire.Status(head); status != 200 {
		return fmt.Errorf("status %d", status)
	}
	if n := wire.Length(head); n != r.Want {
		return fmt.Errorf("an answer of %d bytes, want %d", n, r.Want)
	}
	return nil
}

func (r *run) answered(c *conn) {
	r.progress = time.Now()
	r.took.Record(r.progress.Sub(c.since))
	r.Requests++
	r.flight--
	c.busy, c.inBody = false, false
	r.free = append(r.free, c)
}

// drop counts what was under way on c as failed and puts another connection in
// its place. An idle connection may be closed, and nothing else.
func (r *run) drop(c *conn, err error) {
	if c.busy || err != errClosed {
		r.fail(1, err)
	}
	if c.busy {
		r.flight--
	}
	for i, f := range r.free {
		if f == c {
			r.free = append(r.free[:i], r.free[i+1:]...)
			break
		}
	}
	unix.Close(c.fd)
	delete(r.conns, c.fd)
	if err := r.dial(); err != nil {
		r.fail(1, err)
	}
}
