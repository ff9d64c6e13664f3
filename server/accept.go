package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// host welcomes the connections of one entry point.
type host struct {
	*Server
	entry  EntryPoint
	ln     net.Listener
	engine Engine
	tls    *tls.Config
	// shaking ends when handshakes in progress are to be cut.
	shaking context.Context
}

// accept takes connections until ctx ends and the listener is closed.
func (h *host) accept(ctx context.Context) error {
	if h.entry.TLS {
		h.tls = h.TLS.Clone()
	}
	var pause time.Duration
	for {
		c, err := h.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			h.welcome(c)
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		case !passing(err):
			return err
		default: // out of file descriptors, mostly
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			h.log("accept on "+h.entry.Name, err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// passing reports whether accept may succeed when it is tried again. accept(2)
// reports what is wrong with one client or with the network as well as what is
// wrong with the socket, and only the latter stays.
func passing(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	return errno != syscall.EBADF && errno != syscall.EINVAL && errno != syscall.ENOTSOCK
}

func (h *host) welcome(c net.Conn) {
	g, ok := h.guests.admit(c, &h.Limits, func() bool { return h.trim(1) > 0 })
	if !ok {
		c.Close() // at once and without a word: an answer is what a flood wants
		return
	}
	if h.tls == nil {
		h.engine.ServeConn(g)
		return
	}
	go h.shake(g)
}

// shake makes the handshake, under a deadline from the first byte on so that
// no half of a ClientHello holds a connection (CVE-2026-22045). A deadline and
// not a context with one: that would cost a timer and a goroutine each.
func (h *host) shake(g net.Conn) {
	leave := context.AfterFunc(h.shaking, func() { g.Close() })
	g.SetDeadline(time.Now().Add(orDefault(h.HandshakeTimeout, 10*time.Second)))
	c := tls.Server(g, h.tls)
	err := c.Handshake()
	stays := leave()
	if err != nil && stays {
		h.guests.noteHandshake(err)
	}
	if err != nil || !stays {
		g.Close()
		return
	}
	g.SetDeadline(time.Time{})
	h.choose(c.ConnectionState().NegotiatedProtocol).ServeConn(c)
}

// noteHandshake counts a handshake that failed of itself.
func (gs *guests) noteHandshake(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		gs.handshakeTimeouts.Add(1)
	} else {
		gs.handshakeFailures.Add(1)
	}
}

func (h *host) choose(protocol string) Engine {
	if h.ALPN != nil {
		if e := h.ALPN(h.entry, protocol); e != nil {
			return e
		}
	}
	return h.engine
}
