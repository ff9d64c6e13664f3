package telemetry

import (
	"context"
	"sync/atomic"
	"time"
)

// Counters count exchanges since the process began.
type Counters struct {
	classes  [6]atomic.Uint64 // by the first digit of the status
	inFlight atomic.Int64
	panics   atomic.Uint64
	aborted  atomic.Uint64
	bytes    atomic.Uint64
}

// Snapshot is what Counters hold at one moment.
type Snapshot struct {
	Requests map[string]uint64 `json:"requests"`  // answered, by class of status: "2xx"
	InFlight int64             `json:"in_flight"` // being served, upgraded ones too
	Aborted  uint64            `json:"aborted"`   // answers cut off, by the app, the client or a fault
	Panics   uint64            `json:"panics"`    // of handlers
	Bytes    uint64            `json:"bytes"`     // of bodies sent to clients
}

// Snapshot reads the counters, each by itself.
func (c *Counters) Snapshot() Snapshot {
	s := Snapshot{
		Requests: make(map[string]uint64, 5),
		InFlight: c.inFlight.Load(),
		Aborted:  c.aborted.Load(),
		Panics:   c.panics.Load(),
		Bytes:    c.bytes.Load(),
	}
	for class := 1; class < len(c.classes); class++ {
		s.Requests[string(rune('0'+class))+"xx"] = c.classes[class].Load()
	}
	return s
}

// settleEvery is how often Settle looks.
const settleEvery = 5 * time.Millisecond

// Settle waits until no exchange is in flight, so that each has its line, or
// until ctx ends. It returns how many still were.
func (c *Counters) Settle(ctx context.Context) int64 {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for c.inFlight.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return c.inFlight.Load()
}

func (c *Counters) count(status int, bytes int64, aborted bool) {
	if class := status / 100; class > 0 && class < len(c.classes) {
		c.classes[class].Add(1)
	}
	if aborted {
		c.aborted.Add(1)
	}
	c.bytes.Add(uint64(max(bytes, 0)))
}
