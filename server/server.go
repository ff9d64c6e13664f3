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
	"sync/atomic"
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
	Drain            time.Duration // how long requests may go on when Serve's context ends; 0 means 30 s
	HandedDrain      time.Duration // how long requests and upgraded connections may go on after HandOver; 0 means 10 min
	Courtesy         time.Duration // after which no connection is idle any more: the engines' idle timeout; 0 means 75 s
	Limits           Limits
	// Serving, if set, is called when the ports are open and connections are
	// taken. It must not block.
	Serving func()
	// Log is told what an operator should know; nil discards it.
	Log func(msg string, err error)

	bound   []*entry
	guests  guests      // every connection there is
	leaving atomic.Bool // set once connections are not taken any more

	mu      sync.Mutex
	engines []Engine       // guarded by mu
	open    []net.Listener // guarded by mu; while they are served, in the order of bound
	handed  chan struct{}  // guarded by mu until Serve has it; closed by HandOver
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

// Bind reserves the ports of points: all or, with an error, none, and their
// listeners are closed.
func (s *Server) Bind(points ...EntryPoint) error {
	for i, p := range points {
		sock, err := s.reserve(p)
		if err != nil {
			closeListeners(points[i:])
			return errors.Join(err, s.Close())
		}
		s.bound = append(s.bound, &entry{EntryPoint: p, socket: sock})
	}
	return nil
}

func (s *Server) reserve(p EntryPoint) (socket, error) {
	switch {
	case p.TLS && s.TLS == nil:
		return nil, fmt.Errorf("entry point %s: no TLS configuration", p.Name)
	case p.Listener != nil:
		return inherited{p.Listener}, nil
	}
	sock, err := bind(p.Addr)
	if err != nil {
		return nil, fmt.Errorf("bind %s (entry point %s): %w", p.Addr, p.Name, err)
	}
	return sock, nil
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

// Serve opens the ports that were bound and serves them until ctx ends or
// HandOver is called. Then it takes no more connections, lets what goes on end,
// cuts what has not ended in time, and returns nil.
//
// When ctx ends, requests in flight have Drain; upgraded connections are told to
// end (OnFarewell) when the requests have ended, and have 3 s. After HandOver
// both have HandedDrain.
func (s *Server) Serve(ctx context.Context) error {
	handed, err := s.listen()
	if err != nil {
		return err
	}
	taking, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	shaking, cutHandshakes := context.WithCancel(context.WithoutCancel(ctx))
	defer cutHandshakes()
	var loops sync.WaitGroup
	failed := make(chan error, len(s.open))
	for i, ln := range s.open {
		h := &host{Server: s, entry: s.bound[i].EntryPoint, ln: ln, shaking: shaking}
		h.engine = s.keep(s.Engine(h.entry))
		loops.Go(func() {
			if err := h.accept(taking); err != nil {
				failed <- err
			}
		})
	}
	if limitedMemory() {
		loops.Go(func() { s.relieve(taking, readMemory) })
	}
	if s.Serving != nil {
		s.Serving()
	}
	left := false
	select {
	case <-ctx.Done():
	case <-handed:
		left = true
	case err = <-failed: // a port was lost: nothing can be repaired from here
	}
	s.leaving.Store(true)
	stopTaking()
	s.shut()
	loops.Wait()
	s.drain(ctx, left, cutHandshakes)
	return err
}

// listen opens the ports and returns what HandOver closes.
func (s *Server) listen() (handed <-chan struct{}, err error) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.handed = open, make(chan struct{})
	if s.leaving.Load() {
		close(s.handed)
	}
	return s.handed, nil
}

// shut closes the ports.
func (s *Server) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.open {
		ln.Close()
	}
	s.open = nil
}

func (s *Server) keep(e Engine) Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines = append(s.engines, e)
	return e
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
