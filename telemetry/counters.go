package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

// Counters count exchanges since the process began.
type Counters struct {
	all      exchange.Tally
	inFlight [exchange.Lanes]struct {
		atomic.Int64          // of those that began in this lane, wherever they end
		_            [56]byte // to the end of the cache line
	}
	panics atomic.Uint64
}

// Snapshot is what Counters hold at one moment.
type Snapshot struct {
	exchange.Count
	InFlight int64  `json:"in_flight"` // being served, upgraded ones too
	Panics   uint64 `json:"panics"`    // of handlers
}

// Snapshot reads the counters, each by itself.
func (c *Counters) Snapshot() Snapshot {
	return Snapshot{Count: c.all.Count(), InFlight: c.current(), Panics: c.panics.Load()}
}

func (c *Counters) begin(lane exchange.Lane) { c.inFlight[lane%exchange.Lanes].Add(1) }
func (c *Counters) end(lane exchange.Lane)   { c.inFlight[lane%exchange.Lanes].Add(-1) }

// current returns how many exchanges are in flight. One that is all the while
// is counted, whatever begins and ends meanwhile.
func (c *Counters) current() (n int64) {
	for i := range c.inFlight {
		n += c.inFlight[i].Load()
	}
	return n
}

// settleEvery is how often Settle looks.
const settleEvery = 5 * time.Millisecond

// Settle waits until no exchange is in flight, so that each has its line, or
// until ctx ends. It returns how many still were.
func (c *Counters) Settle(ctx context.Context) int64 {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for c.current() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return c.current()
}
