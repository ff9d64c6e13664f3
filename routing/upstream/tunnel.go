package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// tunnel is the Body of a 101: the connection itself, first what is buffered.
// It is the one Body that is closed by two goroutines, and its connection is never
// used again.
type tunnel struct {
	c      *conn
	nc     net.Conn
	body   *body
	closed atomic.Bool
}

var _ io.ReadWriteCloser = (*tunnel)(nil)

func newTunnel(c *conn, b *body) *tunnel {
	c.t.tunnels.Add(1)
	c.stage.Store(int32(tunnelling))
	c.t.leaveTo(c)
	t := &tunnel{c: c, nc: c.nc, body: b}
	if !c.secure {
		t.nc = c.sock // whose methods may be called by any goroutine
	}
	return t
}

// Read reads what the endpoint sends. An app that stops mostly just ends, so at
// the end of what a leaving endpoint sends comes a farewell.
func (t *tunnel) Read(p []byte) (int, error) {
	if t.c.buffered() > 0 {
		return t.c.take(p), nil
	}
	n, err := t.nc.Read(p)
	if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.c.t.ended(t.c)
	}
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) { return t.nc.Write(p) }

// CloseWrite tells the endpoint that no more is coming; it may still send.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.nc.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (t *tunnel) SetReadDeadline(d time.Time) error { return t.nc.SetReadDeadline(d) }

func (t *tunnel) SetWriteDeadline(d time.Time) error { return t.nc.SetWriteDeadline(d) }

// Cause returns why the connection was aborted, nil if it was not.
func (t *tunnel) Cause() error {
	if cause := t.c.cause.Load(); cause != nil {
		return t.c.t.broken(*cause)
	}
	return nil
}

// OnFarewell has f called once when the tunnel is to be ended because its
// endpoint leaves, or was ended by one that leaves; at once if it is leaving
// already. f must not block. A later
// f replaces it, nil takes it back, and so does Close.
func (t *tunnel) OnFarewell(f func()) { t.c.t.onFarewell(t.c, f) }

func (t *tunnel) Close() error {
	if !t.closed.Swap(true) {
		t.c.t.tunnels.Add(-1)
	}
	return t.body.Close()
}
