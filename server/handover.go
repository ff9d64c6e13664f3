package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// A Socket is an open port on its way from one process to another.
type Socket struct {
	Name  string `json:"name"`    // of its entry point
	Addr  string `json:"address"` // as configured; "" if whoever opened it gave it a name only
	Bound string `json:"bound"`   // as it came out: ":0" has its port
	TLS   bool   `json:"tls"`
	// File is the socket. It is shared with the process it came from: Fd must
	// not be called where it makes the socket blocking (net.TCPListener.File).
	File *os.File `json:"-"`
}

// ErrNotServing is Sockets' before Serve has opened the ports, and after it has
// closed them.
var ErrNotServing = errors.New("no ports are open")

// Sockets returns a duplicate of every open port. The caller closes the files.
func (s *Server) Sockets() ([]Socket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || s.leaving.Load() {
		return nil, ErrNotServing
	}
	var out []Socket
	for i, ln := range s.open {
		e := s.bound[i]
		filer, ok := ln.(interface{ File() (*os.File, error) })
		if !ok {
			CloseSockets(out)
			return nil, fmt.Errorf("entry point %s: a %T has no file to hand over", e.Name, ln)
		}
		file, err := filer.File()
		if err != nil {
			CloseSockets(out)
			return nil, fmt.Errorf("entry point %s: %w", e.Name, err)
		}
		out = append(out, Socket{Name: e.Name, Addr: e.Addr, Bound: ln.Addr().String(), TLS: e.TLS, File: file})
	}
	return out, nil
}

// CloseSockets closes the files of sockets.
func CloseSockets(sockets []Socket) {
	for _, s := range sockets {
		s.File.Close()
	}
}

// Inherit gives each of points its socket, as a Listener, where there is one:
// of the same name and configured address, else of the same configured address,
// else bound to the address that the point configures. A socket without a
// configured address is taken by name. It closes all files and returns the
// sockets that nobody wanted.
func Inherit(points []EntryPoint, sockets []Socket) (left []Socket, err error) {
	defer CloseSockets(sockets)
	left = slices.Clone(sockets)
	for _, same := range []func(*EntryPoint, *Socket) bool{
		func(p *EntryPoint, s *Socket) bool { return p.Name == s.Name && (s.Addr == "" || s.Addr == p.Addr) },
		func(p *EntryPoint, s *Socket) bool { return s.Addr == p.Addr },
		func(p *EntryPoint, s *Socket) bool { return boundTo(s.Bound, p.Addr) },
	} {
		for i := range points {
			p := &points[i]
			at := slices.IndexFunc(left, func(s Socket) bool { return same(p, &s) })
			if p.Listener != nil || at < 0 {
				continue
			}
			ln, err := net.FileListener(left[at].File)
			if err != nil {
				closeListeners(points)
				return nil, fmt.Errorf("socket %s (entry point %s): %w", left[at].Bound, p.Name, err)
			}
			p.Listener = ln
			left = slices.Delete(left, at, at+1)
		}
	}
	return left, nil
}

func closeListeners(points []EntryPoint) {
	for _, p := range points {
		if p.Listener != nil {
			p.Listener.Close()
		}
	}
}

// boundTo reports whether a socket with the address bound is what binding addr
// would make. Port 0 is none in particular.
func boundTo(bound, addr string) bool {
	b, err := net.ResolveTCPAddr("tcp", bound)
	if err != nil {
		return false
	}
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || a.Port == 0 || a.Port != b.Port {
		return false
	}
	if a.IP == nil { // both stacks, or the one there is
		return b.IP == nil || b.IP.IsUnspecified()
	}
	return a.IP.Equal(b.IP) && a.Zone == b.Zone
}
