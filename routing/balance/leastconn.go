package balance

import "net/http"

var _ = register(method{
	name: "least-conn", doc: "takes the one with the fewest requests in flight for its weight, in turn where that is even",
	picker: func(_ string, turns *Turns) Picker { return &leastConn{turns} },
})

// leastConn takes the endpoint with the fewest requests for its share, and round
// robin, which keeps to the weights, among those of which that is true: of an
// idle pool, all.
type leastConn struct{ ties *Turns }

func (p *leastConn) Pick(_ *http.Request, eps []*Endpoint) int {
	var c clock
	best, least, tie := 0, noLimit, false
	equal, share := true, eps[0].share(&c)
	var first, last uint64 // turns
	for i, e := range eps {
		l, turn := e.load(&c), e.turn.Load()
		equal, last = equal && l.share == share, max(last, turn)
		switch {
		case l.below(least):
			best, least, tie, first = i, l, false, turn
		case !least.below(l):
			tie = true
			if turn < first {
				best, first = i, turn
			}
		}
	}
	if equal && eps[best].turn.CompareAndSwap(first, last+1) {
		return best // as ties would say, without looking at all of them again
	}
	if tie {
		if i := p.ties.among(eps, &c, least); i >= 0 {
			return i
		}
		// All of them got busier meanwhile, best as well as any.
	}
	return best
}
