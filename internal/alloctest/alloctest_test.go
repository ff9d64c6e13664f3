package alloctest

import "testing"

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestMoreThanTheMostFails(t *testing.T) {
	var kept [][]byte
	allocating := func(n int) func() {
		return func() {
			for range n {
				kept = append(kept[:0], make([]byte, 64))
			}
		}
	}
	for _, tt := range []struct {
		n    int
		want bool
	}{{0, false}, {2, false}, {3 + dropped, true}} {
		r := &recorder{TB: t}
		if AtMost(r, 2, 100, allocating(tt.n)); r.failed != tt.want {
			t.Errorf("%d allocations where 2 are allowed: failed is %v", tt.n, r.failed)
		}
	}
}
