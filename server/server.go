// Package server takes connections from the network and hands them to engines:
// it binds the entry points, keeps the limits of connections, makes the TLS
// handshake, and ends what it began. Engines speak the protocols; what requests
// mean is the handler's business.
//
// A port is taken in two steps. Bind reserves it, so that a port in use shows
// at start and privileged ports are taken before privileges are dropped. Serve
// opens it: until then, which is until it is known what is to be served,
// clients are refused instead of being told 404.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// An EntryPoint is an address that clients connect to.
type EntryPoint struct {
	Name string
	Addr string // "host:port" or ":port", as for net.Listen on "tcp"
	TLS  bool
	// Listener, if set, is open already (handed over by a process that ran
	// before this one) and is served instead of Addr.
	Listener net.Listener
}

// An Engine speaks one protocol on connections it is given. It owns a
// connection from ServeConn on and closes it in the end. ServeConn may return
// before the connection ends. A connection whose handshake was made is a
// *tls.Conn.
type Engine interface {
	ServeConn(net.Conn)
	// Shutdown closes idle connections, lets requests in flight finish and
	// returns when none is left or ctx has ended. Connections that were taken
	// over by Hijack are not waited for. ServeConn closes what it is given
	// from then on.
	Shutdown(ctx context.Context) error
	// Close cuts what is left.
	Close() error
}

// Hangup is an engine that closes every connection: for protocols that are over
// with the handshake.
type Hangup struct{}

var _ Engine = Hangup{}

func (Hangup) ServeConn(c net.Conn)           { c.Close() }
func (Hangup) Shutdown(context.Context) error { return nil }
func (Hangup) Close() error                   { return nil }

// Server serves entry points. Its fields must not change once it was bound.
type Server struct {
	// Engine returns the engine of HTTP/1.1 for an entry point.
	Engine func(EntryPoint) Engine
	// ALPN returns the engine for a protocol that was agreed on in the TLS
	// handshake, nil for Engine's. nil means that Engine's serves all.
	ALPN func(e EntryPoint, protocol string) Engine
	// TLS is needed if an entry point has it. It is cloned; certificates and
	// policies change by its GetConfigForClient.
	TLS              *tls.Config
	HandshakeTimeout time.Duration // 0 means 10 s
	Drain            time.Duration // how long requests and upgraded connections may go on when Serve ends; 0 means 30 s
	Limits           Limits
	// Log is told what an operator should know; nil discards it.
	Log func(msg string, err error)

	bound  []*entry
	guests guests // every connection there is

	mu      sync.Mutex
	engines []Engine // guarded by mu
}

// entry is an entry point with its socket.
type entry struct {
	EntryPoint
	socket socket
}

// socket is a port: reserved, then open.
type socket interface {
	Addr() net.Addr
	Listen() (net.Listener, error) // the socket is the listener's afterwards
	Close() error
}

// Bind reserves the ports of points: all or, with an error, none.
func (s *Server) Bind(points ...EntryPoint) error {
	for _, p := range points {
		if p.TLS && s.TLS == nil {
			return errors.Join(fmt.Errorf("entry point %s: no TLS configuration", p.Name), s.Close())
		}
		sock, err := reserve(p)
		if err != nil {
			return errors.Join(fmt.Errorf("bind %s (entry point %s): %w", p.Addr, p.Name, err), s.Close())
		}
		s.bound = append(s.bound, &entry{EntryPoint: p, socket: sock})
	}
	return nil
}

func reserve(p EntryPoint) (socket, error) {
	if p.Listener != nil {
		return inherited{p.Listener}, nil
	}
	return bind(p.Addr)
}

// Close gives back ports that were bound and not served.
func (s *Server) Close() error {
	var errs []error
	for _, e := range s.bound {
		errs = append(errs, e.socket.Close())
	}
	s.bound = nil
	return errors.Join(errs...)
}

// EntryPoints returns what is bound, with the addresses as they came out:
// ":0" has its port.
func (s *Server) EntryPoints() []EntryPoint {
	points := make([]EntryPoint, len(s.bound))
	for i, e := range s.bound {
		points[i] = e.EntryPoint
		points[i].Addr = e.socket.Addr().String()
	}
	return points
}

// Serve opens the ports that were bound and serves them until ctx ends. Then it
// takes no more connections, lets requests in flight and upgraded connections
// go on for at most Drain, cuts the rest and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	var loops sync.WaitGroup
	failed := make(chan error, len(listeners))
	for i, ln := range listeners {
		h := &host{Server: s, entry: s.bound[i].EntryPoint, ln: ln}
		h.engine = s.keep(s.Engine(h.entry))
		loops.Go(func() {
			if err := h.accept(ctx); err != nil {
				failed <- err
			}
		})
	}
	select {
	case <-ctx.Done():
	case err = <-failed: // a port was lost: nothing can be repaired from here
	}
	for _, ln := range listeners {
		ln.Close()
	}
	loops.Wait()
	s.drain(context.WithoutCancel(ctx))
	return err
}

func (s *Server) listen() ([]net.Listener, error) {
	var open []net.Listener
	for _, e := range s.bound {
		ln, err := e.socket.Listen()
		if err != nil {
			for _, ln := range open {
				ln.Close()
			}
			return nil, fmt.Errorf("listen %s (entry point %s): %w", e.Addr, e.Name, err)
		}
		open = append(open, ln)
	}
	return open, nil
}

func (s *Server) keep(e Engine) Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines = append(s.engines, e)
	return e
}

// drain ends what goes on: engines first, all at once, then connections that
// were taken over, of which no engine knows.
func (s *Server) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(s.Drain, 30*time.Second))
	defer cancel()
	s.guests.leave()
	var engines sync.WaitGroup
	for _, e := range s.engines {
		engines.Go(func() {
			if e.Shutdown(ctx) != nil {
				e.Close()
			}
		})
	}
	engines.Wait()
	if cut := s.guests.wait(ctx); cut > 0 {
		s.log("connections cut", fmt.Errorf("%d were still in use when shutdown-timeout ended", cut))
	}
}

func (s *Server) log(msg string, err error) {
	if s.Log != nil {
		s.Log(msg, err)
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// inherited is a listener that somebody else opened.
type inherited struct{ net.Listener }

func (i inherited) Listen() (net.Listener, error) { return i.Listener, nil }
