package upstream

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/fairlead/fairlead/internal/rawsock"
)

// wakeful is how long a connection may be idle before it is looked at, in
// nanoseconds: an endpoint that closes does so after seconds, or at once with an
// answer that says so.
const wakeful = 1e6

// socket is a connection whose system calls are made directly (package rawsock).
// Unlike those of a net.Conn its Reads belong to one goroutine at a time, and so
// do its Writes. Close ends either.
type socket struct {
	net.Conn
	raw syscall.RawConn

	in     []byte // to read into
	got    int
	inErr  syscall.Errno
	onRead func(fd uintptr) bool
	onAsk  func(fd uintptr) bool

	out     []byte // to write
	put     int    // of it that is written
	outErr  syscall.Errno
	onWrite func(fd uintptr) bool

	silent bool // found by peek
	onPeek func(fd uintptr)
}

// newSocket returns c as a socket, nil if it is more than that or something else.
func newSocket(c net.Conn) *socket {
	var raw syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	s := &socket{Conn: c, raw: raw}
	s.onRead, s.onAsk, s.onWrite, s.onPeek = s.read, s.ask, s.write, s.peek
	return s
}

func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in = p
	return s.result(s.raw.Read(s.onRead))
}

func (s *socket) result(err error) (int, error) {
	s.in = nil
	switch {
	case err != nil:
		return 0, err
	case s.inErr != 0:
		return 0, os.NewSyscallError("read", s.inErr)
	case s.got == 0:
		return 0, io.EOF
	}
	return s.got, nil
}

func (s *socket) read(fd uintptr) bool {
	s.got, s.inErr = rawsock.Read(fd, s.in)
	return s.inErr != syscall.EAGAIN
}

// Ask writes request and reads the beginning of its answer into p. wrote is how
// much was written; all of it, unless err is not nil.
//
// It writes inside the callback of a read: readiness was reset before, and the
// answer cannot be older than its request. So it is waited for without a read in
// vain, and its edge cannot be missed. What can be missed is the edge of an end
// that came earlier, for which there is usable.
func (s *socket) Ask(request, p []byte) (wrote, read int, err error) {
	s.in, s.out, s.put, s.outErr = p, request, 0, 0
	asked := s.raw.Read(s.onAsk)
	switch {
	case s.outErr != 0:
		return s.put, 0, os.NewSyscallError("write", s.outErr)
	case asked == nil && s.put < len(request):
		if err := s.finish(); err != nil {
			return s.put, 0, err
		}
		s.in = p
		asked = s.raw.Read(s.onRead)
	}
	s.out = nil
	read, err = s.result(asked)
	return s.put, read, err
}

func (s *socket) ask(fd uintptr) bool {
	if s.put > 0 {
		return s.read(fd)
	}
	s.write1(fd)
	return s.put < len(s.out) // then the rest has to be waited with
}

func (s *socket) Write(p []byte) (int, error) {
	s.out, s.put, s.outErr = p, 0, 0
	err := s.finish()
	return s.put, err
}

// finish writes what is left of out.
func (s *socket) finish() error {
	if s.put == len(s.out) {
		return nil
	}
	if err := s.raw.Write(s.onWrite); err != nil {
		return err
	}
	if s.outErr != 0 {
		return os.NewSyscallError("write", s.outErr)
	}
	return nil
}

func (s *socket) write(fd uintptr) bool {
	for s.put < len(s.out) {
		if !s.write1(fd) {
			return s.outErr != 0
		}
	}
	return true
}

// write1 writes once, and reports whether that went well.
func (s *socket) write1(fd uintptr) bool {
	n, errno := rawsock.Write(fd, s.out[s.put:])
	if errno == syscall.EAGAIN {
		return false
	}
	s.put, s.outErr = s.put+n, errno
	return errno == 0
}

// usable reports whether the other end has neither closed c, which was idle, nor
// sent anything since its last answer. Bytes nobody asked for would be taken for
// the answer to the next request, so such a connection is of no more use. One that
// was in use a moment ago is believed, unless its answer may have had more to it,
// or a mistake could not be made good by sending the request again.
func (c *conn) usable(call *call) bool {
	if c.cause.Load() != nil {
		return false
	}
	if c.began-c.idleAt < wakeful && !c.wary && !call.stream && idempotent(call.r.Method) {
		return true
	}
	return c.direct == nil || c.direct.quiet()
}

// quiet reports whether there is nothing to read, not even an end.
func (s *socket) quiet() bool {
	return s.raw.Control(s.onPeek) == nil && s.silent
}

func (s *socket) peek(fd uintptr) {
	_, errno := rawsock.Peek(fd)
	s.silent = errno == syscall.EAGAIN
}
