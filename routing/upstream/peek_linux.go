package upstream

import "golang.org/x/sys/unix"

// alive reports whether the other end has neither closed c nor sent anything
// since its last answer. Bytes nobody asked for would be taken for the answer
// to the next request, so such a connection is of no more use.
func (c *conn) alive() bool {
	if c.raw == nil {
		return true
	}
	c.stale = true
	if err := c.raw.Control(c.peek); err != nil {
		return false
	}
	return !c.stale
}

func (c *conn) look(fd uintptr) {
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		c.stale = err != unix.EAGAIN
		return
	}
}
