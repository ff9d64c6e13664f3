package server

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// piece is how much is written under one deadline.
const piece = 64 << 10

// tcpConn is a guest's connection. It cuts clients that do not read: each piece
// of an answer has to be accepted within stall, unless somebody set a deadline
// of his own. A time for the whole answer would cut long downloads.
type tcpConn struct {
	*net.TCPConn
	guest *guest
	stall time.Duration

	extended atomic.Int64 // when the deadline was last moved, in Unix nanoseconds
	own      atomic.Bool  // somebody else set it
}

var _ io.ReaderFrom = (*tcpConn)(nil)

func (c *tcpConn) Close() error {
	err := c.TCPConn.Close()
	c.guest.leave()
	return err
}

func (c *tcpConn) SetDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	c.extended.Store(0)
	return c.TCPConn.SetDeadline(t)
}

func (c *tcpConn) SetWriteDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	c.extended.Store(0)
	return c.TCPConn.SetWriteDeadline(t)
}

// extend moves the deadline, at most ten times within stall: moving it costs
// more than asking for the time.
func (c *tcpConn) extend() {
	if c.own.Load() {
		return
	}
	now := time.Now()
	if now.UnixNano()-c.extended.Load() < int64(c.stall/10) {
		return
	}
	c.extended.Store(now.UnixNano())
	c.TCPConn.SetWriteDeadline(now.Add(c.stall))
}

func (c *tcpConn) Write(p []byte) (n int, err error) {
	for {
		c.extend()
		m, err := c.TCPConn.Write(p[n:min(n+piece, len(p))])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// ReadFrom sends files by sendfile(2). Anything else is copied through a buffer,
// which costs less than splice(2) and does not have the deadline run while the
// source is silent.
func (c *tcpConn) ReadFrom(src io.Reader) (total int64, err error) {
	inner, left := src, int64(-1)
	limited, _ := src.(*io.LimitedReader)
	if limited != nil {
		inner, left = limited.R, limited.N
	}
	if !isFile(inner) {
		buf := copyBuffers.Get().(*[32 << 10]byte)
		defer copyBuffers.Put(buf)
		return io.CopyBuffer(writeOnly{c}, readOnly{src}, buf[:])
	}
	for left != 0 {
		want := int64(piece)
		if left > 0 {
			want = min(want, left)
		}
		c.extend()
		n, err := c.TCPConn.ReadFrom(&io.LimitedReader{R: inner, N: want})
		total += n
		if limited != nil {
			limited.N -= n
			left -= n
		}
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// isFile knows os.File also as io.Copy passes it on, without its WriteTo.
func isFile(r io.Reader) bool {
	f, ok := r.(interface {
		io.Seeker
		Stat() (os.FileInfo, error)
	})
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// writeOnly and readOnly hide the methods by which io.CopyBuffer would pass its
// buffer by.
type (
	writeOnly struct{ io.Writer }
	readOnly  struct{ io.Reader }
)
