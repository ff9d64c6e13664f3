package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreRightToAHundredth(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	all := make([]time.Duration, 10_000)
	for i := range all {
		all[i] = time.Duration(rnd.ExpFloat64() * float64(300*time.Microsecond))
		h.Record(all[i])
	}
	slices.Sort(all)
	for _, q := range []float64{0, .01, .5, .9, .99, .999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		if got := h.Quantile(q); got < want || float64(got) > float64(want)*1.01+1 {
			t.Errorf("quantile %v: got %s, want %s", q, got, want)
		}
	}
}

func TestQuantilesAtTheEdges(t *testing.T) {
	var h Histogram
	if got := h.Quantile(.5); got != 0 || h.N() != 0 {
		t.Errorf("an empty histogram has %d values and median %s, want none and 0", h.N(), got)
	}
	h.Record(-time.Second)
	h.Record(time.Duration(1<<63 - 1))
	if got := h.Quantile(.5); got != 0 {
		t.Errorf("a negative duration counts as %s, want 0", got)
	}
	if got := h.Quantile(1); got != 1<<63-1 {
		t.Errorf("the largest is %d, want %d", got, int64(1<<63-1))
	}
}

func TestBucketsFollowEachOther(t *testing.T) {
	for i := range 40 * steps {
		if got := bucket(top(i)); got != i {
			t.Fatalf("the largest value of bucket %d lies in %d", i, got)
		}
		if got := bucket(top(i) + 1); got != i+1 {
			t.Fatalf("the value behind bucket %d lies in %d", i, got)
		}
	}
}
