package balance

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestRoundRobinTakesTurns(t *testing.T) {
	eps := []*Endpoint{{Key: "a"}, {Key: "b"}, {Key: "c"}}
	var p RoundRobin
	got := ""
	for range 7 {
		got += eps[p.Pick(nil, eps)].Key
	}
	if want := "abcabca"; got != want {
		t.Errorf("picked %s, want %s", got, want)
	}
	// With one endpoint fewer it goes on, and never beyond the end.
	for range 5 {
		if i := p.Pick(nil, eps[:2]); i > 1 {
			t.Errorf("picked %d of 2", i)
		}
	}
}

func TestRoundRobinIsFairToManyAtOnce(t *testing.T) {
	eps := []*Endpoint{{Key: "a"}, {Key: "b"}, {Key: "c"}, {Key: "d"}}
	var p RoundRobin
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
	for i := range picked {
		if got := picked[i].Load(); got != 2000 {
			t.Errorf("endpoint %d was picked %d times of 8000, want 2000", i, got)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { p.Pick(nil, eps) }); allocs != 0 {
		t.Errorf("a pick allocates %v times, want 0", allocs)
	}
}
