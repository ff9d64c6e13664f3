package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

func TestFirstSnapshotIsComplete(t *testing.T) {
	e := dockertest.New(t)
	for i := range 20 {
		e.Run(dockertest.Container{Name: fmt.Sprintf("c%02d", i), Expose: []int{8080, 80}})
	}
	e.Create(dockertest.Container{Name: "new"})
	e.Delay(dockertest.Inspect, 5*time.Millisecond)
	s := run(t, e, nil).first()
	if got, want := len(s.Workloads), 21; got != want {
		t.Fatalf("%d workloads in the first snapshot, want %d", got, want)
	}
	for i, x := range s.Workloads {
		if x.Name != "new" && (x.State != spec.Running || x.StartedAt.IsZero() || addrs(x) == "") {
			t.Errorf("%s is incomplete: %+v", x.Name, x)
		}
		if i > 0 && s.Workloads[i-1].ID >= x.ID {
			t.Errorf("workloads are not sorted by ID")
		}
	}
	onlyGETs(t, e)
}

func TestWorkloadSaysWhatTheEngineSays(t *testing.T) {
	e := dockertest.New(t)
	e.AddNetwork(dockertest.Network{Name: "shop_default", Labels: map[string]string{"com.docker.compose.network": "default"}})
	e.Run(dockertest.Container{
		Name: "shop-web-1", Networks: []string{"shop_default"}, Expose: []int{9000, 80}, Publish: map[int]string{80: "0.0.0.0:8080"}, Health: "starting",
		Labels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "fairlead.host": "shop.example.com"},
	})
	x := find(run(t, e, nil).first(), "shop-web-1")
	if x.Project != "shop" || x.Service != "web" || x.OneOff || x.Health != spec.HealthStarting || x.HostNet || x.Labels["fairlead.host"] != "shop.example.com" {
		t.Errorf("got %+v", x)
	}
	if got, want := fmt.Sprint(x.Exposed, x.Published), "[80 9000] [{80 0.0.0.0:8080}]"; got != want {
		t.Errorf("ports = %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(x.Networks), "[{shop_default default bridge 172.18.0.2 invalid IP}]"; got != want {
		t.Errorf("networks = %s, want %s", got, want)
	}
}

// What happens to a container, and what it is then.
func TestStates(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      dockertest.Container
		do     func(e *dockertest.Engine, id string)
		want   spec.State
		reason string
		addrs  string
	}{
		{"started", dockertest.Container{}, func(*dockertest.Engine, string) {}, spec.Running, "", "bridge=172.17.0.2"},
		{"paused", dockertest.Container{}, (*dockertest.Engine).Pause, spec.Paused, "", "bridge=172.17.0.2"},
		{"unpaused", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Pause(id); e.Unpause(id) }, spec.Running, "", "bridge=172.17.0.2"},
		{"killed with TERM", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Kill(id, 15) }, spec.Draining, "told to stop with SIGTERM", "bridge=172.17.0.2"},
		{"killed with KILL", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Kill(id, 9) }, spec.Draining, "told to stop with SIGKILL", "bridge=172.17.0.2"},
		{"killed with its own signal by name", dockertest.Container{StopSignal: "SIGQUIT"}, func(e *dockertest.Engine, id string) { e.Kill(id, 3) }, spec.Draining, "told to stop with SIGQUIT", "bridge=172.17.0.2"},
		{"killed with its own signal by number", dockertest.Container{StopSignal: "37"}, func(e *dockertest.Engine, id string) { e.Kill(id, 37) }, spec.Draining, "told to stop with signal 37", "bridge=172.17.0.2"},
		{"killed with TERM, which is not its signal", dockertest.Container{StopSignal: "QUIT"}, func(e *dockertest.Engine, id string) { e.Kill(id, 15) }, spec.Running, "", "bridge=172.17.0.2"},
		{"killed with HUP", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Kill(id, 1) }, spec.Running, "", "bridge=172.17.0.2"},
		{"out of memory in a child", dockertest.Container{}, (*dockertest.Engine).OOM, spec.Running, "", "bridge=172.17.0.2"},
		{"out of memory", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.OOM(id); e.Die(id, 137) }, spec.Exited, "exited with code 137, out of memory", ""},
		{"stopped", dockertest.Container{}, (*dockertest.Engine).Stop, spec.Exited, "exited with code 0 after SIGTERM", ""},
		{"crashed", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Die(id, 3) }, spec.Exited, "exited with code 3; docker logs says why", ""},
		{"crashed, to be restarted", dockertest.Container{Restart: "always"}, func(e *dockertest.Engine, id string) { e.Die(id, 3) }, spec.Restarting, "exited with code 3; docker logs says why", ""},
		{"restarted", dockertest.Container{Restart: "always"}, func(e *dockertest.Engine, id string) { e.Die(id, 3); e.Start(id) }, spec.Running, "", "bridge=172.17.0.2"},
		{"removed", dockertest.Container{}, (*dockertest.Engine).Remove, spec.Gone, "removed", ""},
		{"disconnected", dockertest.Container{Networks: []string{"bridge", "back"}}, func(e *dockertest.Engine, id string) { e.Disconnect(id, "bridge") }, spec.Running, "", "back=172.18.0.2"},
		{"connected", dockertest.Container{}, func(e *dockertest.Engine, id string) { e.Connect(id, "back") }, spec.Running, "", "back=172.18.0.2 bridge=172.17.0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			e.AddNetwork(dockertest.Network{Name: "back"})
			w := run(t, e, nil)
			w.first()
			tt.c.Name = "web"
			id := e.Run(tt.c)
			w.state("web", spec.Running)
			e.ResetCalls()
			tt.do(e, id)
			e.Run(dockertest.Container{Name: "after"}) // events come in order: once it is there, all before it were seen
			w.state("after", spec.Running)
			x := w.state("web", tt.want)
			if got := addrs(x); got != tt.addrs {
				t.Errorf("addresses = %q, want %q", got, tt.addrs)
			}
			if x.Reason != tt.reason {
				t.Errorf("reason = %q, want %q", x.Reason, tt.reason)
			}
			if n := e.Count(dockertest.Inspect); n > 1+2 {
				t.Errorf("%d inspects for two changes and a start, want 3 at most", n)
			}
		})
	}
}

func TestRemovalIsPublishedWithoutAskingTheEngine(t *testing.T) {
	for name, do := range map[string]func(e *dockertest.Engine, id string){
		"kill":       func(e *dockertest.Engine, id string) { e.Kill(id, 15) },
		"die":        func(e *dockertest.Engine, id string) { e.Die(id, 1) },
		"pause":      (*dockertest.Engine).Pause,
		"destroy":    (*dockertest.Engine).Remove,
		"disconnect": func(e *dockertest.Engine, id string) { e.Disconnect(id, "bridge") },
	} {
		t.Run(name, func(t *testing.T) {
			e := dockertest.New(t)
			id := e.Run(dockertest.Container{Name: "web"})
			w := run(t, e, nil)
			before := find(w.first(), "web")
			t.Cleanup(e.Hang(dockertest.Inspect))
			t.Cleanup(e.Hang(dockertest.List))
			e.ResetCalls()
			do(e, id)
			w.until("a change of web", func(s spec.Snapshot) bool { return find(s, "web") != before })
			if calls := e.Calls(); len(calls) != 0 {
				t.Errorf("engine calls before the removal was published: %v, want none", calls)
			}
		})
	}
}

// A container may start at any moment of the start of the proxy.
func TestStartBetweenSubscribeAndListIsSeen(t *testing.T) {
	for _, endpoint := range []string{dockertest.Info, dockertest.Events, dockertest.List, dockertest.Networks, dockertest.Inspect} {
		t.Run(endpoint, func(t *testing.T) {
			e := dockertest.New(t)
			e.Run(dockertest.Container{Name: "old"})
			leaves := e.Run(dockertest.Container{Name: "leaves"})
			e.Before(endpoint, func() {
				e.Run(dockertest.Container{Name: "web"})
				e.Stop(leaves)
			})
			w := run(t, e, nil)
			w.state("web", spec.Running)
			w.state("leaves", spec.Exited)
			w.state("old", spec.Running)
		})
	}
}

// The list finds what no event told.
func TestLostEventIsFoundByTheList(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(e *dockertest.Engine, id string)
		ok   func(before, now *spec.Workload) bool
	}{
		{"stop", (*dockertest.Engine).Stop, func(_, x *spec.Workload) bool { return x.State == spec.Exited && x.Networks == nil }},
		{"pause", (*dockertest.Engine).Pause, func(_, x *spec.Workload) bool { return x.State == spec.Paused }},
		{"destroy", (*dockertest.Engine).Remove, func(_, x *spec.Workload) bool { return x.State == spec.Gone }},
		{"rename", func(e *dockertest.Engine, id string) { e.Rename(id, "other") }, func(_, x *spec.Workload) bool { return x.Name == "other" }},
		{"health", func(e *dockertest.Engine, id string) { e.SetHealth(id, "unhealthy") }, func(_, x *spec.Workload) bool { return x.Health == spec.Unhealthy }},
		{"restart with the same address", func(e *dockertest.Engine, id string) { e.Stop(id); e.Start(id) },
			func(b, x *spec.Workload) bool { return x.StartedAt.After(b.StartedAt) && addrs(x) == addrs(b) }},
		{"connect", func(e *dockertest.Engine, id string) { e.Connect(id, "back") }, func(_, x *spec.Workload) bool { return len(x.Networks) == 2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			e.AddNetwork(dockertest.Network{Name: "back"})
			id := e.Run(dockertest.Container{Name: "web"})
			e.Run(dockertest.Container{Name: "beside"})
			w := run(t, e, func(c *Config) { c.Timing.Reconcile = 20 * time.Millisecond })
			s := w.first()
			before, beside := find(s, "web"), find(s, "beside")
			e.Lose(func(string, string) bool { return true })
			e.ResetCalls()
			tt.do(e, id)
			s = w.until(tt.name, func(s spec.Snapshot) bool {
				for _, x := range s.Workloads {
					if x.ID == id {
						return tt.ok(before, x)
					}
				}
				return false
			})
			if find(s, "beside") != beside {
				t.Errorf("an unchanged workload has another pointer")
			}
			lists := e.Count(dockertest.List)
			eventually(t, "some more lists", func() bool { return e.Count(dockertest.List) > lists+5 })
			if n := e.Count(dockertest.Inspect); n > 2 {
				t.Errorf("%d inspects after %s, want 2 at most", n, tt.name)
			}
		})
	}
}

func TestLostStartIsFoundByTheList(t *testing.T) {
	e := dockertest.New(t)
	w := run(t, e, func(c *Config) { c.Timing.Reconcile = 20 * time.Millisecond })
	w.first()
	e.Lose(func(string, string) bool { return true })
	e.Run(dockertest.Container{Name: "web"})
	if x := w.state("web", spec.Running); addrs(x) != "bridge=172.17.0.2" || x.StartedAt.IsZero() {
		t.Errorf("got %+v", x)
	}
}

// No snapshot may ever say that two containers have one address: requests for
// the first would reach the second.
func TestAddressThatIsHandedOnHasOneOwner(t *testing.T) {
	e := dockertest.New(t)
	w := run(t, e, nil)
	w.first()
	a := e.Run(dockertest.Container{Name: "a"})
	b := e.Create(dockertest.Container{Name: "b"})
	w.state("a", spec.Running)
	for i := range 50 {
		if i%2 == 0 {
			e.Stop(a)
			e.Start(b)
		} else {
			e.Die(b, 1)
			e.Start(a)
		}
	}
	e.Run(dockertest.Container{Name: "after"})
	w.state("after", spec.Running)
	w.state("a", spec.Running)
	oneOwnerEach(w)
}

func oneOwnerEach(w *watch) {
	w.t.Helper()
	for _, s := range w.all() {
		owners := map[netip.Addr]string{}
		for _, x := range s.Workloads {
			for _, n := range x.Networks {
				if o := owners[n.IPv4]; o != "" {
					w.t.Fatalf("%s and %s both have %s:\n%s", o, x.Name, n.IPv4, dump(s))
				}
				owners[n.IPv4] = x.Name
			}
		}
	}
}

// The same where no event told of it, and the engine is slow to say more: the
// list alone is enough to stop sending requests to another's address.
func TestAddressThatIsHandedOnUnseen(t *testing.T) {
	e := dockertest.New(t)
	a := e.Run(dockertest.Container{Name: "a"})
	b := e.Run(dockertest.Container{Name: "b"})
	w := run(t, e, func(c *Config) { c.Timing.Burst = 20 * time.Millisecond })
	w.first()
	for range 5 {
		was := e.Addr(a, "bridge")
		e.Delay(dockertest.Inspect, 100*time.Millisecond)
		e.Lose(func(string, string) bool { return true })
		e.Stop(a)
		e.Stop(b)
		e.Start(b)
		e.Start(a)
		e.Run(dockertest.Container{})
		e.Lose(nil)
		e.Cut()
		w.until("a at another address", func(s spec.Snapshot) bool {
			x := find(s, "a")
			return len(x.Networks) == 1 && x.Networks[0].IPv4 != was && x.Networks[0].IPv4 == e.Addr(a, "bridge")
		})
		w.until("b at its own", func(s spec.Snapshot) bool {
			x := find(s, "b")
			return len(x.Networks) == 1 && x.Networks[0].IPv4 == e.Addr(b, "bridge")
		})
		e.Stop(a)
		e.Stop(b)
		e.Start(a)
		e.Start(b)
		w.until("a at its first address", func(s spec.Snapshot) bool {
			x, y := find(s, "a"), find(s, "b")
			return len(x.Networks) == 1 && x.Networks[0].IPv4 == was && len(y.Networks) == 1
		})
	}
	oneOwnerEach(w)
}

func TestCrashLoopTouchesNobodyElse(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "beside"})
	w := run(t, e, nil)
	beside := find(w.first(), "beside")
	id := e.Run(dockertest.Container{Name: "crash", Restart: "always"})
	for range 20 {
		e.Die(id, 1)
		w.state("crash", spec.Restarting)
		e.Start(id)
		w.state("crash", spec.Running)
	}
	for i, s := range w.all() {
		if find(s, "beside") != beside {
			t.Fatalf("snapshot %d: an unchanged workload has another pointer", i)
		}
	}
}

func TestIgnoredStopSignalIsTakenBack(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, func(c *Config) { c.Timing.Stop, c.Timing.DrainGrace = 30*time.Millisecond, 20*time.Millisecond })
	before := w.state("web", spec.Running)
	e.ResetCalls()
	e.Kill(id, 15)
	w.state("web", spec.Draining)
	after := w.state("web", spec.Running)
	if !after.StartedAt.Equal(before.StartedAt) || after.Reason != "" {
		t.Errorf("got %+v, want the run before without a reason", after)
	}
	if n := e.Count(dockertest.Inspect); n != 1 {
		t.Errorf("%d inspects, want 1", n)
	}
	if want := `"signal":"SIGTERM","message":"container ignored its stop signal and was taken back"`; !strings.Contains(w.logs.String(), want) {
		t.Errorf("want %s in the log:\n%s", want, w.logs)
	}
}

func TestStopTimeoutOfTheContainerIsWaitedFor(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web", StopTimeout: 3600})
	w := run(t, e, func(c *Config) { c.Timing.Stop, c.Timing.DrainGrace = time.Millisecond, time.Millisecond })
	w.first()
	e.ResetCalls()
	e.Kill(id, 15)
	w.state("web", spec.Draining)
	e.Run(dockertest.Container{Name: "after"})
	s := w.until("after", func(s spec.Snapshot) bool { return find(s, "after") != nil && find(s, "after").State == spec.Running })
	if got := find(s, "web").State; got != spec.Draining {
		t.Errorf("web is %s, want draining", got)
	}
}

func TestRemovedIsRememberedForATime(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web", Labels: map[string]string{"fairlead.host": "a.example.com"}})
	w := run(t, e, func(c *Config) { c.Timing.Remember = 100 * time.Millisecond })
	w.first()
	e.Remove(id)
	if x := w.state("web", spec.Gone); x.Labels["fairlead.host"] == "" {
		t.Errorf("the labels went with it: %+v", x)
	}
	w.until("nothing", func(s spec.Snapshot) bool { return len(s.Workloads) == 0 })
}

// A service that is scaled down has nobody to wait for.
func TestRemovedReplicaIsForgotten(t *testing.T) {
	shop := map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "shop-web-1", Labels: shop})
	w := run(t, e, nil)
	w.first()
	newer := e.Run(dockertest.Container{Name: "shop-web-2", Labels: shop, Created: time.Now().Add(time.Minute)})
	w.state("shop-web-2", spec.Running)
	e.Remove(newer)
	w.until("the older replica alone", func(s spec.Snapshot) bool {
		return len(s.Workloads) == 1 && s.Workloads[0].Name == "shop-web-1"
	})
}

func TestRemovedGivesWayToItsSuccessor(t *testing.T) {
	shop := map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
	run1 := maps.Clone(shop)
	run1["com.docker.compose.oneoff"] = "True"
	for _, tt := range []struct {
		name     string
		old, new dockertest.Container
		stays    bool
	}{
		{"same service", dockertest.Container{Name: "shop-web-1", Labels: shop}, dockertest.Container{Name: "shop-web-2", Labels: shop}, false},
		{"same name", dockertest.Container{Name: "web"}, dockertest.Container{Name: "web"}, false},
		{"other service", dockertest.Container{Name: "shop-web-1", Labels: shop}, dockertest.Container{Name: "web"}, true},
		{"one-off of the service", dockertest.Container{Name: "shop-web-1", Labels: shop}, dockertest.Container{Name: "shop-web-run", Labels: run1}, true},
		{"one-off", dockertest.Container{Name: "run", Labels: map[string]string{"com.docker.compose.oneoff": "True"}}, dockertest.Container{Name: "web"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			old := e.Run(tt.old)
			w := run(t, e, nil)
			w.first()
			e.Remove(old)
			fresh := e.Run(tt.new)
			s := w.until("the successor", func(s spec.Snapshot) bool {
				for _, x := range s.Workloads {
					if x.ID == fresh && x.State == spec.Running {
						return true
					}
				}
				return false
			})
			stays := false
			for _, x := range s.Workloads {
				stays = stays || x.ID == old
			}
			if stays != tt.stays {
				t.Errorf("the removed container is still there: %t, want %t", stays, tt.stays)
			}
		})
	}
}

func TestOneOffIsFlagged(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "run", Labels: map[string]string{"com.docker.compose.oneoff": "True"}})
	e.Run(dockertest.Container{Name: "web", Labels: map[string]string{"com.docker.compose.oneoff": "False"}})
	s := run(t, e, nil).first()
	if !find(s, "run").OneOff || find(s, "web").OneOff {
		t.Errorf("got run %t, web %t, want true, false", find(s, "run").OneOff, find(s, "web").OneOff)
	}
}

func TestSharedNamespaceHasItsOwnersAddresses(t *testing.T) {
	e := dockertest.New(t)
	owner := e.Run(dockertest.Container{Name: "vpn", Publish: map[int]string{80: "127.0.0.1:8080"}, Expose: []int{80}})
	e.Run(dockertest.Container{Name: "app", Mode: "container:" + owner, Labels: map[string]string{"fairlead.host": "a"}})
	e.Run(dockertest.Container{Name: "other"})
	w := run(t, e, func(c *Config) { c.Wants = func(l map[string]string) bool { return l["fairlead.host"] != "" } })
	w.first()
	x := w.state("app", spec.Running)
	if x.NetworkOf != "vpn" || addrs(x) != "bridge=172.17.0.2" || len(x.Published) != 1 {
		t.Errorf("got %+v, want the address and ports of vpn", x)
	}
	e.Rename(owner, "tunnel")
	w.until("the new name", func(s spec.Snapshot) bool { return find(s, "app").NetworkOf == "tunnel" })
	before := find(w.all()[len(w.all())-1], "tunnel").StartedAt
	e.Stop(owner)
	e.Start(owner)
	// The namespace that app joined is no more.
	w.until("a restarted tunnel, and app without an address", func(s spec.Snapshot) bool {
		o := find(s, "tunnel")
		return o.State == spec.Running && o.StartedAt.After(before) && addrs(o) != "" && addrs(find(s, "app")) == ""
	})
}

func TestHostNetwork(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "web", Mode: "host"})
	if x := find(run(t, e, nil).first(), "web"); !x.HostNet || x.Networks != nil {
		t.Errorf("got %+v, want HostNet without networks", x)
	}
}

func TestUnwantedContainersCostNoInspect(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "db", Expose: []int{5432}})
	w := run(t, e, func(c *Config) {
		c.Wants = func(l map[string]string) bool { return l["fairlead.host"] != "" }
		c.Timing.Reconcile = 20 * time.Millisecond
	})
	x := find(w.first(), "db")
	if x.State != spec.Running || addrs(x) != "bridge=172.17.0.2" || fmt.Sprint(x.Exposed) != "[5432]" {
		t.Errorf("got %+v, want what the list says", x)
	}
	id := e.Run(dockertest.Container{Name: "cache"})
	w.until("its address", func(s spec.Snapshot) bool { return find(s, "cache") != nil && addrs(find(s, "cache")) != "" })
	e.Remove(id)
	w.until("its end", func(s spec.Snapshot) bool { return find(s, "cache") == nil })
	if n := e.Count(dockertest.Inspect); n != 0 {
		t.Errorf("%d inspects of containers nobody wants, want 0", n)
	}
}

func TestOnlyTheChosenProjects(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "in", Labels: map[string]string{"com.docker.compose.project": "shop"}})
	e.Run(dockertest.Container{Name: "out", Labels: map[string]string{"com.docker.compose.project": "blog"}})
	self := e.Run(dockertest.Container{Name: "proxy"})
	s := run(t, e, func(c *Config) { c.Projects = []string{"shop"}; c.SelfID = func() string { return self[:12] } }).first()
	if find(s, "in") == nil || find(s, "out") != nil || find(s, "proxy") == nil {
		t.Errorf("got:\n%s\nwant in and proxy", dump(s))
	}
	if x := find(s, "proxy"); x.Source != spec.FromSelf || s.Self.ID != self {
		t.Errorf("self is not recognised: %+v, %+v", x, s.Self)
	}
}

func TestBurstOfAThousand(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "beside"})
	w := run(t, e, nil)
	beside := find(w.first(), "beside")
	e.ResetCalls()
	began := time.Now()
	const n = 1000
	for i := range n {
		e.Run(dockertest.Container{Name: fmt.Sprintf("c%04d", i)})
	}
	s := w.until("all of them running", func(s spec.Snapshot) bool {
		running := 0
		for _, x := range s.Workloads {
			if x.State == spec.Running && addrs(x) != "" {
				running++
			}
		}
		return running == n+1
	})
	t.Logf("%d containers in %s, %d snapshots, calls %v", n, time.Since(began), len(w.all()), e.Calls())
	if find(s, "beside") != beside {
		t.Errorf("an unchanged workload has another pointer")
	}
	total := 0
	for _, k := range e.Calls() {
		total += k
	}
	if total > 2*n {
		t.Errorf("%d engine calls for %d changes, want 2 each at most", total, n)
	}
	onlyGETs(t, e)
}

func TestKillRightAfterTheStartIsNotForgotten(t *testing.T) {
	e := dockertest.New(t)
	w := run(t, e, nil)
	w.first()
	e.Delay(dockertest.Inspect, 20*time.Millisecond)
	id := e.Run(dockertest.Container{Name: "web"})
	e.Kill(id, 15)
	w.state("web", spec.Draining)
	for _, s := range w.all() {
		if x := find(s, "web"); x != nil && x.State == spec.Running {
			t.Errorf("web was shown running after its stop signal:\n%s", dump(s))
		}
	}
}

func TestLabelsThatLookLikeAttributesHarmNobodyElse(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "beside"})
	id := e.Run(dockertest.Container{Name: "web", Labels: map[string]string{"signal": "9", "name": "beside", "exitCode": "0", "container": "x"}})
	w := run(t, e, nil)
	beside := find(w.first(), "beside")
	e.Kill(id, 1)
	w.state("web", spec.Draining) // its own label says so, to its own harm
	e.Die(id, 5)
	s := w.until("web exited", func(s spec.Snapshot) bool { return find(s, "web").State == spec.Exited })
	if find(s, "beside") != beside {
		t.Error("an unchanged workload has another pointer")
	}
}
