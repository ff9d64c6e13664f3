package exchange

import (
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestTally(t *testing.T) {
	var tally Tally
	var all sync.WaitGroup
	for lane := range Lane(2 * Lanes) { // any lane is as good as another
		all.Go(func() {
			for range 100 {
				tally.Add(lane, Outcome{Status: 200, Bytes: 10, Took: time.Millisecond})
				tally.Add(lane, Outcome{Status: 502, Bytes: -1, Aborted: true})
				tally.Add(lane, Outcome{Took: -time.Second})
				tally.Add(lane, Outcome{Status: 600})
			}
		})
	}
	all.Wait()
	want := Count{Requests: map[string]uint64{"1xx": 0, "2xx": 1600, "3xx": 0, "4xx": 0, "5xx": 1600}, Aborted: 1600, Bytes: 16000, Seconds: 1.6}
	if got := tally.Count(); !reflect.DeepEqual(got, want) || got.Total() != 3200 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if size := unsafe.Sizeof(tally.parts[0]); size != 64 {
		t.Errorf("a part has %d bytes, want a cache line", size)
	}
}

func TestAddingCostsNoAllocation(t *testing.T) {
	var tally Tally
	if n := testing.AllocsPerRun(1000, func() { tally.Add(PickLane(), Outcome{Status: 200, Bytes: 1, Took: 1}) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if got := tally.Count(); got.Requests["2xx"] != 1001 {
		t.Errorf("counted %d, want 1001", got.Requests["2xx"])
	}
}

// One tally for all processors.
func BenchmarkTally(b *testing.B) {
	var tally Tally
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			tally.Add(PickLane(), Outcome{Status: 200, Bytes: 128, Took: time.Millisecond})
		}
	})
}
