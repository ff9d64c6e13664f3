package balance

import "time"

// A share is a weight at one moment, in thousandths: wholeShare for each unit
// of weight, less while an endpoint starts slowly.
const (
	wholeShare = 1000
	leastShare = wholeShare / 100 // enough to be given something to warm up with
)

// ramp is how an endpoint's share grows after its start.
type ramp struct {
	from time.Time
	over time.Duration // above zero
}

// clock is the time of one pick. It is read when first asked for, which no pick
// does unless an endpoint starts slowly.
type clock struct{ read time.Time }

func (c *clock) now() time.Time {
	if c.read.IsZero() {
		c.read = time.Now()
	}
	return c.read
}

// share returns what e has at c.
func (e *Endpoint) share(c *clock) int64 {
	if s := e.steady.Load(); s > 0 {
		return s
	}
	return e.workOut(c)
}

// workOut returns the share of e at c, and keeps it if it will stay the same. A
// change in between sets steady to zero after this has looked, or is seen.
func (e *Endpoint) workOut(c *clock) int64 {
	r, whole := e.ramp.Load(), int64(e.Weight())*wholeShare
	if r != nil {
		if passed := c.now().Sub(r.from); passed < r.over {
			return int64(e.Weight()) * max(leastShare, int64(wholeShare*float64(passed)/float64(r.over)))
		}
		e.ramp.CompareAndSwap(r, nil) // unless another began meanwhile
		return whole
	}
	e.steady.Store(whole)
	if e.ramp.Load() != nil || int64(e.Weight())*wholeShare != whole {
		e.steady.Store(0)
	}
	return whole
}

// load is how busy an endpoint is: its requests in relation to its share.
type load struct{ inFlight, share int64 }

// noLimit is above the load of every endpoint.
var noLimit = load{inFlight: 1, share: 0}

func (e *Endpoint) load(c *clock) load { return load{e.InFlight.Load(), e.share(c)} }

// below compares the quotients without dividing.
func (l load) below(m load) bool { return l.inFlight*m.share < m.inFlight*l.share }
