package discovery

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/errdefs"

	"github.com/fairlead/fairlead/spec"
)

// Whatever happens in whatever order, the snapshot that was patched together
// is the one that is built from scratch, and what did not change keeps its
// pointer.
func TestSnapshotIsWhatOneFromScratchWouldBe(t *testing.T) {
	for seed := range uint64(24) {
		r := &chaos{Rand: rand.New(rand.NewPCG(seed, 0)), l: newLoop(&Config{})}
		r.l.timing.Remember = time.Hour
		if seed%3 == 0 {
			r.l.cfg.Wants = func(labels map[string]string) bool { return labels["fairlead.host"] != "" }
		}
		if seed%5 == 0 {
			r.l.cfg.Projects = []string{"shop", "stack"}
		}
		if seed%2 == 0 {
			r.l.layer = "layer3"
		}
		var before spec.Snapshot
		for step := range 300 {
			what := r.step()
			if r.IntN(3) == 0 {
				continue // several changes in one snapshot
			}
			s := r.l.snapshot()
			if d := r.differs(s, before); d != "" {
				t.Fatalf("seed %d, step %d, %s: %s", seed, step, what, d)
			}
			before = s
		}
	}
}

// chaos does random things to a loop.
type chaos struct {
	*rand.Rand
	l *loop
}

func pick[T any](r *chaos, from ...T) T { return from[r.IntN(len(from))] }

// Few ids, names and networks, so that they meet.
func (r *chaos) id() string   { return strings.Repeat(fmt.Sprintf("%02x", r.IntN(12)), 32) }
func (r *chaos) name() string { return pick(r, "a", "b", "c", "web", "000000000000") }
func (r *chaos) network() string {
	return pick(r, "front", "back", "ingress")
}

func (r *chaos) labels() map[string]string {
	out := map[string]string{}
	for _, k := range []string{"fairlead.host", projectLabel, serviceLabel, "com.docker.compose.oneoff", taskOf, stackLabel, taskOfName} {
		if r.IntN(3) == 0 {
			out[k] = pick(r, "shop", "stack", "true")
		}
	}
	return out
}

func (r *chaos) at() time.Time {
	return time.Unix(1000000, 0).Add(time.Duration(r.IntN(20)) * time.Second).UTC()
}

func (r *chaos) mode() string {
	return pick(r, "front", "host", "container:"+r.id(), "container:"+r.id()[:pick(r, 12, 20)], "container:"+r.name())
}

func (r *chaos) status() string { return pick(r, "running", "running", "running", "paused", "exited") }

func (r *chaos) endpoints() map[string]*network.EndpointSettings {
	n := r.network()
	return map[string]*network.EndpointSettings{n: {NetworkID: n, IPAddress: fmt.Sprintf("10.0.0.%d", r.IntN(9)+1)}}
}

func (r *chaos) step() string {
	l := r.l
	switch n := r.IntN(20); {
	case n < 9:
		m := r.event()
		l.take(m)
		return fmt.Sprintf("event %v", m)
	case n < 14:
		a := r.inspect()
		l.inspected(a)
		return fmt.Sprintf("inspect of %.4s: %v", a.id, a.err)
	case n == 14:
		if err := l.listAnswered(answer{isList: true, asOf: l.clock.Load(), rows: r.rows()}); err != nil {
			return err.Error()
		}
		return "list"
	case n == 15:
		l.networksAnswered(answer{isNetworks: true, networks: []network.Summary{
			{ID: "front", Name: "front", Driver: pick(r, "bridge", "overlay")}, {ID: "ingress", Name: "ingress", Ingress: pick(r, true, false)}}})
		return "networks"
	case n == 16:
		l.selfIDs = []string{r.id()[:12]}
		l.recognise()
		return "self"
	case n == 18:
		id, at := r.id(), r.at()
		for i, action := range []events.Action{"kill", "kill", "die"} { // docker stop, in vain or not
			m := events.Message{Type: "container", Action: action, TimeNano: at.Add(time.Duration(i) * time.Second).UnixNano()}
			m.Actor.ID, m.Actor.Attributes = id, map[string]string{"signal": []string{"15", pick(r, "9", "1"), ""}[i], "exitCode": pick(r, "0", "137")}
			l.take(m)
		}
		return fmt.Sprintf("stop of %.4s", id)
	case n == 17:
		l.services.manager = pick(r, true, false)
		l.servicesAnswered(answer{isServices: true, err: pick(r, nil, nil, errdefs.Unavailable(errors.New("a worker"))), services: []swarm.Service{r.service()}})
		return "services"
	}
	if len(l.removed) > 0 {
		l.removed[0].left = time.Now().Add(-2 * l.timing.Remember)
	}
	return "time"
}

func (r *chaos) event() events.Message {
	m := events.Message{Type: "container", Action: pick[events.Action](r, "create", "start", "die", "kill", "pause", "unpause", "rename", "destroy", "oom",
		"health_status: healthy", "update"), TimeNano: r.at().UnixNano()}
	m.Actor.ID, m.Actor.Attributes = r.id(), r.labels()
	maps.Copy(m.Actor.Attributes, map[string]string{"name": r.name(), "signal": pick(r, "15", "1"), "exitCode": "3"})
	if r.IntN(6) == 0 {
		m.Type, m.Action = "network", pick[events.Action](r, "connect", "disconnect")
		m.Actor.Attributes["container"], m.Actor.ID = m.Actor.ID, r.network()
	}
	return m
}

func (r *chaos) inspect() answer {
	a := answer{id: r.id(), asOf: r.l.clock.Load()}
	switch r.IntN(8) {
	case 0:
		a.err = errdefs.NotFound(errors.New("gone"))
		return a
	case 1:
		a.err = errdefs.System(errors.New("broken"))
		return a
	}
	a.inspect = container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: a.id, Name: "/" + r.name(), Created: stamp(r.at()), HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(r.mode())},
			State: &container.State{Status: container.ContainerState(r.status()), StartedAt: stamp(r.at())},
		},
		Config: &container.Config{Labels: r.labels()}, NetworkSettings: &container.NetworkSettings{Networks: r.endpoints()},
	}
	a.inspect.GraphDriver.Data = map[string]string{"UpperDir": fmt.Sprint("layer", a.id[1:2])}
	return a
}

func (r *chaos) rows() []facts {
	var rows []facts
	for i := range 12 {
		if r.IntN(4) == 0 {
			continue
		}
		c := container.Summary{ID: strings.Repeat(fmt.Sprintf("%02x", i), 32), Names: []string{"/" + r.name()}, Labels: r.labels(), Created: r.at().Unix(),
			State: container.ContainerState(r.status()), NetworkSettings: &container.NetworkSettingsSummary{Networks: r.endpoints()}}
		c.HostConfig.NetworkMode = r.mode()
		rows = append(rows, fromList(c))
	}
	return rows
}

func (r *chaos) service() swarm.Service {
	s := swarm.Service{ID: pick(r, "shop", "stack", "true")}
	s.Spec.Labels = pick(r, nil, map[string]string{"fairlead.host": pick(r, "x", "y")})
	return s
}

// differs says what is wrong with a snapshot, "" if nothing is.
func (r *chaos) differs(s, before spec.Snapshot) string {
	l := r.l
	var want []*spec.Workload
	for _, id := range slices.Sorted(maps.Keys(l.items)) {
		it := l.items[id]
		if d := r.wrong(it); d != "" {
			return fmt.Sprintf("%.4s %s: %s", id, it.name, d)
		}
		if l.shown(it) {
			want = append(want, l.workload(it))
		}
	}
	if len(s.Workloads)+len(want) > 0 && !reflect.DeepEqual(s.Workloads, want) {
		return fmt.Sprintf("got\n%s\nwant\n%s", dump(s), dump(spec.Snapshot{Workloads: want}))
	}
	for key := range l.ignored {
		if len(l.kin[key]) == 0 {
			return fmt.Sprintf("an ignored stop signal of %q is remembered, where nobody is left", key)
		}
	}
	if want := l.self(); !reflect.DeepEqual(s.Self, want) {
		return fmt.Sprintf("self is %+v, want %+v", s.Self, want)
	}
	for _, old := range before.Workloads {
		i := slices.IndexFunc(s.Workloads, func(w *spec.Workload) bool { return w.ID == old.ID })
		if i >= 0 && s.Workloads[i] != old && reflect.DeepEqual(s.Workloads[i], old) {
			return fmt.Sprintf("%.4s did not change and has another pointer", old.ID)
		}
	}
	return ""
}

// wrong compares what the index says of an item with what a walk of all says.
func (r *chaos) wrong(it *item) string {
	l := r.l
	wanted, followed, owner := l.asked(it), false, l.items[it.joins()]
	exact := owner != nil
	for _, id := range slices.Sorted(maps.Keys(l.items)) {
		o := l.items[id]
		wanted = wanted || o.joined(it) && l.asked(o)
		followed = followed || succession(o) == succession(it) && !o.gone() && !oneOff(o.labels)
		if !exact && owner == nil && !o.gone() && it.joined(o) {
			owner = o
		}
	}
	all, served := maps.Clone(it.labels), it.labels[taskOf] == ""
	if labels, ok := l.services.labels[it.labels[taskOf]]; ok {
		served = true
		maps.Copy(all, labels)
	}
	switch {
	case l.wanted(it) != wanted:
		return fmt.Sprintf("wanted is %t, want %t", !wanted, wanted)
	case l.owner(it) != owner:
		return fmt.Sprintf("owner is %+v, want %+v", l.owner(it), owner)
	case !maps.Equal(it.all, all) || it.unserved == served:
		return fmt.Sprintf("labels are %v (unserved %t), want %v", it.all, it.unserved, all)
	case it.gone() != slices.Contains(l.removed, it):
		return "it is among the removed, or not, and should not, or should"
	case it.gone() && (followed || !wanted || oneOff(it.labels) || time.Since(it.left) > l.timing.Remember):
		return fmt.Sprintf("it is remembered for no reason: followed %t, wanted %t, one-off %t, removed %s", followed, wanted, oneOff(it.labels), it.left)
	}
	return ""
}

// Removed containers are forgotten for one of the reasons there are, and no
// more of them are remembered than the bound.
func TestRemovedAreRememberedUpToABound(t *testing.T) {
	l := crowd(maxGone + 50)
	l.snapshot()
	for i := range maxGone + 50 {
		l.remove(l.items[someID(i)])
	}
	if got := len(l.snapshot().Workloads); got != maxGone || len(l.items) != maxGone {
		t.Fatalf("%d are shown and %d remembered, want %d", got, len(l.items), maxGone)
	}
	if l.items[someID(49)] != nil || l.items[someID(50)] == nil {
		t.Error("it is not the oldest that were forgotten")
	}
	if !l.forgetAt().Equal(l.items[someID(50)].left.Add(l.timing.Remember)) {
		t.Errorf("the next is forgotten at %s, want the time of the oldest", l.forgetAt())
	}
}

func TestDeadlines(t *testing.T) {
	var d deadlines
	t0 := time.Unix(1000, 0)
	for i, id := range []string{"c", "a", "b"} {
		d.set(id, t0.Add(time.Duration(i)*time.Second))
	}
	d.set("a", t0.Add(5*time.Second))
	d.delete("c")
	for _, tt := range []struct {
		at   int
		want string
		next int // zero: none
	}{
		{-1, "[]", 0},
		{0, "[]", 2}, // of what was deleted
		{2, "[b]", 5},
		{9, "[a]", -1000},
		{10, "[]", -1000},
	} {
		got := fmt.Sprint(d.take(t0.Add(time.Duration(tt.at) * time.Second)))
		if next := t0.Add(time.Duration(tt.next) * time.Second); got != tt.want || !d.soonest.Equal(next) && !(d.soonest.IsZero() && tt.next < 0) {
			t.Errorf("after %ds: %s and then %s, want %s and %s", tt.at, got, d.soonest, tt.want, next)
		}
	}
}
