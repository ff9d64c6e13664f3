package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// A recorder writes down one sequence.
type recorder struct {
	cli      *client.Client
	known    map[string]bool // ids of our containers
	entries  []dockertest.Entry
	last     string // the last state, without its ages
	networks string
}

func (r *recorder) run(s sequence) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	msgs, errs := r.cli.Events(ctx, events.ListOptions{Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("type", "network"))})
	if err := r.state(ctx); err != nil {
		return err
	}
	for _, step := range s.steps {
		r.entries = append(r.entries, dockertest.Entry{Step: step.what})
		done := make(chan struct{})
		go func() { step.do(); <-time.After(settle); close(done) }()
		if err := r.follow(ctx, msgs, errs, done); err != nil {
			return err
		}
	}
	return write(s.name, r.entries)
}

// follow records events, and what the engine answers after each, until the step
// is done.
func (r *recorder) follow(ctx context.Context, msgs <-chan events.Message, errs <-chan error, done <-chan struct{}) error {
	for {
		select {
		case m := <-msgs:
			if !r.ours(m) {
				continue
			}
			if err := r.state(ctx); err != nil {
				return err
			}
			b, err := json.Marshal(scrubEvent(m))
			if err != nil {
				return err
			}
			r.entries = append(r.entries, dockertest.Entry{Event: b})
		case err := <-errs:
			return err
		case <-done:
			return r.state(ctx)
		}
	}
}

func (r *recorder) ours(m events.Message) bool {
	if strings.HasPrefix(string(m.Action), "exec_") {
		return false
	}
	if m.Type == events.NetworkEventType {
		return r.known[m.Actor.Attributes["container"]]
	}
	if strings.Contains(m.Actor.Attributes["name"], prefix) {
		r.known[m.Actor.ID] = true
	}
	return r.known[m.Actor.ID]
}

// state records what the engine answers now, if that is new.
func (r *recorder) state(ctx context.Context) error {
	list, err := r.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", prefix))})
	if err != nil {
		return err
	}
	s := &dockertest.State{List: []json.RawMessage{}, Inspect: map[string]json.RawMessage{}}
	for _, c := range list {
		_, b, err := r.cli.ContainerInspectWithRaw(ctx, c.ID, false)
		if err != nil {
			continue // gone meanwhile
		}
		if s.Inspect[c.ID], err = pick(b, inspectFields); err != nil {
			return err
		}
		row, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if row, err = pick(row, listFields); err != nil {
			return err
		}
		s.List = append(s.List, row)
	}
	if s.Networks, err = r.ourNetworks(ctx); err != nil {
		return err
	}
	if string(s.Networks) == r.networks {
		s.Networks = nil
	} else {
		r.networks = string(s.Networks)
	}
	key, err := json.Marshal(s.Inspect)
	if err != nil {
		return err
	}
	if string(key) == r.last && s.Networks == nil {
		return nil
	}
	r.last = string(key)
	r.entries = append(r.entries, dockertest.Entry{State: s})
	return nil
}

func (r *recorder) ourNetworks(ctx context.Context) (json.RawMessage, error) {
	list, err := r.cli.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []network.Summary
	for _, n := range list {
		if strings.Contains(n.Name, prefix) || n.Name == "bridge" || n.Name == "host" {
			n.Created, n.Options = time.Time{}, nil
			out = append(out, n)
		}
	}
	return json.Marshal(out)
}

var (
	inspectFields = []string{
		"Id", "Name", "Created", "State.Status", "State.Running", "State.Paused", "State.Restarting", "State.OOMKilled", "State.ExitCode",
		"State.Error", "State.StartedAt", "State.FinishedAt", "State.Health.Status", "HostConfig.NetworkMode", "HostConfig.RestartPolicy",
		"Config.Labels", "Config.StopSignal", "Config.StopTimeout", "Config.ExposedPorts", "NetworkSettings.Ports", "NetworkSettings.Networks",
	}
	listFields = []string{
		"Id", "Names", "Created", "State", "Status", "Labels", "Ports", "HostConfig.NetworkMode", "NetworkSettings.Networks",
	}
)

// pick keeps the named fields of an object.
func pick(b []byte, fields []string) (json.RawMessage, error) {
	var in map[string]any
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, f := range fields {
		from, to := in, out
		path := strings.Split(f, ".")
		for _, p := range path[:len(path)-1] {
			next, ok := from[p].(map[string]any)
			if !ok {
				from = nil
				break
			}
			if to[p] == nil {
				to[p] = map[string]any{}
			}
			from, to = next, to[p].(map[string]any)
		}
		if v, ok := from[path[len(path)-1]]; ok {
			to[path[len(path)-1]] = scrub(v)
		}
	}
	return json.Marshal(out)
}

// scrub replaces the machine's paths, which are in the labels of compose.
func scrub(v any) any {
	switch v := v.(type) {
	case string:
		return scrubText(v)
	case map[string]any:
		for k := range v {
			v[k] = scrub(v[k])
		}
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	}
	return v
}

func scrubText(s string) string {
	if strings.HasPrefix(s, "/") && strings.Count(s, "/") > 1 {
		return "/srv/shop"
	}
	return s
}

func scrubEvent(m events.Message) events.Message {
	for k, v := range m.Actor.Attributes {
		m.Actor.Attributes[k] = scrubText(v)
	}
	return m
}
