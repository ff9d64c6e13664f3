package balance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/exchange"
)

// endpoints returns one for each weight, called a, b, c, …; from 27 on, the
// names are not for reading.
func endpoints(weights ...int) []*Endpoint {
	eps := make([]*Endpoint, len(weights))
	for i, w := range weights {
		eps[i] = &Endpoint{Key: string(rune('a' + i))}
		eps[i].SetWeight(w)
	}
	return eps
}

// alike returns n of weight 1.
func alike(n int) []*Endpoint { return endpoints(make([]int, n)...) }

// picks returns the keys of n picks, one after the other.
func picks(p Picker, eps []*Endpoint, n int) (keys string) {
	for range n {
		keys += eps[p.Pick(nil, eps)].Key
	}
	return keys
}

// count returns how often each of eps is picked in n requests, each of another client.
func count(p Picker, eps []*Endpoint, n int) []int {
	counts := make([]int, len(eps))
	for i := range n {
		counts[p.Pick(requestOf(i), eps)]++
	}
	return counts
}

// requestOf returns the request of the client called number i, which shows in
// its address, the header X-Client and the cookie sid.
func requestOf(i int) *http.Request {
	x, _, r := exchange.Begin(nil, &http.Request{Header: http.Header{
		"X-Client": {fmt.Sprintf("client-%d", i)},
		"Cookie":   {fmt.Sprintf("theme=dark; sid=%d", i)},
	}})
	x.Client = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return r
}

// pickers returns one of every method there is, by its name.
func pickers() map[string]Picker {
	out := map[string]Picker{}
	for _, m := range methods {
		arg := map[string]string{"header": "x-client", "cookie": "sid"}[m.arg]
		out[m.name] = New(Options{m.name, arg}, new(Turns))
	}
	if p, ok := out["random-two"].(*randomTwo); ok {
		p.below = seeded()
	}
	return out
}

// seeded returns a source of chance that is the same in every run.
func seeded() func(int64) int64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	return func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Int64N(n)
	}
}

// checkShares fails if counts are not spread by the weights of eps. For up to
// ten endpoints chi-square exceeds 60 by chance in less than one of 10⁸ cases.
func checkShares(t *testing.T, counts []int, eps []*Endpoint) {
	t.Helper()
	n, weights := 0, 0
	for i, e := range eps {
		n += counts[i]
		weights += e.Weight()
	}
	chi := 0.0
	for i, e := range eps {
		want := float64(n) * float64(e.Weight()) / float64(weights)
		chi += (float64(counts[i]) - want) * (float64(counts[i]) - want) / want
	}
	if chi > 60 {
		t.Errorf("counts %v are not by weight: chi-square is %.0f, want at most 60", counts, chi)
	}
}

func TestEveryPickerSharesByWeight(t *testing.T) {
	for name, p := range pickers() {
		t.Run(name, func(t *testing.T) {
			for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1, 1}, {1, 2, 3, 5, 9}, {1000, 100}} {
				eps := endpoints(weights...)
				checkShares(t, count(p, eps, 5000), eps)
			}
		})
	}
}

// Whatever the others do at the same time: retries see some of the endpoints,
// weights change, requests begin and end.
func TestEveryPickerStaysWithinWhatItIsGiven(t *testing.T) {
	for name, p := range pickers() {
		t.Run(name, func(t *testing.T) {
			eps := endpoints(3, 1, 1, 2)
			var all sync.WaitGroup
			for g := range eps {
				all.Go(func() {
					for i := range 500 {
						some := eps[i%len(eps):]
						at := p.Pick(requestOf(i), some)
						if at < 0 || at >= len(some) {
							t.Errorf("picked %d of %d", at, len(some))
							return
						}
						some[at].InFlight.Add(int64(1 - i%2*2))
						eps[g].SetWeight(i % 5)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestNoPickAllocates(t *testing.T) {
	r, bare := requestOf(1), requestOf(1)
	bare.Header = http.Header{}
	for name, p := range pickers() {
		for kind, eps := range map[string][]*Endpoint{"equal": alike(10), "weighted": endpoints(5, 1, 1)} {
			for _, r := range []*http.Request{r, bare} {
				if allocs := testing.AllocsPerRun(100, func() { p.Pick(r, eps) }); allocs != 0 {
					t.Errorf("%s of %s endpoints, header %v: got %v allocations, want 0", name, kind, r.Header, allocs)
				}
			}
		}
	}
}

func TestWeightsStayInTheirRange(t *testing.T) {
	var e Endpoint
	if got := e.Weight(); got != 1 {
		t.Errorf("weight of a new endpoint is %d, want 1", got)
	}
	for set, want := range map[int]int{-1: 1, 0: 1, 1: 1, 7: 7, 1000: 1000, 1001: 1000, 1 << 40: 1000} {
		if e.SetWeight(set); e.Weight() != want {
			t.Errorf("weight set to %d: got %d, want %d", set, e.Weight(), want)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	r := requestOf(1)
	for _, m := range methods {
		for _, n := range []int{2, 100} {
			for kind, eps := range map[string][]*Endpoint{"": alike(n), "-weighted": alike(n)} {
				if kind != "" {
					eps[0].SetWeight(5)
				}
				p := pickers()[m.name]
				if m.name == "random-two" {
					p = New(Options{Name: m.name}, new(Turns)) // the chance it has in earnest
				}
				b.Run(fmt.Sprintf("%s%s/%d", m.name, kind, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						p.Pick(r, eps)
					}
				})
			}
		}
	}
}
