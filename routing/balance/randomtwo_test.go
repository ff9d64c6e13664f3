package balance

import "testing"

func TestRandomTwoNeverTakesTheBusiest(t *testing.T) {
	eps := alike(4)
	for i := range eps {
		eps[i].InFlight.Store(int64(i))
	}
	counts := count(pickers()["random-two"], eps, 12_000)
	// Of the six pairs a is the less busy in three, b in two, c in one, d in none.
	checkShares(t, counts[:3], endpoints(3, 2, 1))
	if counts[3] != 0 {
		t.Errorf("the busiest was picked %d times, want 0", counts[3])
	}
}

func TestRandomTwoComparesLoadsByWeight(t *testing.T) {
	eps := endpoints(10, 1)
	eps[0].InFlight.Store(9)
	eps[1].InFlight.Store(1)
	if counts := count(pickers()["random-two"], eps, 100); counts[0] != 100 {
		t.Errorf("got %v, want all for the one with 9 requests for a weight of 10", counts)
	}
}

// Both draws are by weight: of the pairs without a tie, the idle c is in those
// where it is drawn first or second.
func TestRandomTwoDrawsTwiceByWeight(t *testing.T) {
	eps := endpoints(1, 1, 2)
	eps[0].InFlight.Store(1)
	eps[1].InFlight.Store(1)
	counts := count(pickers()["random-two"], eps, 12_000)
	// P(c first) = 1/2; P(c second) = 2 · 1/4 · 2/3 = 1/3; else a or b first.
	checkShares(t, counts, endpoints(1, 1, 10))
}

// Weights change between the sum and the draw.
func TestRandomTwoSurvivesAnySum(t *testing.T) {
	eps := endpoints(1, 2, 3)
	p := &randomTwo{below: func(n int64) int64 {
		if n < 1 {
			t.Fatalf("drew from %d", n)
		}
		return n - 1
	}}
	for _, all := range []int64{-1, 0, 1, 6000, 1 << 40} {
		for not := -1; not < 3; not++ {
			if got := p.draw(eps, &clock{}, all, not); got < 0 || got > 2 || got == not {
				t.Errorf("sum %d without %d: drew %d", all, not, got)
			}
		}
	}
}
