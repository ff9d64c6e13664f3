package balance

import (
	"net/http"
)

// Foresee returns a picker that picks as New(o, turns) would at this moment, and
// leaves no trace: whose turn it is stays as it was. It is for explanations, and
// slower. Where chance decides, it is one of the picks that may come.
func Foresee(o Options, turns *Turns) Picker { return &foresight{o, turns} }

type foresight struct {
	method Options
	turns  *Turns
}

// Pick picks among copies: all that pickers remember is in the endpoints.
func (f *foresight) Pick(r *http.Request, eps []*Endpoint) int {
	copies := make([]*Endpoint, len(eps))
	f.turns.mu.Lock()
	for i, e := range eps {
		c := &Endpoint{Key: e.Key, current: e.current, counted: e.counted}
		c.InFlight.Store(e.InFlight.Load())
		c.weight.Store(e.weight.Load())
		c.ramp.Store(e.ramp.Load())
		c.turn.Store(e.turn.Load())
		copies[i] = c
	}
	f.turns.mu.Unlock()
	return New(f.method, new(Turns)).Pick(r, copies)
}

// Written returns o as the label is written.
func (o Options) Written() string {
	if m := find(o.Name); m != nil {
		return m.with(o.Arg)
	}
	return "round-robin"
}
