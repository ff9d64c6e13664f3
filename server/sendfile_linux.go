package server

import (
	"io"
	"os"
	"syscall"
)

// maxSend is how much one call is asked to send, in bytes.
const maxSend = 4 << 20

// sendFile sends left bytes of src, a file, or all there are if left is negative,
// from where it stands. net.TCPConn would do so in pieces, since each is under one
// deadline; here the deadline moves while the socket is waited for, and a call for
// every 64 KiB is spared.
func (c *tcpConn) sendFile(src io.Reader, left int64) (int64, error) {
	file, ok := src.(syscall.Conn)
	if !ok {
		return c.sendPieces(src, left)
	}
	from, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	s := sending{conn: c, left: left}
	c.extend()
	if err := from.Control(s.from); err != nil {
		return s.total, err
	}
	switch {
	case s.err != nil:
		return s.total, c.fault("write", s.err)
	case s.errno == 0:
		return s.total, nil
	case s.total == 0 && (s.errno == syscall.EINVAL || s.errno == syscall.ENOSYS || s.errno == syscall.EOPNOTSUPP):
		return c.sendPieces(src, left) // from such a file system it has to be read
	}
	return s.total, c.fault("write", os.NewSyscallError("sendfile", s.errno))
}

// A sending is a file that is being sent.
type sending struct {
	conn  *tcpConn
	left  int64 // negative: up to the end
	total int64
	moved int64 // total when the deadline was moved
	in    int
	errno syscall.Errno
	err   error // of waiting for the socket
}

func (s *sending) from(fd uintptr) {
	s.in = int(fd)
	s.err = s.conn.raw.conn.Write(s.to)
}

// to sends until all is sent; not done, it is called again once the socket takes
// more.
func (s *sending) to(fd uintptr) (done bool) {
	for s.left != 0 {
		want := int64(maxSend)
		if s.left > 0 {
			want = min(want, s.left)
		}
		n, err := syscall.Sendfile(int(fd), s.in, nil, int(want))
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			s.errno, _ = err.(syscall.Errno)
			return true
		case n == 0:
			return true
		}
		if s.total += int64(n); s.left > 0 {
			s.left -= int64(n)
		}
		if s.total-s.moved >= piece {
			s.moved = s.total
			s.conn.extend()
		}
	}
	return true
}
