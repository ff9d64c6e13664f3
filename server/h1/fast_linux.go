package h1

import (
	"os"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/internal/rawsock"
)

// Go's poller reports edges: RawConn.Read forgets what was reported, calls back,
// and waits for the next report whenever the callback returns false. So requests
// are served within one callback, which spares the deadline, locks and the read
// that finds nothing of every Read: a read that did not fill the buffer has
// emptied the socket, and what comes later is reported.
//
// Within the callback nobody else can read or close the connection. What has to
// wait for the client leaves it first: heads and bodies that are not all there,
// upgrades, Expect. What ends a connection from outside shuts the socket down or
// sets a deadline that has passed.

// enterable makes c one that is served in a callback.
func (c *conn) enterable() {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return // it is closed, which the first read will find
	}
	c.raw, c.step = raw, c.inside
}

// runInside serves c, in callbacks and out of them, until it ends.
func (c *conn) runInside() {
	for {
		c.drained, c.outside = false, false // what is outside of a callback misses reports
		err := c.raw.Read(c.step)
		switch {
		case c.over || c.isClaimed():
			return
		case err != nil && !isTimeout(err):
			c.over = true
			return
		case err != nil: // a deadline of nobody's any more, or findLostEnd's
			c.nc.SetReadDeadline(time.Time{})
			if c.isClaimed() {
				return
			}
		case !c.outside || !c.serve():
			return
		}
	}
}

// inside is the callback.
func (c *conn) inside(fd uintptr) (done bool) {
	c.fd = fd
	if c.below != nil {
		c.below.Enter(fd, c.served.Load() > 0)
		defer c.below.Leave()
	}
	done = c.serveInside(fd)
	c.fd = noFD
	return done
}

// serveInside answers what is there. It returns false to wait for more, and true
// to leave the callback: for good, or to be served outside.
func (c *conn) serveInside(fd uintptr) (done bool) {
	working := false
	for {
		if !c.holds() {
			if c.drained || !c.readInside(fd) {
				c.drained = false
				c.putDesk()
				return c.over || working && !c.rest()
			}
		}
		if !c.desk.ready() {
			c.outside = true
			return true
		}
		if !working && !c.enter(busy) {
			return true
		}
		working = true
		if !c.answer() {
			return true
		}
	}
}

// readInside reads what there is. It reports false if that is nothing, or the
// end.
func (c *conn) readInside(fd uintptr) bool {
	if c.desk == nil {
		c.takeDesk()
	}
	d := c.desk
	d.from, d.to = 0, 0
	if c.tls != nil {
		return c.readSecure()
	}
	n, errno := rawsock.Read(fd, d.in)
	if n > 0 {
		d.to = n
		// The end may have come with the first request, and be reported with it:
		// of clients that send one and half-close.
		c.drained = n < len(d.in) && c.served.Load() > 0
		return true
	}
	c.over = errno != syscall.EAGAIN
	return false
}

// readSecure is readInside for TLS. What is there may be less than a record, and
// one that was read may have another behind it, so it is the connection below that
// knows when there is nothing more.
func (c *conn) readSecure() bool {
	n, err := c.nc.Read(c.desk.in)
	c.desk.to = n
	c.over = n == 0 && !isTimeout(err)
	return n > 0
}

// ready parses the request in the buffer, and reports whether it can be served
// without anything else of the client.
func (d *desk) ready() bool {
	end, _, no := d.head(0)
	if no != nil || end == 0 || d.parse(end) != nil {
		return false
	}
	return !d.waits && d.body.isThere()
}

// writeInside writes what the socket takes at once of three pieces, and returns
// the rest.
func (c *conn) writeInside(a, b, tail []byte) (_, _, _ []byte, err error) {
	for len(a)+len(b)+len(tail) > 0 {
		n, errno := rawsock.Writev(c.fd, a, b, tail)
		switch errno {
		case 0:
		case syscall.EAGAIN:
			return a, b, tail, nil
		default:
			return a, b, tail, os.NewSyscallError("write", errno)
		}
		a, n = shorten(a, n)
		b, n = shorten(b, n)
		tail, _ = shorten(tail, n)
	}
	return nil, nil, nil, nil
}

// shorten takes n bytes off p, and returns by how many it was too short.
func shorten(p []byte, n int) ([]byte, int) {
	if n < len(p) {
		return p[n:], 0
	}
	return nil, n - len(p)
}

// findLostEnd looks whether the end of what the client sends came together with
// the request before, and was not reported anew. It is called once for a
// connection that has become idle.
func (c *conn) findLostEnd() {
	if c.raw != nil && c.hungUp() {
		c.nc.SetReadDeadline(longAgo)
	}
}

// hungUp reports whether the client has sent its last byte, and that was read, or
// has reset the connection.
func (c *conn) hungUp() (gone bool) {
	if c.socket == nil {
		return false
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		n, errno := rawsock.Peek(fd)
		gone = n == 0 && errno != syscall.EAGAIN
	})
	return gone || err != nil
}
