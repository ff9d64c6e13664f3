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
	Conns      int // of all clients together
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

	accepted, total, perIP, late, cut atomic.Uint64
}

// admit lets c in if the limits allow it.
func (gs *guests) admit(c net.Conn, limits *Limits) (net.Conn, bool) {
	g := &guest{list: gs}
	if limits.ConnsPerIP > 0 {
		g.ip = household(c.RemoteAddr())
	}
	wrapped := g.wrap(c, orDefault(limits.Stall, 30*time.Second))

	gs.mu.Lock()
	defer gs.mu.Unlock()
	switch {
	case gs.leaving:
		gs.late.Add(1)
		return nil, false
	case limits.Conns > 0 && len(gs.open) >= limits.Conns:
		gs.total.Add(1)
		return nil, false
	case g.ip.IsValid() && gs.byIP[g.ip] >= limits.ConnsPerIP:
		gs.perIP.Add(1)
		return nil, false
	}
	if gs.open == nil {
		gs.open, gs.byIP = make(map[*guest]struct{}), make(map[netip.Addr]int)
	}
	gs.open[g] = struct{}{}
	if g.ip.IsValid() {
		gs.byIP[g.ip]++
	}
	gs.accepted.Add(1)
	return wrapped, true
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

// Stats returns the state of this moment.
func (s *Server) Stats() Stats {
	gs := &s.guests
	gs.mu.Lock()
	n := len(gs.open)
	gs.mu.Unlock()
	return Stats{
		Conns: n, Accepted: gs.accepted.Load(), RefusedTotal: gs.total.Load(),
		RefusedPerIP: gs.perIP.Load(), RefusedLeaving: gs.late.Load(), CutAtShutdown: gs.cut.Load(),
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
		g.conn = &tcpConn{TCPConn: t, guest: g, stall: stall}
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
