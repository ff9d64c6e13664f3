package server

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/fairlead/fairlead/internal/rawsock"
)

// rawIO is a connection's way to its socket that the scheduler is not told of
// (rawsock).
type rawIO struct {
	conn    syscall.RawConn
	reading sync.Mutex // guards in; held by Read
	in, out transfer   // out is guarded by tcpConn.writing
	inside  inside
}

// inside is what Read works on between Enter and Leave.
type inside struct {
	entered bool
	fd      uintptr
	trusts  bool // a read that did not fill its buffer has emptied the socket
	drained bool
}

// nothingYet is the error of a Read inside a callback that would have to wait. It is
// temporary, so that a tls.Conn above can go on where it was.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// Enter has Read read from fd without waiting, until Leave. It is for an engine
// inside a callback of c's RawConn.Read, in which any other Read would wait for
// itself: so a tls.Conn above can be read there. trusts says that a read which does
// not fill its buffer leaves nothing behind, so that the next one is spared.
func (c *tcpConn) Enter(fd uintptr, trusts bool) {
	c.raw.inside = inside{entered: true, fd: fd, trusts: trusts}
}

// Leave ends what Enter began.
func (c *tcpConn) Leave() { c.raw.inside = inside{} }

func (c *tcpConn) readInside(p []byte) (int, error) {
	in := &c.raw.inside
	if in.drained {
		return 0, nothingYet{}
	}
	n, errno := rawsock.Read(in.fd, p)
	switch {
	case errno == syscall.EAGAIN:
		in.drained = true
		return 0, nothingYet{}
	case errno != 0:
		return 0, c.fault("read", os.NewSyscallError("read", errno))
	case n == 0:
		return 0, io.EOF
	}
	in.drained = in.trusts && n < len(p)
	return n, nil
}

// transfer is the call in progress in one direction. The callback is made once,
// and what it works on lies beside it: one for each call would be an allocation.
type transfer struct {
	step func(fd uintptr) (done bool)
	p    []byte
	n    int
	err  syscall.Errno
}

func (r *rawIO) open(c *net.TCPConn) {
	r.conn, _ = c.SyscallConn() // fails for a nil connection alone
	r.in.step, r.out.step = r.in.read, r.out.write
}

// read has RawConn.Read wait, until the deadline, if there is nothing yet.
func (t *transfer) read(fd uintptr) (done bool) {
	t.n, t.err = rawsock.Read(fd, t.p)
	return t.err != syscall.EAGAIN
}

// write does not wait: it would be under no deadline.
func (t *transfer) write(fd uintptr) (done bool) {
	t.n, t.err = rawsock.Write(fd, t.p)
	return true
}

// SyscallConn is that of TCPConn, without an allocation.
func (c *tcpConn) SyscallConn() (syscall.RawConn, error) { return c.raw.conn, nil }

func (c *tcpConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	if c.raw.inside.entered {
		return c.readInside(p[:min(len(p), piece)])
	}
	c.raw.reading.Lock()
	defer c.raw.reading.Unlock()
	t := &c.raw.in
	t.p = p[:min(len(p), piece)] // more would hold the processor
	err := c.raw.conn.Read(t.step)
	t.p = nil
	switch {
	case err != nil:
		return 0, c.fault("read", err)
	case t.err != 0:
		return 0, c.fault("read", os.NewSyscallError("read", t.err))
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

// writePiece writes p, which has piece bytes at most. What the socket takes at
// once is under no deadline, since setting one costs more than the write.
func (c *tcpConn) writePiece(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Write(p)
	}
	t := &c.raw.out
	t.p, t.n, t.err = p, 0, 0
	err := c.raw.conn.Write(t.step)
	t.p = nil
	switch {
	case t.n == len(p):
		return t.n, nil
	case err == nil && t.err != 0 && t.err != syscall.EAGAIN:
		return 0, c.fault("write", os.NewSyscallError("write", t.err))
	}
	// The socket is full; or closed, or past a deadline, which may be one of ours
	// that a piece before this one was in time for.
	n, err := c.writeWaiting(p[t.n:])
	return t.n + n, err
}

// fault is err as net.TCPConn reports it.
func (c *tcpConn) fault(op string, err error) error {
	if of, ok := err.(*net.OpError); ok { // RawConn's, which calls it raw-read
		err = of.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
