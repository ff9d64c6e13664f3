package server

// OnFarewell has f called, once, when the server is about to cut connections
// that were taken over by Hijack: at once if it is already. A nil f takes the
// last one back. f must not block; behind TLS, tls.Conn.NetConn has the method.
func (c *tcpConn) OnFarewell(f func()) { c.guest.onFarewell(f) }

// OnFarewell is that of tcpConn.
func (c *otherConn) OnFarewell(f func()) { c.guest.onFarewell(f) }

// onFarewell has f called when farewell is, at once if it was.
func (g *guest) onFarewell(f func()) {
	g.list.mu.Lock()
	parted := g.list.parted
	if !parted {
		g.part = f
	}
	g.list.mu.Unlock()
	if parted && f != nil {
		f()
	}
}

// farewell tells everybody who wanted to know that the end has come.
func (gs *guests) farewell() {
	gs.mu.Lock()
	gs.parted = true
	var tell []func()
	for g := range gs.open {
		if g.part != nil {
			tell = append(tell, g.part)
			g.part = nil
		}
	}
	gs.mu.Unlock()
	for _, f := range tell {
		f()
	}
}
