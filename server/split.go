package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// Split is the engine of an entry point whose protocols have an engine each.
type Split struct {
	H1 Engine
	H2 Engine // of connections whose handshake agreed on h2
}

var (
	_ Engine  = Split{}
	_ Trimmer = Split{}
)

// ServeConn serves c by what its handshake agreed on: H1 if that was nothing.
func (s Split) ServeConn(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
		s.H2.ServeConn(c)
		return
	}
	s.H1.ServeConn(c)
}

// Shutdown shuts both down at once.
func (s Split) Shutdown(ctx context.Context) error {
	var h1, h2 error
	var both sync.WaitGroup
	both.Go(func() { h1 = s.H1.Shutdown(ctx) })
	both.Go(func() { h2 = s.H2.Shutdown(ctx) })
	both.Wait()
	return errors.Join(h1, h2)
}

// Close cuts what is left of both.
func (s Split) Close() error { return errors.Join(s.H1.Close(), s.H2.Close()) }

// Trim gives up connections of HTTP/1.1 first: there are more of them.
func (s Split) Trim(n int) (given int) {
	for _, e := range []Engine{s.H1, s.H2} {
		if t, ok := e.(Trimmer); ok && given < n {
			given += t.Trim(n - given)
		}
	}
	return given
}
