package balance

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSlowStartGrowsInAStraightLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Endpoint
		e.SetWeight(10)
		e.SlowStart(time.Now(), 10*time.Second)
		for _, want := range []int64{100, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000, 10_000} {
			if got := e.share(&clock{}); got != want {
				t.Errorf("got a share of %d, want %d", got, want)
			}
			if e.Weight() != 10 {
				t.Errorf("got weight %d, want the one that was set, 10", e.Weight())
			}
			<-time.After(time.Second)
		}
		if e.ramp.Load() != nil {
			t.Error("the slow start is over and still looked at")
		}
	})
}

func TestSlowStartMayLieElsewhere(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		what string
		from time.Time
		d    time.Duration
		want int64
	}{
		{"none", now, 0, wholeShare},
		{"none, and to come", now.Add(time.Hour), 0, wholeShare},
		{"negative", now, -time.Second, wholeShare},
		{"long over", now.Add(-time.Hour), time.Minute, wholeShare},
		{"to come", now.Add(time.Hour), time.Minute, leastShare},
		{"the shortest", now.Add(-1), 1, wholeShare},
		{"the longest", now, 1<<63 - 1, leastShare},
	} {
		var e Endpoint
		e.SlowStart(now, time.Hour)
		e.SlowStart(tt.from, tt.d)
		if got := e.share(&clock{}); got != tt.want {
			t.Errorf("%s: got a share of %d, want %d", tt.what, got, tt.want)
		}
	}
}

func TestTheClockIsReadOnceAndOnlyInASlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eps := endpoints(1, 1)
		var c clock
		eps[0].share(&c)
		if !c.read.IsZero() {
			t.Error("the clock was read for an endpoint with its whole weight")
		}
		eps[0].SlowStart(time.Now(), 2*time.Second)
		<-time.After(time.Second)
		eps[0].share(&c)
		<-time.After(time.Minute)
		if got := eps[0].share(&c); got != wholeShare/2 {
			t.Errorf("got a share of %d within the same pick, want still %d", got, wholeShare/2)
		}
	})
}

// A half-way endpoint gets half of what its weight is worth.
func TestPickersHonourASlowStart(t *testing.T) {
	for _, name := range []string{"round-robin", "least-conn", "random-two"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eps := endpoints(1, 4)
				eps[1].SlowStart(time.Now(), 10*time.Second)
				<-time.After(5 * time.Second)
				counts := count(pickers()[name], eps, 9000)
				checkShares(t, counts, endpoints(1, 2))
			})
		})
	}
}

// Keys that moved with every step would be told twice where they belong.
func TestHashesIgnoreASlowStart(t *testing.T) {
	for _, name := range []string{"ip-hash", "header-hash", "cookie-hash"} {
		eps, p := endpoints(1, 1), pickers()[name]
		before := count(p, eps, 500)
		eps[1].SlowStart(time.Now(), time.Hour)
		if after := count(p, eps, 500); after[1] != before[1] {
			t.Errorf("%s: got %d keys in a slow start and %d before, want the same", name, after[1], before[1])
		}
	}
}

func TestLoadsCompareAsQuotients(t *testing.T) {
	for _, tt := range []struct {
		a, b load
		want bool
	}{
		{load{1, 2}, load{1, 1}, true},
		{load{1, 1}, load{1, 2}, false},
		{load{2, 4}, load{1, 2}, false},
		{load{0, 1}, load{0, 1000}, false},
		{load{0, 1}, load{1, 1000_000}, true},
		{load{1 << 40, 1}, noLimit, true},
		{noLimit, load{1 << 40, 1}, false},
	} {
		if got := tt.a.below(tt.b); got != tt.want {
			t.Errorf("%v below %v: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
