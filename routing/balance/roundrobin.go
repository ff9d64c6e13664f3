package balance

import (
	"net/http"
	"sync"
)

var _ = register(method{
	name: "round-robin", doc: "takes them in turn, by weight",
	picker: func(_ string, turns *Turns) Picker { return turns },
})

// Turns takes endpoints in turn. A pool has one for as long as it lives, which
// other pickers of its use too, so that a change of picker keeps the turns.
// With unequal shares it does so as nginx
// does ("smooth weighted round robin", ngx_http_upstream_round_robin.c): each is
// owed its share with every pick, and who is owed most is picked and pays for
// all. Weights 5, 1, 1 make a a b a c a a, and not a a a a a b c.
type Turns struct {
	mu sync.Mutex // guards current and counted of the endpoints
}

func (p *Turns) Pick(_ *http.Request, eps []*Endpoint) int {
	var c clock
	return p.among(eps, &c, noLimit)
}

// among returns whose turn it is of the endpoints with a load of at most limit,
// -1 if there is none.
func (p *Turns) among(eps []*Endpoint, c *clock, limit load) int {
	if i, equal := waitsLongest(eps, c, limit); equal {
		return i
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return owedMost(eps, c, limit)
}

// waitsLongest is round robin among equals: no lock, and only the endpoint that
// is picked is written to. A counter modulo the number of endpoints would be
// cheaper and unfair: where a retry sees one endpoint less, it gives some of the
// rest all of that one's share. It reports false if shares differ.
//
// Turns only grow, so when the swap succeeds, the endpoint waited longest at
// that moment, and requests at once take turns as exactly as one after the other.
func waitsLongest(eps []*Endpoint, c *clock, limit load) (best int, equal bool) {
	for {
		best = -1
		var share int64
		var first, last uint64
		for i, e := range eps {
			l := e.load(c)
			if limit.below(l) {
				continue
			}
			turn := e.turn.Load()
			switch {
			case best < 0:
				best, share, first = i, l.share, turn
			case l.share != share:
				return -1, false
			case turn < first:
				best, first = i, turn
			}
			last = max(last, turn)
		}
		if best < 0 || eps[best].turn.CompareAndSwap(first, last+1) {
			return best, true
		}
	}
}

// owedMost is smooth weighted round robin. p.mu is held.
func owedMost(eps []*Endpoint, c *clock, limit load) int {
	best, all := -1, int64(0)
	for i := 0; i < len(eps); i++ {
		e := eps[i]
		if e.counted != e.Weight() {
			settle(eps)
			i, best, all = -1, -1, 0 // from the beginning
			continue
		}
		l := e.load(c)
		if limit.below(l) {
			continue
		}
		e.current += l.share
		all += l.share
		if best < 0 || e.current > eps[best].current {
			best = i
		}
	}
	if best >= 0 {
		eps[best].current -= all
	}
	return best
}

// settle forgets what is owed when a weight changed or an endpoint is new: what
// one of weight 1000 came to owe would otherwise keep it out for hundreds of
// picks once it has weight 1. p.mu is held.
func settle(eps []*Endpoint) {
	for _, e := range eps {
		e.current, e.counted = 0, e.Weight()
	}
}
