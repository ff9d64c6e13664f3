package discovery

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/strslice"

	"github.com/fairlead/fairlead/spec"
)

func TestStopTimeoutIsWhatDockerStopWaits(t *testing.T) {
	seconds := func(n int) *int { return &n }
	for _, tt := range []struct {
		name    string
		seconds *int
		service string // Swarm's
		want    time.Duration
	}{
		{"none named", nil, "", 10 * time.Second},
		{"45 s", seconds(45), "", 45 * time.Second},
		{"not at all", seconds(0), "", 0},
		{"for ever", seconds(-1), "", endless},
		{"longer than a Duration", seconds(math.MaxInt), "", endless},
		{"a task, whose service has the setting", nil, "web", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoop(&Config{})
			row := fromList(someRow(0))
			l.compare(&row, 0)
			if got := only(t, l).StopTimeout; got != 0 {
				t.Errorf("from a list: %s, want 0, as it is unknown", got)
			}
			c := someInspect(0)
			c.Config.StopTimeout, c.Config.Labels[taskOf] = tt.seconds, tt.service
			l.inspected(answer{id: c.ID, asOf: l.clock.Load(), inspect: c})
			if got := only(t, l).StopTimeout; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// only is the one workload of the next snapshot.
func only(t *testing.T, l *loop) *spec.Workload {
	t.Helper()
	s := l.snapshot()
	if len(s.Workloads) != 1 {
		t.Fatalf("%d workloads, want 1:\n%s", len(s.Workloads), dump(s))
	}
	return s.Workloads[0]
}

// ofWeb is the inspect of a container of the service "web".
func ofWeb(i int) container.InspectResponse {
	c := someInspect(i)
	c.Config.Labels = map[string]string{projectLabel: "shop", serviceLabel: "web"}
	return c
}

// runWeb puts a running container of it into l.
func runWeb(l *loop, i int, alter func(*container.InspectResponse)) (id string) {
	c := ofWeb(i)
	if alter != nil {
		alter(&c)
	}
	l.apply(change{kind: onCreate, id: c.ID, name: strings.TrimPrefix(c.Name, "/"), labels: c.Config.Labels, at: someStart})
	l.inspected(answer{id: c.ID, asOf: l.clock.Load(), inspect: c})
	return c.ID
}

// after is an event so long after the container's start.
func after(d time.Duration, c change) change {
	c.at = someStart.Add(time.Minute + d)
	return c
}

func kill(signal int) change { return change{kind: onKill, signal: signal} }
func die(code int) change    { return change{kind: onDie, code: code} }

// play applies events to one container.
func play(l *loop, id string, events []change) {
	for _, c := range events {
		c.id = id
		l.apply(c)
	}
}

// ignores is docker stop of an app that ignores the signal.
func ignores(signal int) []change {
	return []change{after(0, kill(signal)), after(10*time.Second+14*time.Millisecond, kill(9)), after(10*time.Second+40*time.Millisecond, die(137))}
}

func TestIgnoredStopIsSeen(t *testing.T) {
	term10 := spec.IgnoredStop{Signal: "SIGTERM", After: 10 * time.Second}
	none := spec.IgnoredStop{}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		stopSignal string
		events     []change
		want       spec.IgnoredStop
	}{
		{"docker stop", "", ignores(15), term10},
		{"docker stop with a signal of its own", "SIGQUIT", ignores(3), spec.IgnoredStop{Signal: "SIGQUIT", After: 10 * time.Second}},
		{"docker stop -t 1", "", []change{after(0, kill(15)), after(1005*ms, kill(9)), after(1030*ms, die(137))}, spec.IgnoredStop{Signal: "SIGTERM", After: time.Second}},
		{"docker kill -s TERM, then docker stop", "", append([]change{after(-5*time.Second, kill(15))}, ignores(15)...), term10},
		{"HUP meanwhile", "", []change{after(0, kill(15)), after(time.Second, kill(1)), after(10*time.Second, kill(9)), after(10*time.Second, die(137))}, term10},
		{"SIGKILL twice", "", []change{after(0, kill(15)), after(10*time.Second, kill(9)), after(20*time.Second, kill(9)), after(20*time.Second, die(137))}, term10},
		{"docker stop that is obeyed", "", []change{after(0, kill(15)), after(20*ms, die(0))}, none},
		{"docker stop that is obeyed in the last moment", "", []change{after(0, kill(15)), after(10*time.Second, kill(9)), after(10*time.Second, die(0))}, none},
		{"docker stop -t 0", "", []change{after(0, kill(15)), after(3*ms, kill(9)), after(20*ms, die(137))}, none},
		{"docker kill", "", []change{after(0, kill(9)), after(20*ms, die(137))}, none},
		{"docker rm -f", "", []change{after(0, kill(9)), after(20*ms, die(137)), after(30*ms, change{kind: onDestroy})}, none},
		{"a signal that is not its stop signal, then docker kill", "SIGQUIT", []change{after(0, kill(15)), after(10*time.Second, kill(9)), after(10*time.Second, die(137))}, none},
		{"docker stop with SIGKILL as its signal", "SIGKILL", []change{after(0, kill(9)), after(2*time.Second, die(137))}, none},
		{"out of memory", "", []change{after(0, change{kind: onOOM}), after(0, die(137))}, none},
		{"out of memory while it stops", "", []change{after(0, kill(15)), after(5*time.Second, change{kind: onOOM}), after(5*time.Second, die(137))}, none},
		{"crash", "", []change{after(0, die(2))}, none},
		{"one-off", "", ignores(15), none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoop(&Config{})
			id := runWeb(l, 0, func(c *container.InspectResponse) {
				c.Config.StopSignal = tt.stopSignal
				if tt.name == "one-off" {
					c.Config.Labels["com.docker.compose.oneoff"] = "True"
				}
			})
			play(l, id, tt.events)
			if got := only(t, l).IgnoredStop; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whoever deploys looks at the successor, and only that can be seen: the one
// that was killed is removed.
func TestIgnoredStopIsRememberedForTheSuccessor(t *testing.T) {
	seen := spec.IgnoredStop{Signal: "SIGTERM", After: 10 * time.Second}
	yes := true
	for name, tt := range map[string]struct {
		successor func(*container.InspectResponse)
		want      spec.IgnoredStop
	}{
		"started in the same way":   {func(*container.InspectResponse) {}, seen},
		"with another image":        {func(c *container.InspectResponse) { c.Config.Image = "shop:2" }, seen},
		"with another command":      {func(c *container.InspectResponse) { c.Config.Cmd = strslice.StrSlice{"/app"} }, spec.IgnoredStop{}},
		"with another entrypoint":   {func(c *container.InspectResponse) { c.Config.Entrypoint = strslice.StrSlice{"/app"} }, spec.IgnoredStop{}},
		"with an init":              {func(c *container.InspectResponse) { c.HostConfig.Init = &yes }, spec.IgnoredStop{}},
		"with another stop signal":  {func(c *container.InspectResponse) { c.Config.StopSignal = "SIGINT" }, spec.IgnoredStop{}},
		"of another service":        {func(c *container.InspectResponse) { c.Config.Labels[serviceLabel] = "api" }, spec.IgnoredStop{}},
		"of another project's such": {func(c *container.InspectResponse) { c.Config.Labels[projectLabel] = "blog" }, spec.IgnoredStop{}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(&Config{})
			old := runWeb(l, 0, nil)
			l.snapshot()
			play(l, old, append(ignores(15), after(11*time.Second, change{kind: onDestroy})))
			l.snapshot()
			fresh := runWeb(l, 1, tt.successor)
			for _, w := range l.snapshot().Workloads {
				if w.ID == fresh && w.IgnoredStop != tt.want {
					t.Errorf("got %v, want %v", w.IgnoredStop, tt.want)
				}
			}
		})
	}
}

func TestIgnoredStopIsShownOnAllReplicasUntilOneObeys(t *testing.T) {
	l := newLoop(&Config{})
	a, b := runWeb(l, 0, nil), runWeb(l, 1, nil)
	both := func(want time.Duration) {
		t.Helper()
		s := l.snapshot()
		if len(s.Workloads) != 2 {
			t.Fatalf("%d workloads, want 2", len(s.Workloads))
		}
		for _, w := range s.Workloads {
			if w.IgnoredStop.After != want {
				t.Errorf("%s: %s, want %s", w.Name, w.IgnoredStop.After, want)
			}
		}
	}
	both(0)
	play(l, a, ignores(15))
	both(10 * time.Second)
	play(l, b, []change{after(20*time.Second, kill(9)), after(20*time.Second, die(137))})
	both(10 * time.Second) // docker kill says nothing either way
	startAgain := func(d time.Duration) {
		again := ofWeb(1)
		again.State.StartedAt = stamp(after(d, change{}).at)
		l.inspected(answer{id: b, asOf: l.clock.Load(), inspect: again})
	}
	startAgain(30 * time.Second)
	play(l, b, []change{after(40*time.Second, kill(15)), after(41*time.Second, die(0))})
	both(0)
	startAgain(50 * time.Second)
	play(l, b, []change{after(time.Hour, kill(9)), after(time.Hour, die(137))})
	both(0) // the stop signal was sent to the run before
}

func TestIgnoredStopStaysWithTheOldNameAndIsForgotten(t *testing.T) {
	l := newLoop(&Config{})
	id := runWeb(l, 0, func(c *container.InspectResponse) { c.Config.Labels = nil })
	play(l, id, append(ignores(15), after(11*time.Second, change{kind: onRename, name: "web-old"})))
	if got := only(t, l).IgnoredStop; got != (spec.IgnoredStop{}) || len(l.ignored) != 0 {
		t.Errorf("got %v and %d remembered, want none: nobody has the name", got, len(l.ignored))
	}
}

func TestIgnoredStopIsForgottenWithTheLastOfItsService(t *testing.T) {
	l := newLoop(&Config{})
	id := runWeb(l, 0, nil)
	play(l, id, append(ignores(15), after(11*time.Second, change{kind: onDestroy})))
	l.snapshot()
	if len(l.ignored) != 1 {
		t.Fatalf("%d remembered, want 1 while the removed container is", len(l.ignored))
	}
	l.removed[0].left = time.Now().Add(-2 * l.timing.Remember)
	l.snapshot()
	if len(l.items)+len(l.ignored) != 0 {
		t.Errorf("%d containers and %d ignored signals are remembered, want none", len(l.items), len(l.ignored))
	}
}

// By then docker stop would have killed it, whose last signal counts.
func TestDrainIsDoubtedFiveSecondsAfterStopTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		seconds int
		kills   map[time.Duration]int // signals by when they come
		want    time.Duration
	}{
		"stop signal":            {10, map[time.Duration]int{0: 15}, 15 * time.Second},
		"stop timeout of 2 s":    {2, map[time.Duration]int{0: 15}, 7 * time.Second},
		"second signal":          {10, map[time.Duration]int{0: 15, 8 * time.Second: 15}, 23 * time.Second},
		"SIGKILL of docker stop": {10, map[time.Duration]int{0: 15, 10 * time.Second: 9}, 25 * time.Second},
		"HUP meanwhile":          {10, map[time.Duration]int{0: 15, 8 * time.Second: 1}, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLoop(&Config{})
				id := runWeb(l, 0, func(c *container.InspectResponse) { c.Config.StopTimeout = &tt.seconds })
				for at := time.Duration(0); at < tt.want; at += time.Second {
					if s, ok := tt.kills[at]; ok {
						play(l, id, []change{after(at, kill(s))})
					}
					if l.draining.take(time.Now()) != nil {
						t.Fatalf("doubted after %s, want %s", at, tt.want)
					}
					<-time.After(time.Second)
				}
				if l.draining.take(time.Now()) == nil {
					t.Errorf("not doubted after %s", tt.want)
				}
			})
		})
	}
}

// What was taken back is a running container like any other: that somebody
// kills it much later says nothing about its stop signal.
func TestTakenBackIsNotBlamedForALaterKill(t *testing.T) {
	l := newLoop(&Config{})
	id := runWeb(l, 0, nil)
	play(l, id, []change{after(0, kill(15))})
	l.items[id].overdue = true
	l.inspected(answer{id: id, asOf: l.clock.Load(), inspect: ofWeb(0)})
	if w := only(t, l); w.State != spec.Running {
		t.Fatalf("it is %s, want running", w.State)
	}
	play(l, id, []change{after(time.Hour, kill(9)), after(time.Hour, die(137))})
	if got := only(t, l).IgnoredStop; got != (spec.IgnoredStop{}) {
		t.Errorf("got %v, want none", got)
	}
}

// A second signal while the engine is asked whether the first was ignored.
func TestSecondStopSignalKeepsItDraining(t *testing.T) {
	l := newLoop(&Config{})
	id := runWeb(l, 0, nil)
	play(l, id, []change{after(0, kill(15))})
	l.items[id].overdue = true
	play(l, id, []change{after(15*time.Second, kill(15))})
	l.inspected(answer{id: id, asOf: l.clock.Load(), inspect: ofWeb(0)})
	if w := only(t, l); w.State != spec.Draining {
		t.Errorf("it is %s, want draining", w.State)
	}
}
