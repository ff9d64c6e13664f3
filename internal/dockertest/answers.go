package dockertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
)

// answer writes the body of every endpoint but events.
func (e *Engine) answer(w http.ResponseWriter, endpoint, id string) {
	if endpoint == Ping {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("OK"))
		return
	}
	if endpoint == Inspect {
		e.archives.lock(id)()
	}
	v, err := e.body(endpoint, id)
	if err != nil {
		e.refuse(w, err)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		e.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}

func (e *Engine) body(endpoint, id string) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.replay != nil {
		if v, err, ok := e.replay.body(endpoint, id); ok {
			return v, err
		}
	}
	switch endpoint {
	case Info:
		return system.Info{ServerVersion: "20.10.24", SystemTime: time.Now().Format(time.RFC3339Nano), Swarm: swarm.Info{ControlAvailable: e.manager}}, nil
	case Version:
		return types.Version{Version: "20.10.24", APIVersion: e.max, MinAPIVersion: e.min}, nil
	case List:
		out := make([]container.Summary, 0, len(e.containers))
		for _, id := range slices.Sorted(maps.Keys(e.containers)) {
			out = append(out, e.summary(e.containers[id]))
		}
		return out, nil
	case Networks:
		return e.networkList(), nil
	case Services:
		return e.serviceList()
	}
	c := e.find(id)
	if c == nil {
		return nil, statusError{404, "No such container: " + id}
	}
	return e.inspect(c), nil
}

func (e *Engine) networkList() []network.Summary {
	var out []network.Summary
	for _, name := range slices.Sorted(maps.Keys(e.networks)) {
		n := e.networks[name]
		out = append(out, network.Summary{ID: n.id, Name: name, Driver: n.Driver, Labels: n.Labels, Ingress: n.Ingress,
			IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: n.Subnet, Gateway: n.gateway()}}}})
	}
	return out
}

func (n *Network) gateway() string {
	return netip.MustParsePrefix(n.Subnet).Masked().Addr().Next().String()
}

func (e *Engine) endpoints(c *Container) map[string]*network.EndpointSettings {
	out := map[string]*network.EndpointSettings{}
	for name, p := range c.places {
		s := &network.EndpointSettings{NetworkID: e.networks[name].id}
		if p.ip.IsValid() {
			s.EndpointID, s.IPAddress, s.IPPrefixLen, s.Gateway = p.endpoint, p.ip.String(), 16, e.networks[name].gateway()
		}
		out[name] = s
	}
	if c.Mode == "host" || c.Mode == "none" {
		out[c.Mode] = &network.EndpointSettings{NetworkID: "network-" + c.Mode}
	}
	return out
}

func (c *Container) mode() string {
	switch {
	case c.Mode != "":
		return c.Mode
	case slices.Contains(c.Networks, "bridge"):
		return "default"
	}
	return c.Networks[0]
}

func (e *Engine) summary(c *Container) container.Summary {
	s := container.Summary{
		ID: c.id, Names: []string{"/" + c.Name}, Image: "test:1", Labels: c.Labels, Created: c.Created.Unix(),
		State: container.ContainerState(c.status), Status: c.words(),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: e.endpoints(c)},
	}
	s.HostConfig.NetworkMode = c.mode()
	for _, port := range c.Expose {
		p := container.Port{PrivatePort: uint16(port), Type: "tcp"}
		if host, n, err := net.SplitHostPort(c.Publish[port]); err == nil && c.status == "running" {
			public, _ := strconv.ParseUint(n, 10, 16)
			p.IP, p.PublicPort = host, uint16(public)
		}
		s.Ports = append(s.Ports, p)
	}
	return s
}

// words are the status column of docker ps.
func (c *Container) words() string {
	switch c.status {
	case "running", "paused":
		s := "Up " + units.HumanDuration(time.Since(c.started))
		switch {
		case c.status == "paused":
			s += " (Paused)"
		case c.Health == "starting":
			s += " (health: starting)"
		case c.Health != "":
			s += " (" + c.Health + ")"
		}
		return s
	case "exited", "restarting":
		return fmt.Sprintf("Exited (%d) %s ago", c.exitCode, units.HumanDuration(time.Since(c.finished)))
	}
	return "Created"
}

func (e *Engine) inspect(c *Container) container.InspectResponse {
	state := &container.State{
		Status: container.ContainerState(c.status), Running: c.status != "exited" && c.status != "created", Paused: c.status == "paused",
		Restarting: c.status == "restarting", OOMKilled: c.oom, ExitCode: c.exitCode, StartedAt: stamp(c.started), FinishedAt: stamp(c.finished),
	}
	if c.Health != "" {
		state.Health = &container.Health{Status: c.Health}
	}
	config := &container.Config{Image: "test:1", Labels: c.Labels, StopSignal: c.StopSignal, ExposedPorts: nat.PortSet{}}
	if c.StopTimeout > 0 {
		config.StopTimeout = &c.StopTimeout
	}
	settings := &container.NetworkSettings{Networks: e.endpoints(c)}
	settings.Ports = nat.PortMap{}
	for _, port := range c.Expose {
		p := nat.Port(strconv.Itoa(port) + "/tcp")
		config.ExposedPorts[p] = struct{}{}
		if host, n, err := net.SplitHostPort(c.Publish[port]); err == nil && c.status == "running" {
			settings.Ports[p] = []nat.PortBinding{{HostIP: host, HostPort: n}}
		}
	}
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: c.id, Name: "/" + c.Name, Created: stamp(c.Created), State: state,
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(c.mode()),
				RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(c.Restart)}},
		},
		Config: config, NetworkSettings: settings, Mounts: c.Mounts,
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
