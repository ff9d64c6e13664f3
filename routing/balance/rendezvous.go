package balance

import (
	"math"
	"net/http"
)

// hashed sends requests with the same key to the same endpoint, and those
// without one round, as nginx does.
type hashed struct {
	key     func(r *http.Request) (key uint64, ok bool)
	keyless *Turns
}

func (p *hashed) Pick(r *http.Request, eps []*Endpoint) int {
	if key, ok := p.key(r); ok {
		return rendezvous(key, eps)
	}
	return p.keyless.Pick(r, eps)
}

// rendezvous picks by weighted highest random weight (Thaler and Ravishankar,
// 1998): for each key the endpoints run a race in which the time of each depends
// on nothing but key, Key and weight. So the loss of one moves its own keys
// alone, to all others by weight, and its return brings them back. Times are
// exponentially distributed with the weight as their rate, which makes the
// chance to be first proportional to it.
//
// An endpoint that starts slowly has its full weight here. A growing weight takes
// over one key after the other, so keys would go on moving until the start is
// over, and that they stay is what a hash is chosen for.
func rendezvous(key uint64, eps []*Endpoint) (best int) {
	soonest := math.Inf(1)
	for i, e := range eps {
		u := float64(mix(key^e.hash())>>11+1) * 0x1p-53 // uniform over (0, 1]
		w := float64(e.Weight())
		// 1-u ≤ -ln u, so most are seen to come too late without a logarithm.
		if 1-u > soonest*w {
			continue
		}
		t := -math.Log(u) / w
		// A dead heat is decided by name: the order of eps says nothing.
		if t < soonest || t == soonest && e.Key < eps[best].Key {
			best, soonest = i, t
		}
	}
	return best
}

// hash returns the hash of e.Key, which is computed once.
func (e *Endpoint) hash() uint64 {
	h := e.keyHash.Load()
	if h == 0 {
		h = hash(e.Key)
		e.keyHash.Store(h)
	}
	return h
}

// hash mixes s in, eight bytes at a time. It is not seeded: after a restart, and
// in the proxy next to this one, a key is to lead where it led before.
func hash(s string) uint64 {
	h := uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56))
	}
	rest := uint64(1) // so that trailing zero bytes count
	for i := range len(s) {
		rest = rest<<8 | uint64(s[i])
	}
	return mix(h ^ rest)
}

// textKey returns the key that s is; an empty one is none.
func textKey(s string) (key uint64, ok bool) { return hash(s), s != "" }

// mix makes every bit of h depend on all: the finalizer of SplitMix64 (Steele,
// Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
