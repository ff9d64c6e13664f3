package h1

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// lingering is how long a connection is read on that is closed with bytes of the
// client unread: closing it at once would reset it, and the client might lose the
// answer it is about to read (RFC 9112, 9.6).
const lingering = 500 * time.Millisecond

// socket is a stream socket that another goroutine may shut down while one is
// inside a callback of its RawConn.
type socket interface {
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

// insider is the connection below a tls.Conn that can be read inside a callback of
// its own. Reads that would have to wait fail there, for the moment.
type insider interface {
	Enter(fd uintptr, trusts bool)
	Leave()
}

// noFD is the descriptor of a connection that is not in its callback.
const noFD = ^uintptr(0)

// conn is one connection. What a request needs is in its desk, which it has while
// there is something to read, so that one that waits costs little.
type conn struct {
	engine *Engine
	nc     net.Conn
	socket socket          // under nc, nil if there is none
	raw    syscall.RawConn // of socket if it is to be served in a callback, else nil
	step   func(fd uintptr) (done bool)
	below  insider // what is to be told of the callback, nil for plain ones
	remote string
	tls    *tls.ConnectionState // nil for plain ones

	next, prev *conn         // guarded by engine.mu
	state      atomic.Int64  // see phase
	bodyDue    atomic.Int64  // by when some of a body has to come; see pace
	served     atomic.Uint64 // requests
	peeked     int64         // the janitor's: the idle state in which it looked for a lost end

	// Of the connection's goroutine, and of the handler it runs.
	desk     *desk
	fd       uintptr // inside the callback
	drained  bool    // the socket had no more to give
	outside  bool    // the request in hand is not for the callback
	over     bool    // nothing can be read or written any more
	hijacked bool
	linger   bool // when it is closed
	reset    bool // it is closed by a reset
	posted   bool // the last request was a POST
	wake     [1]byte
}

func newConn(e *Engine, nc net.Conn) *conn {
	c := &conn{engine: e, nc: nc, fd: noFD, remote: nc.RemoteAddr().String()}
	if secure, ok := nc.(*tls.Conn); ok {
		c.socket, _ = secure.NetConn().(socket)
		state := secure.ConnectionState()
		c.tls = &state
		if c.below, _ = secure.NetConn().(insider); c.socket != nil && c.below != nil {
			c.enterable()
		}
		return c
	}
	if c.socket, _ = nc.(socket); c.socket != nil {
		c.enterable()
	}
	return c
}

// run serves c until it ends.
func (c *conn) run() {
	defer c.end()
	if c.raw != nil {
		c.runInside()
		return
	}
	for c.await() && c.serve() {
	}
}

// await waits for a request, without a desk if there is none to read yet.
func (c *conn) await() bool {
	if c.holds() {
		return true
	}
	c.putDesk()
	for {
		n, err := c.nc.Read(c.wake[:])
		switch {
		case n > 0:
			c.takeDesk()
			c.desk.unread(c.wake[0])
			return c.enterHead()
		case c.isClaimed() || !isTimeout(err):
			c.over = !c.isClaimed()
			return false
		}
		c.nc.SetReadDeadline(time.Time{})
	}
}

// serve reads one request and answers it. It reports whether another may follow.
func (c *conn) serve() bool {
	d := c.desk
	if !d.parsed {
		refused := c.readHead()
		if refused != nil {
			c.refuse(refused)
			return false
		}
		if !d.parsed {
			return false // it ended
		}
	}
	if !c.enter(busy) {
		return false
	}
	return c.answer() && (c.holds() || c.rest())
}

// holds reports whether something was read that was not used.
func (c *conn) holds() bool { return c.desk != nil && c.desk.buffered() > 0 }

// readHead reads until the head is there and parses it. The connection may end
// before that.
func (c *conn) readHead() *refusal {
	d := c.desk
	for scanned := 0; ; {
		end, at, refused := d.head(scanned)
		switch {
		case refused != nil:
			return refused
		case end > 0:
			return d.parse(end)
		}
		scanned = at
		if !c.fillHead() {
			return nil
		}
	}
}

func (c *conn) fillHead() bool {
	if !c.enterHead() {
		return false
	}
	err := c.desk.fill(c.nc, c.engine.cfg.MaxHeadBytes+1)
	c.over = err != nil && !c.isClaimed()
	return err == nil
}

// answer has the parsed request answered, and reports whether another may follow.
func (c *conn) answer() bool {
	d := c.desk
	c.served.Add(1)
	d.begin()
	returned := d.call()
	if d.w.hijacked {
		c.abandon(d)
		return false
	}
	left := d.body.detach()
	complete := returned && d.w.finish()
	unasked := d.ctx.end()
	again := complete && !d.last && d.body.skip()
	c.over = d.w.err != nil
	c.reset = !complete && d.w.framing == closing
	c.linger = !again && (d.buffered() > 0 || !d.body.complete())
	c.posted = d.method == http.MethodPost
	if d.timed.Load() {
		c.nc.SetDeadline(time.Time{})
	}
	c.turn(returned && !left && unasked)
	return again
}

// abandon leaves a desk to whoever has it.
func (c *conn) abandon(d *desk) {
	c.hijacked = d.w.hijacked
	d.body.detach()
	d.ctx.end()
	c.desk = nil
}

// write sends a, which has room behind it, b and tail.
func (c *conn) write(a, b, tail []byte) (err error) {
	if c.fd != noFD && c.tls == nil {
		if a, b, tail, err = c.writeInside(a, b, tail); err != nil {
			return err
		}
	}
	if len(a) > 0 {
		n := min(len(b), cap(a)-len(a))
		a, b = append(a, b[:n]...), b[n:]
		if len(b) == 0 && len(tail) <= cap(a)-len(a) {
			a, tail = append(a, tail...), nil
		}
	}
	for _, p := range [...][]byte{a, b, tail} {
		if len(p) > 0 && err == nil {
			_, err = c.nc.Write(p)
		}
	}
	return err
}

// end closes the connection, unless it was hijacked.
func (c *conn) end() {
	c.putDesk()
	if c.hijacked {
		return
	}
	if c.linger && !c.over && !c.reset {
		c.lingerOn()
	}
	if c.reset {
		c.cut()
	} else {
		c.nc.Close()
	}
	c.engine.forget(c)
}

// cut closes c in a way that does not look like the end of what was said: with a
// reset, and without that which TLS says in the end.
func (c *conn) cut() {
	nc := c.nc
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if l, ok := nc.(interface{ SetLinger(int) error }); ok {
		l.SetLinger(0)
	}
	nc.Close()
}

// lingerOn says that there will be no more, and reads what still comes.
func (c *conn) lingerOn() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	from := c.nc
	if secure, ok := from.(*tls.Conn); ok {
		from = secure.NetConn()
		if c.socket != nil {
			c.socket.CloseWrite() // that of a tls.Conn sends a record alone
		}
	}
	from.SetReadDeadline(time.Now().Add(lingering))
	buf := outBuffers.Get().(*[outSize]byte)
	defer outBuffers.Put(buf)
	for !c.isClaimed() {
		if _, err := from.Read(buf[:]); err != nil {
			return
		}
	}
}

// abort cuts c, whoever uses it: who reads or writes fails, and a handler's
// context ends.
func (c *conn) abort() {
	c.state.Store(stamped(claimed, 0))
	if c.socket == nil {
		c.nc.Close()
		return
	}
	c.nc.SetReadDeadline(longAgo)
	c.socket.CloseWrite() // before anybody notices
	c.socket.CloseRead()
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout() || err == os.ErrDeadlineExceeded
}
