package h1

import "time"

// A phase is where a connection stands. It decides whose limit of time holds.
type phase int64

const (
	fresh   phase = iota // nothing came yet
	idle                 // between requests
	heading              // some of a head came
	busy                 // a request is served
	claimed              // somebody wants the connection closed, which its goroutine does
)

// A conn's state is its phase and when it began, in milliseconds of the engine's
// clock, in one word: who changes it by compare-and-swap acts on what he saw. It
// is the janitor, Shutdown and Trim who claim, and the connection's goroutine
// that does everything else; so a request that has begun is never cut by them.
const phaseBits = 3

func stamped(p phase, clock int64) int64 { return clock<<phaseBits | int64(p) }

func phaseOf(state int64) phase { return phase(state & (1<<phaseBits - 1)) }

func since(state int64) int64 { return state >> phaseBits }

// enter makes p the phase of c, and reports false if c was claimed.
func (c *conn) enter(p phase) bool {
	return phaseOf(c.state.Swap(stamped(p, c.engine.clock.Load()))) != claimed
}

// enterHead is enter for heading. The time for a head is not begun anew by every
// piece of it, and that for the first of a connection began with the connection.
func (c *conn) enterHead() bool {
	old := c.state.Load()
	clock := c.engine.clock.Load()
	if p := phaseOf(old); p == fresh || p == heading {
		clock = since(old)
	}
	return phaseOf(c.state.Swap(stamped(heading, clock))) != claimed
}

// rest makes c idle, and reports false if it is not to wait for another request.
func (c *conn) rest() bool {
	return c.enter(idle) && !c.engine.leaving.Load()
}

// claim has c closed if it is in phase p. The deadline wakes its goroutine, which
// nothing else does that is safe while it is inside a callback: Close would wait
// for that.
func (c *conn) claim(p phase) bool {
	old := c.state.Load()
	if phaseOf(old) != p || !c.state.CompareAndSwap(old, stamped(claimed, since(old))) {
		return false
	}
	c.nc.SetReadDeadline(longAgo)
	return true
}

func (c *conn) isClaimed() bool { return phaseOf(c.state.Load()) == claimed }

var longAgo = time.Unix(1, 0)
