package main

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

// BenchmarkStartToRouted measures from the start event to the first request
// that the new container answered, beside 100 others: the app listens at once.
func BenchmarkStartToRouted(b *testing.B) {
	w := newWorld(b)
	w.listen("any", "0.0.0.0", nil)
	for i := range 100 {
		name := fmt.Sprint("old", i)
		w.engine.Run(w.fill(labelled(name, "host="+name+".test")))
	}
	p := w.start("--log-level", "warn", "--access-log", "off")
	p.settle()
	calls := w.engine.Count(dockertest.Inspect)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("new", i)
		id := w.engine.Create(w.fill(labelled(name, "host="+name+".test")))
		began := time.Now()
		w.engine.Start(id)
		p.await(name+".test", 200, "any ")
		took = append(took, time.Since(began))
		b.StopTimer()
		w.engine.Remove(id)
		b.StartTimer()
	}
	report(b, took)
	b.ReportMetric(float64(w.engine.Count(dockertest.Inspect)-calls)/float64(len(took)), "inspects/change")
}

// BenchmarkKillToLast measures from a kill event until the proxy sends no more
// requests to that container.
func BenchmarkKillToLast(b *testing.B) {
	w := newWorld(b)
	w.run(inProject(labelled("stays", "host=app.test"), "shop", "web"), nil)
	p := w.start("--log-level", "warn", "--access-log", "off")
	p.await("app.test", 200, "stays ")
	l := p.load(4, "app.test", nil)
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		a, id := w.run(inProject(labelled("leaves", "host=app.test"), "shop", "web"), nil)
		p.await("app.test", 200, "leaves ")
		b.StartTimer()
		killed := time.Now()
		w.engine.Kill(id, 15)
		l.more(50)
		seen := a.requests()
		took = append(took, max(0, seen[len(seen)-1].at.Sub(killed)))
		b.StopTimer()
		a.close()
		w.engine.Die(id, 0)
		w.engine.Remove(id)
		b.StartTimer()
	}
	l.noneFailed()
	report(b, took)
}

// BenchmarkChangeToLive measures one change among 10,000 containers: from the
// snapshot to the table that serves it.
func BenchmarkChangeToLive(b *testing.B) {
	const n = 10_000
	w := newWorld(b)
	p := w.start("--log-level", "error", "--access-log", "off")
	snap := spec.Snapshot{Self: spec.Self{HostNet: true, Bridges: true}}
	for i := range n {
		snap.Workloads = append(snap.Workloads, workload(i, spec.Created))
	}
	p.watch.fromEngine(snap)
	eventually(b, "10,000 hosts are routed", func() bool { return len(p.watch.live.Table().View().Routes) == n })
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		next := snap
		next.Workloads = slices.Clone(snap.Workloads)
		at := i * 7919 % n
		next.Workloads[at] = workload(at, []spec.State{spec.Created, spec.Exited}[i%2])
		next.Workloads[at].Labels["fairlead.header.response.X-Change"] = fmt.Sprint(i)
		snap = next
		before := p.watch.live.Table()
		b.StartTimer()
		began := time.Now()
		p.watch.fromEngine(next)
		for p.watch.live.Table() == before {
			if time.Since(began) > patience {
				b.Fatal("the change did not go live")
			}
		}
		took = append(took, time.Since(began))
	}
	report(b, took)
}

func workload(i int, state spec.State) *spec.Workload {
	return &spec.Workload{
		ID: fmt.Sprintf("%064d", i), Name: fmt.Sprint("c", i), State: state, Exposed: []int{8080}, Created: time.Unix(1, 0),
		Labels:   map[string]string{"fairlead.host": fmt.Sprintf("h%d.test", i)},
		Networks: []spec.Attachment{{Network: "apps", Driver: "bridge", IPv4: netip.AddrFrom4([4]byte{127, 255, byte(i >> 8), byte(i)})}},
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)-1]), "ms-worst")
}
