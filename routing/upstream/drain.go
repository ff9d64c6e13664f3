package upstream

import (
	"time"

	"github.com/fairlead/fairlead/spec"
)

const (
	// partingTime is how long after its container was told to stop a WebSocket
	// is left to the app, which may have something to say itself.
	partingTime = 250 * time.Millisecond
	drainEvery  = 100 * time.Millisecond
)

// drain is the end of an endpoint that was told to stop.
type drain struct {
	began time.Time
	limit time.Duration
	timer *time.Timer
}

// beginDrain bounds how long what runs on e may go on.
func (e *endpoint) beginDrain() {
	if e.drain != nil {
		return
	}
	d := &drain{began: time.Now(), limit: option(e.pool.options, "drain", spec.DrainOptions{For: spec.DefaultDrain}).For}
	d.timer = time.AfterFunc(min(partingTime, d.limit), func() { e.drainOn(d) })
	e.drain = d
}

func (e *endpoint) endDrain() {
	if e.drain != nil {
		e.drain.timer.Stop()
		e.drain = nil
	}
}

// drainOn looks how far the drain is: WebSockets, which would go on for ever,
// are told to go when the requests beside them have ended, and what is left at
// the end is cut.
func (e *endpoint) drainOn(d *drain) {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.drain != d {
		return
	}
	requests, tunnels := e.transport.load()
	over := time.Since(d.began) >= d.limit
	if tunnels > 0 && (requests == 0 || over) {
		e.transport.farewell()
	}
	switch {
	case over && requests > 0:
		e.transport.abort(errDrained, exchanging, unanswered)
	case over || requests+tunnels == 0:
	default:
		d.timer.Reset(drainEvery)
	}
}
