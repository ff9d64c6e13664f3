package balance

import (
	"net/http/httptest"
	"testing"
)

// What is foreseen is what comes, however often it was asked for.
func TestForeseeLeavesNoTrace(t *testing.T) {
	for _, m := range methods {
		if m.name == "random-two" {
			continue // chance decides
		}
		o := Options{Name: m.name}
		if m.arg != "" {
			o.Arg = "X-Key"
		}
		for _, weights := range [][]int{{1, 1, 1}, {5, 1, 1}} {
			var turns Turns
			var eps []*Endpoint
			for i, w := range weights {
				e := &Endpoint{Key: string(rune('a' + i))}
				e.SetWeight(w)
				eps = append(eps, e)
			}
			real := New(o, &turns)
			for n := range 20 {
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = "192.0.2.1:1000"
				r.Header.Set("X-Key", string(rune('a'+n)))
				want := Foresee(o, &turns).Pick(r, eps)
				if again := Foresee(o, &turns).Pick(r, eps); again != want {
					t.Fatalf("%s %v, pick %d: first %d, then %d", m.name, weights, n, want, again)
				}
				if got := real.Pick(r, eps); got != want {
					t.Fatalf("%s %v, pick %d: %d was foreseen, and %d came", m.name, weights, n, want, got)
				}
			}
		}
	}
}

func TestOptionsAsWritten(t *testing.T) {
	for want, o := range map[string]Options{"round-robin": {}, "least-conn": {Name: "least-conn"}, "header-hash:X-Key": {"header-hash", "X-Key"}} {
		if got := o.Written(); got != want {
			t.Errorf("%+v is written %q, want %q", o, got, want)
		}
	}
}
