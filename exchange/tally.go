package exchange

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Lane is the number of a processor, more or less. What every request writes to
// is in parts by lane, so that processors do not take cache lines from one another.
type Lane uint32

// lanes gives a processor the lane back that it had: a sync.Pool has a part for
// each of them too.
var (
	lanes    = sync.Pool{New: func() any { l := Lane(lastLane.Add(1)); return &l }}
	lastLane atomic.Uint32
)

// PickLane returns the lane of the processor it is called on. Now and then it is
// another's, which costs time and nothing else.
func PickLane() Lane {
	l := lanes.Get().(*Lane)
	lanes.Put(l)
	return *l
}

// Lanes is how many parts a Tally has.
const Lanes = 8

// A Tally counts the requests of one route, or of all. Its zero value is ready
// to use, by any number of goroutines.
type Tally struct{ parts [Lanes]tallyPart }

// tallyPart is as large as a cache line, 64 bytes.
type tallyPart struct {
	classes [5]atomic.Uint64 // answers, by the first digit of the status
	aborted atomic.Uint64
	bytes   atomic.Uint64
	micros  atomic.Uint64
}

// An Outcome is what became of one request.
type Outcome struct {
	Status  int           // of the answer, 0 if there was none
	Bytes   int64         // of the body, as sent to the client
	Took    time.Duration // until the last of them; of an upgraded connection, until its end
	Aborted bool          // the answer was cut off
}

// Add counts one request.
func (t *Tally) Add(lane Lane, o Outcome) {
	p := &t.parts[lane%Lanes]
	if class := o.Status/100 - 1; class >= 0 && class < len(p.classes) {
		p.classes[class].Add(1)
	}
	if o.Aborted {
		p.aborted.Add(1)
	}
	if o.Bytes > 0 {
		p.bytes.Add(uint64(o.Bytes))
	}
	if o.Took > 0 {
		p.micros.Add(uint64(o.Took / time.Microsecond))
	}
}

// A Count is what a Tally holds at one moment.
type Count struct {
	Requests map[string]uint64 `json:"requests"` // answered, by class of status: "2xx"
	Aborted  uint64            `json:"aborted"`  // answers cut off, by the app, the client or a fault
	Bytes    uint64            `json:"bytes"`    // of bodies sent to clients
	Seconds  float64           `json:"seconds"`  // that all of them took together
}

// Total returns how many requests were answered.
func (c *Count) Total() (n uint64) {
	for _, of := range c.Requests {
		n += of
	}
	return n
}

// Count returns what was counted so far, each number by itself.
func (t *Tally) Count() Count {
	var sum struct {
		classes [5]uint64
		micros  uint64
	}
	var c Count
	for i := range t.parts {
		p := &t.parts[i]
		for class := range p.classes {
			sum.classes[class] += p.classes[class].Load()
		}
		c.Aborted += p.aborted.Load()
		c.Bytes += p.bytes.Load()
		sum.micros += p.micros.Load()
	}
	c.Requests = make(map[string]uint64, len(sum.classes))
	for class, n := range sum.classes {
		c.Requests[string(rune('1'+class))+"xx"] = n
	}
	c.Seconds = float64(sum.micros) / 1e6
	return c
}
