package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// A container that starts between the subscription and the list, or while the
// list is being answered, is routed.
func TestFaultStartInTheGapBetweenListAndSubscription(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{dockertest.Ping, dockertest.Info, dockertest.Events, dockertest.List, dockertest.Inspect} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.listen("any", "0.0.0.0", nil)
			w.engine.Run(w.fill(labelled("old", "host=old.test")))
			w.engine.Before(moment, func() { w.engine.Run(w.fill(labelled("gap", "host=gap.test"))) })
			p := w.start()
			began := time.Now()
			p.await("gap.test", 200, "any ")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("routed after %s, want 1s", took)
			}
		})
	}
}

func TestFaultALostEventIsFoundByTheNextList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stays, _ := w.run(labelled("stays", "host=stays.test"), nil)
	_, leaves := w.run(labelled("leaves", "host=leaves.test"), nil)
	p := w.start()
	p.await("stays.test", 200, stays.name)
	p.await("leaves.test", 200, "leaves ")
	l := p.load(2, "stays.test", nil)
	w.engine.Lose(func(string, string) bool { return true })
	w.run(labelled("lost", "host=lost.test"), nil)
	w.engine.Remove(leaves)
	w.engine.Lose(nil)
	p.await("lost.test", 200, "lost ")
	p.await("leaves.test", 503, "no-endpoint")
	l.noneFailed()
}

func TestFaultSlowEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("old", "host=old.test"), nil)
	p := w.start()
	p.await("old.test", 200, "old ")
	l := p.load(2, "old.test", nil)
	for _, e := range []string{dockertest.Inspect, dockertest.List} {
		w.engine.Delay(e, 300*time.Millisecond)
	}
	w.run(labelled("new", "host=new.test"), nil)
	p.await("new.test", 200, "new ")
	l.noneFailed()
}

func TestFaultEngineAwayTenTimesUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("old", "host=old.test"), nil)
	p := w.start()
	p.await("old.test", 200, "old ")
	l := p.load(2, "old.test", nil)
	for i := range 10 {
		w.engine.Down()
		l.more(20)
		name := fmt.Sprint("new", i)
		w.run(labelled(name, "host="+name+".test"), nil)
		if err := w.engine.Up(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.await(name+".test", 200, name)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("round %d: routed %s after the engine was back, want 2s", i, took)
		}
	}
	l.noneFailed()
}

func TestFaultEngineAwayIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("old", "host=old.test"), nil)
	p := w.start()
	p.await("old.test", 200, "old ")
	w.engine.Down()
	eventually(t, "the table is marked as stale", func() bool { return strings.Contains(p.view().Stale, "unreachable") })
	out, err := command("routes", "--admin", p.admin.Socket)
	if err != nil || !strings.Contains(out, "MAY BE OUT OF DATE: engine unreachable since") || !strings.Contains(out, "old.test") {
		t.Errorf("routes = %q, %v; want the routes, marked", out, err)
	}
	if len(p.lines(`"level":"error"`, "engine unreachable")) == 0 {
		t.Error("no line of the log says that the engine is away")
	}
	if got, err := command("health", "--admin", p.admin.Socket); err != nil || !strings.Contains(got, "ready") {
		t.Errorf("health = %q, %v; want ready: it goes on serving", got, err)
	}
	if err := w.engine.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mark is gone", func() bool { return p.view().Stale == "" })
}

func TestFaultAThousandContainersAtOnce(t *testing.T) {
	t.Parallel()
	const n = 1000
	w := newWorld(t)
	w.listen("any", "0.0.0.0", nil)
	w.engine.Run(w.fill(labelled("old", "host=old.test")))
	p := w.start("--log-level", "warn")
	p.await("old.test", 200, "any ")
	l := p.load(2, "old.test", nil)
	w.engine.ResetCalls()
	began := time.Now()
	for i := range n {
		name := fmt.Sprint("many", i)
		w.engine.Run(w.fill(labelled(name, "host="+name+".test")))
	}
	emitted := time.Since(began)
	for _, i := range []int{0, n / 3, n / 2, n - 1} {
		p.await(fmt.Sprintf("many%d.test", i), 200, "")
	}
	within(t, 2*patience, "all are ready", func() bool { // 2 s on a quiet machine
		ready := 0
		for _, r := range p.view().Routes {
			for _, e := range r.Endpoints {
				if e.State == "ready" {
					ready++
				}
			}
		}
		return ready == n+1
	})
	took := time.Since(began)
	calls := 0
	for c, k := range w.engine.Calls() {
		if c.Endpoint != dockertest.List {
			calls += k
		}
	}
	if calls > 2*n {
		t.Errorf("%d calls for %d changes, want 2 each at most: %v", calls, n, w.engine.Calls())
	}
	if got := w.engine.Count(dockertest.List); got > 2+int(took/(10*time.Second)) {
		t.Errorf("%d lists in %s, want only the regular ones", got, took)
	}
	t.Logf("%d containers: events sent in %s, all ready after %s, %d calls besides lists", n, emitted, took, calls)
	l.noneFailed()
}

func TestFaultCrashLoopBesideALiveWebsocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	loop := labelled("loop", "host=loop.test")
	loop.Restart = "always"
	id := w.engine.Create(w.fill(loop))
	p := w.start()
	p.await("app.test", 200, "web ")
	s := p.upgrade("app.test")
	l := p.load(3, "app.test", nil)
	for i := range 40 {
		w.engine.Start(id)
		if i%5 == 0 && !s.says(fmt.Sprintf("round %d", i)) {
			t.Fatalf("the websocket ended in round %d", i)
		}
		l.more(5)
		w.engine.Die(id, 1)
		if status, _, err := p.fetch("loop.test", "/"); err != nil || status != 503 && status != 502 {
			t.Errorf("round %d: the crashing app was answered %d, %v; want 503 or 502", i, status, err)
		}
	}
	l.noneFailed()
	if !s.says("still there") {
		t.Error("the websocket ended")
	}
}

// Fifty replacements as compose makes them, old first: nobody is answered by
// an error while one of two is there.
func TestFaultReplacementsUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	service := func(n int) (*app, string) {
		return w.run(inProject(labelled(fmt.Sprint("web-", n), "host=app.test"), "shop", "web"), nil)
	}
	a, ida := service(0)
	p := w.start()
	p.await("app.test", 200, "web-0")
	l := p.load(4, "app.test", nil)
	for i := range 50 {
		b, idb := service(i + 1)
		p.await("app.test", 200, fmt.Sprintf("web-%d ", i+1))
		w.engine.Kill(ida, 15)
		l.more(20) // the app finishes what it has
		a.close()
		w.engine.Die(ida, 0)
		w.engine.Remove(ida)
		a, ida = b, idb
	}
	l.noneFailed()
}

func TestFaultAppThatListensLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, _ := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	p := w.start()
	p.await("app.test", 200, "web-1 ")
	l := p.load(4, "app.test", nil)
	id := w.engine.Run(w.fill(inProject(labelled("web-2", "host=app.test"), "shop", "web")))
	eventually(t, "it is shown as starting", func() bool {
		for _, r := range p.view().Routes {
			for _, e := range r.Endpoints {
				if e.Container == "web-2" && e.State == "starting" && strings.Contains(e.Reason, "nothing listens") {
					return true
				}
			}
		}
		return false
	})
	l.more(100)
	w.listen("web-2", w.engine.Addr(id, "apps").String(), nil)
	p.await("app.test", 200, "web-2 ")
	l.noneFailed()
	if len(old.requests()) == 0 {
		t.Error("the old one got no request")
	}
}

func TestFaultPauseUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, id := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	b, _ := w.run(inProject(labelled("web-2", "host=app.test"), "shop", "web"), nil)
	p := w.start()
	p.await("app.test", 200, "web-1 ")
	p.await("app.test", 200, "web-2 ")
	l := p.load(4, "app.test", nil)
	for range 5 {
		w.engine.Pause(id)
		n := len(b.requests())
		eventually(t, "web-2 has all", func() bool { return len(b.requests()) > n+40 })
		w.engine.Unpause(id)
		p.await("app.test", 200, "web-1 ")
	}
	l.noneFailed()
}
