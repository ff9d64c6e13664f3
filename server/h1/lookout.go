package h1

import "time"

// A lookout notices a client that leaves by reading on, where no descriptor can be
// watched. It reads a byte at most, which belongs to the next request.
type lookout struct {
	x    *requestContext
	read chan struct{} // closed when the read came back
	n    int
	b    [1]byte
}

func newLookout(x *requestContext) *lookout {
	l := &lookout{x: x, read: make(chan struct{})}
	go l.run()
	return l
}

func (l *lookout) run() {
	defer close(l.read)
	n, err := l.x.d.c.nc.Read(l.b[:])
	if l.n = n; n == 0 && !isTimeout(err) {
		l.x.left()
	}
}

// stop ends the read, and puts what it brought behind what was read before.
func (l *lookout) stop() {
	d := l.x.d
	d.c.nc.SetReadDeadline(longAgo)
	<-l.read
	d.c.nc.SetReadDeadline(time.Time{})
	if l.n > 0 {
		d.unread(l.b[0])
	}
}
