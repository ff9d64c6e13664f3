package server

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound how many connections clients may hold. 0 is no limit.
type Limits struct {
	// Conns is for all clients together. At the limit a newcomer gets the place
	// of the connection that has been idle longest, if the engine is a Trimmer
	// and there is one; until that is closed there is one more than allowed.
	Conns      int
	ConnsPerIP int // of one address; an IPv6 client is its /64, which is what one customer gets
	// Stall is how long a client may take to accept 64 KiB of an answer before
	// its connection is cut; 0 means 30 s.
	Stall time.Duration
}

// Stats says how many connections there are and were.
type Stats struct {
	Conns          int    `json:"conns"`           // open now
	Accepted       uint64 `json:"accepted"`        // let in
	RefusedTotal   uint64 `json:"refused_total"`   // beyond Limits.Conns
	RefusedPerIP   uint64 `json:"refused_per_ip"`  // beyond Limits.ConnsPerIP
	RefusedLeaving uint64 `json:"refused_leaving"` // came while the server was draining
	CutAtShutdown  uint64 `json:"cut_at_shutdown"` // still in use when the drain ended
	GivenUp        uint64 `json:"given_up"`        // idle, closed for a newcomer at Limits.Conns or because memory was short
	Stalled        uint64 `json:"stalled"`         // cut because the client did not read (Limits.Stall)

	HandshakeTimeouts uint64 `json:"handshake_timeouts"` // TLS handshakes that were not over in Server.HandshakeTimeout
	HandshakeFailures uint64 `json:"handshake_failures"` // that failed otherwise: no TLS, no version in common, client gone
}

// guests are the connections that were let in and have not been closed.
// Hijacked ones are among them: closing is the only thing every connection does.
type guests struct {
	mu      sync.Mutex
	open    map[*guest]struct{} // guarded by mu
	byIP    map[netip.Addr]int  // guarded by mu; only kept if there is a limit
	leaving bool                // guarded by mu
	parted  bool                // guarded by mu; farewells were said
	empty   chan struct{}       // guarded by mu; closed when open has become empty while leaving

	accepted, total, perIP, late, cut, givenUp, stalled, handshakeTimeouts, handshakeFailures atomic.Uint64
}

// admit lets c in if the limits allow it. makeRoom is asked to close somebody
// else's connection if there are too many.
func (gs *guests) admit(c net.Conn, limits *Limits, makeRoom func() bool) (net.Conn, bool) {
	g := &guest{list: gs}
	if limits.ConnsPerIP > 0 {
		g.ip = household(c.RemoteAddr())
	}
	wrapped := g.wrap(c, orDefault(limits.Stall, 30*time.Second))
	in, full := gs.enter(g, limits.ConnsPerIP, limits.Conns)
	if full && makeRoom() {
		in, full = gs.enter(g, limits.ConnsPerIP, 0)
	}
	if full {
		gs.total.Add(1)
	}
	return wrapped, in
}

// enter puts g on the list, unless there are enough from its address, or, which
// is reported as full, in all.
func (gs *guests) enter(g *guest, perIP, all int) (in, full bool) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	switch {
	case gs.leaving:
		gs.late.Add(1)
		return false, false
	case g.ip.IsValid() && gs.byIP[g.ip] >= perIP:
		gs.perIP.Add(1)
		return false, false
	case all > 0 && len(gs.open) >= all:
		return false, true
	}
	if gs.open == nil {
		gs.open, gs.byIP = make(map[*guest]struct{}), make(map[netip.Addr]int)
	}
	gs.open[g] = struct{}{}
	if g.ip.IsValid() {
		gs.byIP[g.ip]++
	}
	gs.accepted.Add(1)
	return true, false
}

// Wrap returns c as Serve gives it to engines: for tests of engines.
func Wrap(c net.Conn) net.Conn {
	wrapped, _ := new(guests).admit(c, &Limits{}, nil) // there is no limit
	return wrapped
}

// household is the address that a limit per client counts by.
func household(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.Addr()
	}
	return ip
}

func (gs *guests) forget(g *guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	delete(gs.open, g)
	if g.ip.IsValid() {
		if gs.byIP[g.ip]--; gs.byIP[g.ip] == 0 {
			delete(gs.byIP, g.ip)
		}
	}
	if gs.leaving && len(gs.open) == 0 && gs.empty != nil {
		close(gs.empty)
		gs.empty = nil
	}
}

// leave lets nobody in any more.
func (gs *guests) leave() {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.leaving = true
}

// gone waits until nobody is left and reports whether that was before ctx ended.
func (gs *guests) gone(ctx context.Context) bool {
	gs.mu.Lock()
	if len(gs.open) == 0 {
		gs.mu.Unlock()
		return true
	}
	if gs.empty == nil {
		gs.empty = make(chan struct{})
	}
	empty := gs.empty
	gs.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-ctx.Done():
		return false
	}
}

// cutAll closes the connections that are left and returns how many they were.
func (gs *guests) cutAll() (cut int) {
	for _, g := range gs.list() {
		g.conn.Close()
		cut++
	}
	gs.cut.Add(uint64(cut))
	return cut
}

func (gs *guests) list() []*guest {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	all := make([]*guest, 0, len(gs.open))
	for g := range gs.open {
		all = append(all, g)
	}
	return all
}

// count returns how many there are.
func (gs *guests) count() int {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	return len(gs.open)
}

// Stats returns the state of this moment.
func (s *Server) Stats() Stats {
	gs := &s.guests
	return Stats{
		Conns: gs.count(), Accepted: gs.accepted.Load(), RefusedTotal: gs.total.Load(),
		RefusedPerIP: gs.perIP.Load(), RefusedLeaving: gs.late.Load(), CutAtShutdown: gs.cut.Load(),
		GivenUp: gs.givenUp.Load(), Stalled: gs.stalled.Load(),
		HandshakeTimeouts: gs.handshakeTimeouts.Load(), HandshakeFailures: gs.handshakeFailures.Load(),
	}
}

// guest is one connection's place in the list.
type guest struct {
	list *guests
	ip   netip.Addr // valid if it is counted
	conn net.Conn   // the wrapped one
	gone sync.Once
	part func() // guarded by list.mu; nil without anybody to tell, or told
}

// wrap returns c such that closing it gives the place back. TCP connections
// keep all their methods: sendfile, half-close and raw access reach the socket.
func (g *guest) wrap(c net.Conn, stall time.Duration) net.Conn {
	if t, ok := c.(*net.TCPConn); ok {
		own := &tcpConn{TCPConn: t, guest: g, stall: stall}
		own.raw.open(t)
		g.conn = own
	} else {
		g.conn = &otherConn{Conn: c, guest: g}
	}
	return g.conn
}

func (g *guest) leave() { g.gone.Do(func() { g.list.forget(g) }) }

type otherConn struct {
	net.Conn
	guest *guest
}

func (c *otherConn) Close() error {
	err := c.Conn.Close()
	c.guest.leave()
	return err
}
