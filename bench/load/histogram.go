package load

import (
	"math"
	"math/bits"
	"time"
)

// steps is into how many parts each power of two is divided: the value of a
// bucket is right to 1/steps, 0.8 %.
const (
	stepBits = 7
	steps    = 1 << stepBits
)

// A Histogram counts durations in buckets whose width grows with the value, as
// HdrHistogram does: any quantile is right to 0.8 %, in constant space. The
// zero value is empty.
type Histogram struct {
	buckets [(64 - stepBits) * steps]uint64
	n       uint64
	max     time.Duration
}

// Record counts d; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

// N is how many durations were recorded.
func (h *Histogram) N() uint64 { return h.n }

// Quantile returns the smallest duration that at least q (0 to 1) of all do not
// exceed, rounded up to its bucket and never beyond the largest; 0 if there is
// none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.n))), 1)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(time.Duration(top(i)), h.max)
		}
	}
	return h.max
}

// bucket returns the index for v: v itself below 2×steps, then steps buckets for
// each power of two.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-stepBits-1, 0)
	return shift*steps + int(v>>shift)
}

// top returns the largest value of bucket i.
func top(i int) uint64 {
	shift := max(i/steps-1, 0)
	return uint64(i-shift*steps+1)<<shift - 1
}
