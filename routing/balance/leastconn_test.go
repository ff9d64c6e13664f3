package balance

import "testing"

func TestLeastConnTakesTheLeastBusy(t *testing.T) {
	for _, tt := range []struct {
		weights  []int
		inFlight []int64
		want     string // the picks that follow, if none of them begins to count
	}{
		{[]int{1}, []int64{9}, "aa"},
		{[]int{1, 1, 1}, []int64{3, 1, 2}, "bbb"},
		{[]int{1, 1, 1}, []int64{0, 0, 0}, "abcabc"},
		{[]int{1, 1, 1}, []int64{1, 5, 1}, "acac"},
		{[]int{1, 1, 1}, []int64{5, 1, 1}, "bcbc"},
		{[]int{10, 1}, []int64{9, 1}, "aa"},
		{[]int{10, 1}, []int64{11, 1}, "bb"},
		{[]int{5, 1, 1}, []int64{0, 0, 0}, "aabacaa"},    // as idle as each other: by weight
		{[]int{4, 2, 1}, []int64{8, 4, 2}, "abacaba"},    // as busy as each other
		{[]int{3, 1, 1}, []int64{3, 1, 2}, "aabaaaba"},   // c is too busy
		{[]int{1, 1000}, []int64{1, 1000}, "bbbbbbbbbb"}, // even, and b is owed nearly all
	} {
		eps := endpoints(tt.weights...)
		for i, n := range tt.inFlight {
			eps[i].InFlight.Store(n)
		}
		if got := picks(New(Options{Name: "least-conn"}, new(Turns)), eps, len(tt.want)); got != tt.want {
			t.Errorf("weights %v, in flight %v: picked %s, want %s", tt.weights, tt.inFlight, got, tt.want)
		}
	}
}

// Between the look for the least and the turn among them, all may get busier.
func TestNoTurnForWhoIsTooBusy(t *testing.T) {
	eps := alike(2)
	for _, e := range eps {
		e.InFlight.Store(1)
	}
	var c clock
	idle := load{0, wholeShare}
	if got := new(Turns).among(eps, &c, idle); got != -1 {
		t.Errorf("among equals: got %d, want -1", got)
	}
	if got := owedMost(eps, &c, idle); got != -1 {
		t.Errorf("by weight: got %d, want -1", got)
	}
}

// Requests that stay are spread by weight, to within one of each.
func TestLeastConnFillsByWeight(t *testing.T) {
	eps := endpoints(1, 2, 5)
	p := New(Options{Name: "least-conn"}, new(Turns))
	for range 800 {
		eps[p.Pick(nil, eps)].InFlight.Add(1)
	}
	for i, want := range []int64{100, 200, 500} {
		if got := eps[i].InFlight.Load(); got != want {
			t.Errorf("endpoint %d has %d in flight, want %d", i, got, want)
		}
	}
}
