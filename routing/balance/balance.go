// Package balance holds the ways to pick an endpoint, one to a file, and
// declares the label that names them. What a picker has to remember of an
// endpoint lives in the Endpoint, so pickers see any subset of a pool at any
// time and hold nothing that would have to be kept up with it.
package balance

import (
	"net/http"
	"sync/atomic"
	"time"
)

// An Endpoint is what pickers know of one. The pool owns it. All pickers that
// are given it have the same Turns.
type Endpoint struct {
	// Key tells it from the others of its pool, and is the same for whatever
	// takes its place: hashes stay put by it. It is not changed after the first pick.
	Key      string
	InFlight atomic.Int64 // requests it is working on

	weight atomic.Int32         // 0 counts as 1
	ramp   atomic.Pointer[ramp] // nil unless it starts slowly
	steady atomic.Int64         // its share while that stays the same, 0 if it has to be worked out

	turn    atomic.Uint64 // among equal shares, the lowest is next
	keyHash atomic.Uint64 // 0 until it is needed

	// Of smooth weighted round robin, guarded by the mutex of Turns.
	current int64 // what it is owed
	counted int   // the weight with which that was counted
}

// A Picker picks one of eps, which is never empty, for r and returns its
// index. It is called by many requests at once, with any of the pool's
// endpoints in any number, keeps nothing of r or eps, and must not allocate.
type Picker interface {
	Pick(r *http.Request, eps []*Endpoint) int
}

// Weights there are. Zero is not among them: an endpoint that is to get nothing
// is not given to a picker.
const minWeight, maxWeight = 1, 1000

// SetWeight makes w the share of e among the others, from 1 to 1000; what is
// beyond counts as the nearest of them. It may be called while requests pick.
func (e *Endpoint) SetWeight(w int) {
	e.weight.Store(int32(min(max(w, minWeight), maxWeight)))
	e.steady.Store(0)
}

// Weight returns the weight that was set, or 1, however slowly e starts.
func (e *Endpoint) Weight() int { return max(int(e.weight.Load()), minWeight) }

// SlowStart makes the weight of e grow in a straight line from a hundredth at
// from to all of it at from+d. A d of zero or less ends the growth: e has its
// full weight. It may be called while requests pick.
func (e *Endpoint) SlowStart(from time.Time, d time.Duration) {
	var r *ramp
	if d > 0 {
		r = &ramp{from, d}
	}
	e.ramp.Store(r)
	e.steady.Store(0)
}
