// Package alloctest counts allocations in tests.
package alloctest

import "testing"

// AtMost fails the test if f allocates more than most times, on the average of
// that many runs. Under the race detector, which has pools drop at random what
// they are given, it is generous; make unit runs these tests without it as well.
func AtMost(t testing.TB, most float64, runs int, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(runs, f); got > most+dropped {
		t.Errorf("%v allocations, want %v at most", got, most+dropped)
	}
}
