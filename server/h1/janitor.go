package h1

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

const (
	// freshGrace is how long a connection that has not asked anything yet is left
	// open while the engine is leaving.
	freshGrace = 2 * time.Second
	// tooSlow is the bodyDue of a body that was not in time.
	tooSlow = -1
)

// sweep keeps the limits of time of all connections, as long as there are any. One
// goroutine that looks at every connection now and then costs less than a timer
// that each request sets. It is never early, and late by two ticks at most.
func (e *Engine) sweep(stop <-chan struct{}) {
	ticker := time.NewTicker(e.tick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if !e.sweepOnce(now) {
				return
			}
		case <-stop:
			return
		}
	}
}

// sweepOnce reports false if there is nothing to sweep any more.
func (e *Engine) sweepOnce(now time.Time) bool {
	e.wind(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == 0 || !e.sweeps {
		e.halt()
		return false
	}
	for c := e.first; c != nil; c = c.next {
		e.inspect(c)
	}
	return true
}

// halt ends what runs beside the connections, when there are none.
func (e *Engine) halt() {
	if e.watcher != nil {
		e.watcher.close()
		e.watcher = nil
	}
	if e.sweeps {
		e.sweeps = false
		close(e.stop)
	}
}

// wind sets the clock and the date.
func (e *Engine) wind(now time.Time) {
	e.clock.Store(now.Sub(e.epoch).Milliseconds())
	date := now.UTC().Format(http.TimeFormat)
	if old := e.date.Load(); old == nil || *old != date {
		e.date.Store(&date)
	}
}

// inspect closes c if its time is up.
func (e *Engine) inspect(c *conn) {
	state := c.state.Load()
	age := time.Duration(e.clock.Load()-since(state))*time.Millisecond - e.tick
	switch p := phaseOf(state); p {
	case fresh, heading:
		if age > e.cfg.HeadTimeout && c.claim(p) {
			e.tally.headTimeouts.Add(1)
		} else if age > freshGrace && e.leaving.Load() {
			c.claim(p)
		}
	case idle:
		if age > e.cfg.IdleTimeout && c.claim(idle) {
			e.tally.idleTimeouts.Add(1)
		} else if age > 0 && c.peeked != state {
			c.peeked = state
			c.findLostEnd()
		}
	case busy:
		due := c.bodyDue.Load()
		if due > 0 && time.Duration(due) < time.Since(e.epoch) && c.bodyDue.CompareAndSwap(due, tooSlow) {
			e.tally.slow.Add(1)
			c.nc.SetReadDeadline(longAgo)
		}
	}
}

// idlest returns the n connections that are idle for longest.
func (e *Engine) idlest(n int) []*conn {
	type waiting struct {
		*conn
		since int64
	}
	var all []waiting
	for c := e.first; c != nil; c = c.next {
		if state := c.state.Load(); phaseOf(state) == idle {
			all = append(all, waiting{c, since(state)})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int { return cmp.Compare(a.since, b.since) })
	var out []*conn
	for _, w := range all[:min(n, len(all))] {
		out = append(out, w.conn)
	}
	return out
}
