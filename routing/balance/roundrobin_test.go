package balance

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRoundRobinSequences(t *testing.T) {
	for _, tt := range []struct {
		weights []int
		want    string
	}{
		{[]int{1}, "aaa"},
		{[]int{1, 1, 1}, "abcabcabc"},
		{[]int{7, 7}, "abab"},
		{[]int{5, 1, 1}, "aabacaaaabacaa"}, // nginx's own example
		{[]int{4, 2, 1}, "abacabaabacaba"},
		{[]int{1, 3}, "babbbabb"},
		{[]int{1000, 1}, "aaaaaaaaaa"},
	} {
		if got := picks(new(Turns), endpoints(tt.weights...), len(tt.want)); got != tt.want {
			t.Errorf("weights %v: picked %s, want %s", tt.weights, got, tt.want)
		}
	}
}

func TestRoundRobinIsExactlyFairToManyAtOnce(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1, 1}, {5, 1, 1, 1}} {
		eps := endpoints(weights...)
		var p Turns
		var picked [4]atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					picked[p.Pick(nil, eps)].Add(1)
				}
			})
		}
		all.Wait()
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			if got, want := picked[i].Load(), int64(8000*w/sum); got != want {
				t.Errorf("weights %v: endpoint %d was picked %d times of 8000, want %d", weights, i, got, want)
			}
		}
	}
}

// Each request tries a first; it fails, and a retry sees the others alone.
func TestRetriesAreSharedEvenly(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1}, {2, 1, 1}} {
		eps := endpoints(weights...)
		var p Turns
		counts := [3]int{}
		for range 1000 {
			at := p.Pick(nil, eps)
			if at == 0 {
				at = 1 + p.Pick(nil, eps[1:])
			}
			counts[at]++
		}
		if counts != [3]int{0, 500, 500} {
			t.Errorf("weights %v: b and c answered %v, want 500 each", weights, counts[1:])
		}
	}
}

func TestAnEndpointThatComesBackIsNotFlooded(t *testing.T) {
	eps := alike(3)
	var p Turns
	picks(&p, eps[:2], 1001)
	if got := picks(&p, eps, 6); got != "cbacba" {
		t.Errorf("picked %s, want c in its turn only, cbacba", got)
	}
}

// What a weight of 1000 was owed is nothing that a weight of 1 has to pay.
func TestChangedWeightsStartAfresh(t *testing.T) {
	eps := endpoints(1000, 1, 1)
	var p Turns
	picks(&p, eps, 501)
	for i, w := range []int{1, 2, 1} {
		eps[i].SetWeight(w)
	}
	if got := picks(&p, eps, 8); got != "bacbbacb" {
		t.Errorf("picked %s, want bacbbacb", got)
	}
}

func TestEqualSlowStartsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eps := endpoints(2, 2)
		for _, e := range eps {
			e.SlowStart(time.Now(), time.Minute)
		}
		if got := picks(new(Turns), eps, 4); got != "abab" {
			t.Errorf("picked %s, want abab", got)
		}
	})
}

// A pool may be given another picker: the next one takes the turns over.
func TestANewPickerGoesOnWithTheTurns(t *testing.T) {
	eps := alike(3)
	picks(new(Turns), eps, 100)
	if got := picks(new(Turns), eps, 6); got != "bcabca" {
		t.Errorf("picked %s, want bcabca", got)
	}
}
