package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

// Sequences recorded from a real engine: after each step the snapshot says what
// the engine's own answers say, although most of it came from events alone.
func TestRecordings(t *testing.T) {
	for _, name := range dockertest.Recordings() {
		t.Run(name, func(t *testing.T) {
			entries, err := dockertest.Recording(name)
			if err != nil {
				t.Fatal(err)
			}
			e := dockertest.New(t)
			e.Play(entries[0])
			w := run(t, e, nil)
			w.first()
			var now *dockertest.State
			step, events := "", 0
			check := func() {
				if now != nil {
					w.until(fmt.Sprintf("what the engine says after %q", step), func(s spec.Snapshot) bool { return differs(s, now) == "" })
				}
			}
			for _, entry := range entries[1:] {
				if entry.Step != "" {
					check()
					step = entry.Step
				}
				if entry.State != nil {
					now = entry.State
				}
				if entry.Event != nil {
					events++
				}
				e.Play(entry)
			}
			check()
			if n := e.Count(dockertest.Inspect); n > events {
				t.Errorf("%d inspects for %d events", n, events)
			}
			onlyGETs(t, e)
			if got, want := w.ignoredStop(), map[string]spec.IgnoredStop{"ignored-stop": {Signal: "SIGTERM", After: time.Second}}[name]; got != want {
				t.Errorf("ignored stop signal %v, want %v", got, want)
			}
		})
	}
}

// ignoredStop is the last ignored stop signal of any workload published so far.
func (w *watch) ignoredStop() (last spec.IgnoredStop) {
	for _, s := range w.all() {
		for _, x := range s.Workloads {
			if x.IgnoredStop != (spec.IgnoredStop{}) {
				last = x.IgnoredStop
			}
		}
	}
	return last
}

// differs compares a snapshot with recorded inspects.
func differs(s spec.Snapshot, want *dockertest.State) string {
	var out []string
	seen := map[string]bool{}
	for _, x := range s.Workloads {
		if x.State == spec.Gone {
			continue
		}
		seen[x.ID] = true
		raw := want.Inspect[x.ID]
		if raw == nil {
			out = append(out, x.Name+" is not there")
			continue
		}
		if d := differsFrom(x, raw); d != "" {
			out = append(out, x.Name+": "+d)
		}
	}
	for id := range want.Inspect {
		if !seen[id] {
			out = append(out, id+" is missing")
		}
	}
	sort.Strings(out)
	return strings.Join(out, "; ")
}

func differsFrom(x *spec.Workload, raw json.RawMessage) string {
	var c container.InspectResponse
	if err := json.Unmarshal(raw, &c); err != nil {
		return err.Error()
	}
	f, ok := fromInspect(c)
	if !ok {
		return "no container"
	}
	state := map[string]spec.State{"created": spec.Created, "running": spec.Running, "paused": spec.Paused, "restarting": spec.Restarting,
		"exited": spec.Exited, "dead": spec.Exited, "removing": spec.Exited}[f.status]
	switch {
	case x.State != state && !(x.State == spec.Draining && state == spec.Running):
		return fmt.Sprintf("is %s, want %s", x.State, state)
	case x.Name != f.name:
		return fmt.Sprintf("is called %s, want %s", x.Name, f.name)
	case state == spec.Running && !x.StartedAt.Equal(f.started):
		return fmt.Sprintf("started %s, want %s", x.StartedAt, f.started)
	case state == spec.Running && x.Health != f.health:
		return fmt.Sprintf("is %s, want %s", x.Health, f.health)
	case state == spec.Running && x.NetworkOf == "" && len(x.Networks) != len(f.places):
		return fmt.Sprintf("has %v, want %v", x.Networks, f.places)
	}
	return ""
}

// A recreate by docker-compose renames, creates, starts and removes. At every
// moment there is a container of the service, and at the end only the new one.
func TestComposeRecreate(t *testing.T) {
	entries, err := dockertest.Recording("compose")
	if err != nil {
		t.Fatal(err)
	}
	e := dockertest.New(t)
	e.Play(entries[0])
	w := run(t, e, nil)
	w.first()
	steps := 0
	for _, entry := range entries[1:] {
		if entry.Step != "" {
			steps++
		}
		switch {
		case steps == 2 && entry.Step != "":
			w.state("fltest-disc-shop_web_1", spec.Running)
		case steps == 3:
			s := w.until("the new version alone", func(s spec.Snapshot) bool {
				return len(s.Workloads) == 1 && s.Workloads[0].Labels["version"] == "v2" && s.Workloads[0].State == spec.Running
			})
			x := s.Workloads[0]
			if x.Project != "fltest-disc-shop" || x.Service != "web" || len(x.Networks) != 1 || x.Networks[0].Key != "default" {
				t.Errorf("got %+v", x)
			}
			return
		}
		e.Play(entry)
		if bytes.Contains(entry.Event, []byte(`"Action":"rename"`)) {
			w.until("the old container under its new name", func(s spec.Snapshot) bool {
				return slices.ContainsFunc(s.Workloads, func(x *spec.Workload) bool { return strings.HasSuffix(x.Name, "_fltest-disc-shop_web_1") })
			})
		}
	}
	t.Fatal("the recording ends before the recreate")
}
