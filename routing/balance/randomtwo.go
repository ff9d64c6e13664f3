package balance

import (
	"math/rand/v2"
	"net/http"
)

var _ = register(method{
	name: "random-two", doc: "draws two by weight and takes the less busy one",
	picker: func(string, *Turns) Picker { return &randomTwo{below: rand.Int64N} },
})

// randomTwo draws two endpoints and takes the one with fewer requests for its
// share (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing,
// 2001). Unlike least-conn it does not send all of a burst to the one that was
// idlest when the burst began, which matters where several proxies share it.
type randomTwo struct {
	below func(n int64) int64 // random, from 0 to n-1
}

func (p *randomTwo) Pick(_ *http.Request, eps []*Endpoint) int {
	if len(eps) == 1 {
		return 0
	}
	var c clock
	all := int64(0)
	for _, e := range eps {
		all += e.share(&c)
	}
	first := p.draw(eps, &c, all, -1)
	second := p.draw(eps, &c, all-eps[first].share(&c), first)
	if eps[second].load(&c).below(eps[first].load(&c)) {
		return second
	}
	return first
}

// draw returns one of eps other than not, by share; all is the sum of theirs.
func (p *randomTwo) draw(eps []*Endpoint, c *clock, all int64, not int) (i int) {
	n := p.below(max(all, 1)) // a weight that rose since may make it less
	for j, e := range eps {
		if j == not {
			continue
		}
		i = j
		if n -= e.share(c); n < 0 {
			break
		}
	}
	return i // the last one, if weights fell since they were added up
}
