//go:build linux

// Package origin is the server behind the proxies under test. It answers from
// memory on one thread, far faster than any of them, so that it is not what is
// measured.
package origin

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/bench/wire"
	"golang.org/x/sys/unix"
)

// Paths, and the lengths of their answers in bytes.
const (
	Small   = "/small" // 128 bytes
	Big     = "/big"   // 1 MiB
	Sink    = "/sink"  // reads a body, answers 2 bytes
	Echo    = "/echo"  // answers the head it was sent
	SmallN  = 128
	BigN    = 1 << 20
	SinkN   = 2
	bufSize = 64 << 10
)

// An Origin serves one listening socket.
type Origin struct {
	ln    int
	addr  netip.AddrPort
	poll  *wire.Poll
	wake  [2]int // a pipe: ends Serve
	conns map[int]*conn
	buf   []byte // what is read goes here first: heads mostly come whole

	small, big, sink []byte
}

// Listen opens an origin at addr; port 0 is any.
func Listen(addr netip.AddrPort) (*Origin, error) {
	o := &Origin{
		conns: map[int]*conn{}, buf: make([]byte, bufSize),
		small: answer(bytes.Repeat([]byte("s"), SmallN)),
		big:   answer(bytes.Repeat([]byte("b"), BigN)),
		sink:  answer([]byte("ok")),
	}
	var err error
	if o.ln, o.addr, err = wire.Listen(addr); err != nil {
		return nil, err
	}
	if o.poll, err = wire.NewPoll(); err != nil {
		return nil, err
	}
	if err = unix.Pipe2(o.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	for _, fd := range []int{o.ln, o.wake[0]} {
		if err = o.poll.Add(fd, unix.EPOLLIN); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Addr is where it listens.
func (o *Origin) Addr() netip.AddrPort { return o.addr }

func answer(body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...)
}

// A conn is read until a request is whole, then written until its answer is out.
type conn struct {
	fd     int
	in     []byte // of a head that is not whole yet
	body   int64  // bytes of the request's body still to come
	after  []byte // what to answer once they came
	out    []byte // what was not written yet
	asking bool   // EPOLLOUT is asked for
}

// Serve answers until ctx ends, and closes everything.
func (o *Origin) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { unix.Write(o.wake[1], []byte{0}) })
	defer o.close(stop)
	events := make([]unix.EpollEvent, 256)
	for {
		due, err := o.poll.Wait(events, -1)
		if err != nil {
			return err
		}
		for _, e := range due {
			switch int(e.Fd) {
			case o.wake[0]:
				return nil
			case o.ln:
				o.accept()
			default:
				if c := o.conns[int(e.Fd)]; c != nil && !o.step(c) {
					unix.Close(c.fd)
					delete(o.conns, c.fd)
				}
			}
		}
	}
}

func (o *Origin) close(stop func() bool) {
	// A pipe that is closed while the wake is under way could be another file's
	// number by then: whoever has begun to wake leaves it open.
	if stop() {
		unix.Close(o.wake[1])
	}
	unix.Close(o.wake[0])
	unix.Close(o.ln)
	for fd := range o.conns {
		unix.Close(fd)
	}
	o.poll.Close()
}

func (o *Origin) accept() {
	for {
		fd, err := wire.Accept(o.ln)
		if err != nil {
			return
		}
		if err := o.poll.Add(fd, unix.EPOLLIN); err != nil {
			unix.Close(fd)
			continue
		}
		o.conns[fd] = &conn{fd: fd}
	}
}

// step does what c is ready for, and reports whether c goes on.
func (o *Origin) step(c *conn) bool {
	if len(c.out) > 0 {
		return o.write(c)
	}
	n, err := unix.Read(c.fd, o.buf)
	switch {
	case err == unix.EAGAIN:
		return true
	case err != nil || n <= 0:
		return false
	}
	return o.take(c, o.buf[:n])
}

// take reads b as what comes next on c, and writes what is to be answered.
func (o *Origin) take(c *conn, b []byte) bool {
	for len(b) > 0 {
		if c.body > 0 {
			n := min(c.body, int64(len(b)))
			c.body -= n
			b = b[n:]
		} else {
			if len(c.in) > 0 {
				c.in = append(c.in, b...)
				b = c.in
			}
			n := wire.Head(b)
			if n == 0 {
				c.in = append(c.in[:0], b...)
				return len(c.in) < bufSize
			}
			c.after, c.body = o.route(b[:n])
			b = b[n:]
			c.in = c.in[:0] // b may lie in it: what is appended from now on was read before
		}
		if c.body == 0 {
			c.queue(c.after)
		}
	}
	return o.write(c)
}

// queue has b sent. Answers are shared by all conns: nothing is appended to one.
func (c *conn) queue(b []byte) {
	if len(c.out) == 0 {
		c.out = b
		return
	}
	c.out = append(slices.Clip(c.out), b...)
}

// route returns the answer for a head, and how many bytes of body come before it.
func (o *Origin) route(head []byte) (answerBytes []byte, body int64) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	_, target, _ := strings.Cut(string(line), " ")
	path, _, _ := strings.Cut(target, " ")
	body = max(0, wire.Length(head))
	switch path {
	case Small:
		return o.small, body
	case Big:
		return o.big, body
	case Sink:
		return o.sink, body
	case Echo:
		return answer(head), body
	}
	return []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), body
}

// write sends what is to be sent, and asks for EPOLLOUT if that does not fit.
// Nothing is read meanwhile: a proxy does not pipeline.
func (o *Origin) write(c *conn) bool {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if err == unix.EAGAIN {
			if !c.asking {
				c.asking = true
				return o.poll.Set(c.fd, unix.EPOLLOUT) == nil
			}
			return true
		}
		if err != nil {
			return false
		}
		c.out = c.out[n:]
	}
	if c.asking {
		c.asking = false
		return o.poll.Set(c.fd, unix.EPOLLIN) == nil
	}
	return true
}
