package routing

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// manyHosts returns n owners with one host each, and paths routes on each.
func manyHosts(n, paths int) spec.Spec {
	var s spec.Spec
	for i := range n {
		s.Units = append(s.Units, oneHost(i, paths, epoch))
	}
	return s
}

func oneHost(i, paths int, started time.Time) *spec.Unit {
	owner := fmt.Sprintf("app%06d", i)
	u := &spec.Unit{Owner: owner}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
	u.Pools = []*spec.Pool{{Key: owner + "/web:80", Endpoints: []spec.Endpoint{{ID: owner, Container: owner, StartedAt: started, State: spec.Running, Scheme: "http", Addr: addr}}}}
	for j := range paths {
		r := &spec.Route{ID: fmt.Sprintf("%s/web.%d", owner, j), Owner: owner, Service: "web", Container: owner + "-web-1", ContainerID: owner, Created: started, Pool: owner + "/web:80"}
		path := spec.Root
		if j > 0 {
			path = spec.Path{Kind: spec.PathPrefix, Text: fmt.Sprintf("/area%d/part", j)}
		}
		r.Matches = []spec.HostPath{{Host: spec.Host{Text: hostName(i)}, Path: path}}
		u.Routes = append(u.Routes, r)
	}
	return u
}

func hostName(i int) string { return fmt.Sprintf("app%06d.example.com", i) }

func benchClaims() *Claims { return &Claims{Grace: 10 * time.Minute} }

func BenchmarkMatch(b *testing.B) {
	for _, paths := range []int{1, 8} {
		for _, n := range []int{10, 1000, 100_000} {
			b.Run(fmt.Sprintf("hosts=%d/paths=%d", n, paths), func(b *testing.B) {
				t := Compile(nil, manyHosts(n, paths), benchClaims(), newEnv(nil), epoch)
				var queries []Query
				for i := range 1024 {
					queries = append(queries, Query{Host: hostName(i * 7919 % n), Path: "/some/page.html", Method: "GET"})
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if t.Match(&queries[i&1023], nil).route == nil {
						b.Fatal("no route")
					}
					i++
				}
			})
		}
	}
}

func BenchmarkMatchPath(b *testing.B) {
	t := Compile(nil, manyHosts(10, 8), benchClaims(), newEnv(nil), epoch)
	for name, path := range map[string]string{"plain": "/assets/app.3f2a.js", "dotfile": "/.well-known/x", "encoded": "/projects/group%2Frepo", "long": "/" + strings.Repeat("a%2f", 2000)} {
		b.Run(name, func(b *testing.B) {
			q := Query{Host: hostName(3), Path: path, Method: "GET"}
			b.ReportAllocs()
			for b.Loop() {
				t.Match(&q, nil)
			}
		})
	}
}

// BenchmarkMatchCanary is a host that two versions share by lot, for a client with
// a lot and for one that draws it.
func BenchmarkMatchCanary(b *testing.B) {
	for name, cookie := range map[string]string{"lot": "session=0123456789abcdef; fairlead_lot=4711; theme=dark", "none": ""} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.read("stable stable@shop\n\thost: app.ex\nbeta beta@shop\n\thost: app.ex\n\tcanary: 10%\n")
			t := w.turn()
			h := http.Header{"Cookie": {cookie}}
			b.ReportAllocs()
			for b.Loop() {
				q := Query{Host: "app.ex", Path: "/some/page.html", Method: "GET", Header: h, Draw: drawLot}
				if t.Match(&q, nil).route == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}

// BenchmarkServe is all that routing costs a request that it answers itself.
func BenchmarkServe(b *testing.B) {
	w := newWorld(b)
	w.read("web web@shop\n\thost: app.ex\n\trespond: 204\n")
	w.turn()
	x, rw, r := exchange.Begin(discard(http.Header{}), httptest.NewRequest("GET", "http://app.ex/some/page.html", nil))
	x.Host, r.RequestURI = "app.ex", "/some/page.html"
	b.ReportAllocs()
	for b.Loop() {
		w.live.ServeHTTP(rw, r)
	}
}

type discard http.Header

func (d discard) Header() http.Header       { return http.Header(d) }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkCompileChange is one container that was replaced, and then the swap.
func BenchmarkCompileChange(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			claims, env, live := benchClaims(), newEnv(nil), &Live{}
			sp := manyHosts(n, 1)
			live.Swap(Compile(nil, sp, claims, env, epoch))
			turn := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				turn++
				next := spec.Spec{Units: slices.Clone(sp.Units)}
				next.Units[turn*31%n] = oneHost(turn*31%n, 1, epoch.Add(time.Duration(turn)*time.Second))
				sp = next
				b.StartTimer()
				live.Swap(Compile(live.Table(), sp, claims, env, epoch))
			}
		})
	}
}

// BenchmarkCompileOneOwner is the same where all hosts are one owner's: the
// routes file, or a very large project.
func BenchmarkCompileOneOwner(b *testing.B) {
	const n = 10_000
	claims, env, live := benchClaims(), newEnv(nil), &Live{}
	all := func(turn int) spec.Spec {
		u := &spec.Unit{Owner: "all"}
		for i := range n {
			started := epoch
			if i == turn*31%n {
				started = epoch.Add(time.Duration(turn) * time.Second)
			}
			one := oneHost(i, 1, started)
			one.Routes[0].Owner = "all"
			u.Routes, u.Pools = append(u.Routes, one.Routes...), append(u.Pools, one.Pools...)
		}
		return spec.Spec{Units: []*spec.Unit{u}}
	}
	live.Swap(Compile(nil, all(0), claims, env, epoch))
	turn := 0
	for b.Loop() {
		b.StopTimer()
		turn++
		sp := all(turn)
		b.StartTimer()
		live.Swap(Compile(live.Table(), sp, claims, env, epoch))
	}
}

func BenchmarkCompileFresh(b *testing.B) {
	sp := manyHosts(10_000, 1)
	for b.Loop() {
		Compile(nil, sp, benchClaims(), newEnv(nil), epoch)
	}
}

func BenchmarkDue(b *testing.B) {
	c := benchClaims()
	for i := range 10_000 {
		c.put(hostName(i), claim{Owner: "x", Since: epoch, Gone: epoch})
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Due(epoch)
	}
}

// BenchmarkMemory reports what one route of one host costs, its pool included.
func BenchmarkMemory(b *testing.B) {
	const n = 10_000
	sp := manyHosts(n, 1)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		t := Compile(nil, sp, benchClaims(), newEnv(nil), epoch)
		live := &Live{}
		live.Swap(t)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(live)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/route")
}

func TestMatchingCostsNoAllocation(t *testing.T) {
	w := newWorld(t)
	w.read("a a@shop\n\thost: app.ex\n\tpath: /, /api, =/x\nb b@shop\n\thost: app.ex\n\tmatch.method: POST\n\tmatch.header.X-Beta: 1\nc c@shop\n\thost: *.wild.ex\nd d@shop\n\thost: *\n")
	table := w.turn()
	for _, url := range []string{"app.ex/", "app.ex/api/v1/x.html", "app.ex/x", "a.wild.ex/y", "other.ex/"} {
		host, path, _ := strings.Cut(url, "/")
		q := Query{Host: host, Path: "/" + path, Method: "POST", Header: http.Header{"X-Beta": {"2"}}, Draw: drawLot}
		if n := testing.AllocsPerRun(100, func() { table.Match(&q, nil) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", url, n)
		}
	}
	w.retireAll()
}

// BenchmarkServeTLS is what the check of the connection adds to BenchmarkServe:
// nothing is served over TLS, the host asks for nothing, or for a lot.
func BenchmarkServeTLS(b *testing.B) {
	for name, tt := range map[string]struct {
		certs  Certificates
		labels string
	}{
		"without certificates": {nil, ""},
		"default":              {&fakeCertificates{}, ""},
		"client certificates":  {&fakeCertificates{}, "\ttls.client-ca: file:/a.pem\n\ttls.min-version: 1.3\n"},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.env.Certificates = tt.certs
			w.read("web web@shop\n\thost: app.ex\n\trespond: 204\n" + tt.labels)
			w.turn()
			rw, r := overTLS("app.ex")
			b.ReportAllocs()
			for b.Loop() {
				w.live.ServeHTTP(rw, r)
			}
		})
	}
}

// overTLS is a GET that came over TLS with a certificate of /a.pem.
func overTLS(host string) (http.ResponseWriter, *http.Request) {
	x, rw, r := exchange.Begin(discard(http.Header{}), httptest.NewRequest("GET", "https://"+host+"/some/page.html", nil))
	x.Host, x.Scheme, r.RequestURI = host, "https", "/some/page.html"
	r.TLS = handshake(host, "file:/a.pem")
	return rw, r
}
