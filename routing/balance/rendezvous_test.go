package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const keys = 10_000

// homes returns the Key each of a number of keys leads to.
func homes(eps []*Endpoint) []string {
	out := make([]string, keys)
	for i := range out {
		out[i] = eps[rendezvous(hash(fmt.Sprintf("key-%d", i)), eps)].Key
	}
	return out
}

func TestALostEndpointMovesOnlyItsOwnKeys(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1, 1}, make([]int, 20), {1, 2, 3, 5, 9}} {
		eps := endpoints(weights...)
		before := homes(eps)
		sum := 0
		for _, e := range eps {
			sum += e.Weight()
		}
		for lost, e := range eps {
			rest := slices.Delete(slices.Clone(eps), lost, lost+1)
			moved := 0
			for i, home := range homes(rest) {
				if home != before[i] {
					moved++
					if before[i] != e.Key {
						t.Fatalf("weights %v without %s: key %d moved from %s to %s", weights, e.Key, i, before[i], home)
					}
				}
			}
			share := float64(e.Weight()) / float64(sum)
			if got := float64(moved) / keys; math.Abs(got-share) > 0.02 {
				t.Errorf("weights %v without %s: %.3f of the keys moved, want its share of %.3f", weights, e.Key, got, share)
			}
		}
		if !slices.Equal(homes(eps), before) {
			t.Errorf("weights %v: keys did not come back with their endpoint", weights)
		}
	}
}

func TestKeysOfALostEndpointAreSharedByTheOthers(t *testing.T) {
	eps := endpoints(4, 1, 2, 3)
	before, counts := homes(eps), map[string]int{}
	for i, home := range homes(eps[1:]) {
		if before[i] == "a" {
			counts[home]++
		}
	}
	checkShares(t, []int{counts["b"], counts["c"], counts["d"]}, eps[1:])
}

func TestAHeavierWeightOnlyTakesKeys(t *testing.T) {
	eps := endpoints(2, 2, 2)
	before := homes(eps)
	eps[0].SetWeight(3)
	for i, home := range homes(eps) {
		if home != before[i] && home != "a" {
			t.Fatalf("key %d moved from %s to %s, and only a got heavier", i, before[i], home)
		}
	}
}

func TestTheOrderOfEndpointsSaysNothingToHashes(t *testing.T) {
	eps := endpoints(1, 2, 3, 5, 9)
	want := homes(eps)
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		r.Shuffle(len(eps), func(i, j int) { eps[i], eps[j] = eps[j], eps[i] })
		if !slices.Equal(homes(eps), want) {
			t.Fatalf("keys moved when the endpoints came in another order")
		}
	}
}

func TestADeadHeatIsDecidedByName(t *testing.T) {
	eps := alike(2)
	for _, e := range eps {
		e.keyHash.Store(1) // as if their names had the same hash
	}
	for range 2 {
		if got := eps[rendezvous(7, eps)].Key; got != "a" {
			t.Errorf("picked %s of %s and %s, want a", got, eps[0].Key, eps[1].Key)
		}
		slices.Reverse(eps)
	}
}

// Names that differ in one digit, as those of replicas do.
func TestAlikeNamesShareEvenly(t *testing.T) {
	eps := alike(9)
	for i, e := range eps {
		e.Key = fmt.Sprintf("shop-web-%d:8000", i+1)
	}
	counts := make([]int, len(eps))
	for i := range keys {
		counts[rendezvous(uint64(i), eps)]++ // and keys that do not differ in much
	}
	checkShares(t, counts, eps)
}

// The test that spares a logarithm must not change what comes out.
func TestTheShortcutDecidesNothing(t *testing.T) {
	eps := endpoints(1, 1000, 3, 5, 9, 1, 1)
	for key := range uint64(keys) {
		want, soonest := 0, math.Inf(1)
		for i, e := range eps {
			u := (float64(mix(key^e.hash())>>11) + 1) / (1 << 53)
			if t := -math.Log(u) / float64(e.Weight()); t < soonest {
				want, soonest = i, t
			}
		}
		if got := rendezvous(key, eps); got != want {
			t.Fatalf("key %d: got %d, want %d", key, got, want)
		}
	}
}

// Other proxies and later versions must agree, or a deploy moves every key.
func TestHashesAreForEver(t *testing.T) {
	for s, want := range map[string]uint64{"": 0x5692161d100b05e5, "foobar": 0xde86ce9d9b87af39, "shop-web-1:8080": 0x8a0e4518f2e375c2} {
		if got := hash(s); got != want {
			t.Errorf("the hash of %q is %#x, want %#x", s, got, want)
		}
	}
	eps, got := endpoints(1, 2, 3), ""
	for i := range 16 {
		got += eps[rendezvous(hash(fmt.Sprint(i)), eps)].Key
	}
	if want := "cabacabbacaccaab"; got != want {
		t.Errorf("keys lead to %s, want %s", got, want)
	}
}
