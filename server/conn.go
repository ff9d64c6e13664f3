package server

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// piece is how much is written under one deadline, in bytes.
const piece = 64 << 10

// tcpConn is a guest's connection. It cuts clients that do not read: each piece
// of an answer has to be accepted within stall, unless somebody set a deadline
// of his own. A time for the whole answer would cut long downloads.
//
// Reads and writes of several goroutines are safe, as they are of *net.TCPConn.
type tcpConn struct {
	*net.TCPConn
	raw     rawIO
	guest   *guest
	stall   time.Duration
	writing sync.Mutex // held by Write, whose pieces stay together

	mu    sync.Mutex // guards the deadline of writes
	own   bool       // somebody else set it
	cut   bool       // a piece outlasted it
	moved int64      // when it was last set for a piece, in Unix nanoseconds
}

var _ io.ReaderFrom = (*tcpConn)(nil)

func (c *tcpConn) Close() error {
	err := c.TCPConn.Close()
	c.guest.leave()
	return err
}

func (c *tcpConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *tcpConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own, c.cut, c.moved = !t.IsZero(), false, 0
	return c.TCPConn.SetWriteDeadline(t)
}

// extend moves the deadline, at most ten times within stall: moving it costs
// more than asking for the time.
func (c *tcpConn) extend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.own || c.cut || now.UnixNano()-c.moved < int64(c.stall/10) {
		return
	}
	c.moved = now.UnixNano()
	c.TCPConn.SetWriteDeadline(now.Add(c.stall))
}

// stalled notes a client that did not accept a piece in time: it gets no more.
func (c *tcpConn) stalled(err error) error {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.own && !c.cut {
		c.cut = true
		c.guest.list.stalled.Add(1)
	}
	return err
}

func (c *tcpConn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		m, err := c.writePiece(p[n:min(n+piece, len(p))])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// writeWaiting writes p under the deadline.
func (c *tcpConn) writeWaiting(p []byte) (int, error) {
	c.extend()
	n, err := c.TCPConn.Write(p)
	return n, c.stalled(err)
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
	total, err = c.sendFile(inner, left)
	if limited != nil {
		limited.N -= total
	}
	return total, c.stalled(err)
}

// sendPieces sends left bytes of src, or all there are if left is negative, each
// piece under a deadline.
func (c *tcpConn) sendPieces(src io.Reader, left int64) (total int64, err error) {
	for left != 0 {
		want := int64(piece)
		if left > 0 {
			want = min(want, left)
		}
		c.extend()
		n, err := c.TCPConn.ReadFrom(&io.LimitedReader{R: src, N: want})
		if total += n; left > 0 {
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
