package discovery

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/fairlead/fairlead/spec"
)

// facts is what the engine said of one container: by an inspect, or in less
// detail by a list. It is replaced as a whole, never changed in depth.
type facts struct {
	id, name string
	labels   map[string]string
	created  time.Time // whole seconds in a list
	started  time.Time // zero in a list
	status   string    // the engine's word: created running paused restarting removing exited dead
	age      span      // how long it has been up, in words, from a list only
	health   spec.Health
	exitCode int
	oom      bool
	failure  string // why the engine could not start it

	exposed     []int
	published   []spec.Published
	mode        string // network mode
	places      []place
	mounts      []spec.Mount  // from an inspect only
	stopSignal  int           // 0 if unknown
	stopTimeout time.Duration // or engineDefault
	launch      string        // what decides whether its app gets the stop signal
	restarts    bool          // its restart policy starts it again after a crash
	layer       string        // the directory that holds what it wrote, "" if the engine does not say
	full        bool          // from an inspect
}

// A place is a container's address on one network during one run: the endpoint
// id is new each time the container starts.
type place struct {
	network, networkID, endpoint string
	ip4, ip6, gw4, gw6           netip.Addr
}

// run reports whether the container has a process, frozen or not.
func (f *facts) run() bool { return f.status == "running" || f.status == "paused" }

// fromInspect reads an inspect. ok is false where the answer is no container.
func fromInspect(c container.InspectResponse) (f facts, ok bool) {
	if c.ContainerJSONBase == nil || c.ID == "" || c.State == nil {
		return facts{}, false
	}
	f = facts{
		id:       c.ID,
		name:     strings.TrimPrefix(c.Name, "/"),
		created:  moment(c.Created),
		started:  moment(c.State.StartedAt),
		status:   string(c.State.Status),
		exitCode: c.State.ExitCode,
		oom:      c.State.OOMKilled,
		failure:  c.State.Error,
		full:     true,
	}
	f.layer = c.GraphDriver.Data["UpperDir"]
	if c.State.Health != nil {
		f.health = healths[c.State.Health.Status]
	}
	if c.HostConfig != nil {
		f.mode = string(c.HostConfig.NetworkMode)
		f.restarts = !c.HostConfig.RestartPolicy.IsNone()
	}
	f.stopSignal, f.stopTimeout = sigTERM, engineDefault
	if c.Config != nil {
		f.labels = c.Config.Labels
		f.stopSignal = cmp.Or(signalNumber(c.Config.StopSignal), sigTERM)
		f.stopTimeout = stopTimeout(c.Config.StopTimeout)
		f.exposed = exposed(c.Config.ExposedPorts)
	}
	f.launch = launch(c)
	f.mounts = mounts(c)
	if c.NetworkSettings != nil {
		f.published = published(c.NetworkSettings.Ports)
		f.places = places(c.NetworkSettings.Networks)
	}
	return f, true
}

// fromList reads one row of a list.
func fromList(c container.Summary) facts {
	f := facts{
		id:      c.ID,
		name:    ownName(c.Names),
		labels:  c.Labels,
		created: time.Unix(c.Created, 0).UTC(),
		status:  string(c.State),
		mode:    c.HostConfig.NetworkMode,
		age:     upFor(c.Status),
		health:  healthIn(c.Status),
	}
	for _, p := range c.Ports {
		if p.Type != "tcp" {
			continue
		}
		f.exposed = append(f.exposed, int(p.PrivatePort))
		if ip, err := netip.ParseAddr(p.IP); err == nil && p.PublicPort != 0 {
			f.published = append(f.published, spec.Published{Container: int(p.PrivatePort), Host: netip.AddrPortFrom(ip, p.PublicPort)})
		}
	}
	slices.Sort(f.exposed)
	f.exposed = slices.Compact(f.exposed)
	sortPublished(f.published)
	if c.NetworkSettings != nil {
		f.places = places(c.NetworkSettings.Networks)
	}
	return f
}

var healths = map[string]spec.Health{
	container.Starting: spec.HealthStarting, container.Healthy: spec.Healthy, container.Unhealthy: spec.Unhealthy,
}

// healthIn finds the health in a list's status, as in "Up 5 minutes (healthy)"
// or "Up 2 seconds (health: starting)".
func healthIn(status string) spec.Health {
	_, in, _ := strings.Cut(status, "(")
	in = strings.TrimSuffix(strings.TrimPrefix(in, "health: "), ")")
	return healths[in]
}

// ownName leaves out the names that legacy links give a container in others
// ("/web/db"); without them the shortest is its own.
func ownName(names []string) string {
	best := ""
	for _, n := range names {
		n = strings.TrimPrefix(n, "/")
		if !strings.Contains(n, "/") && (best == "" || len(n) < len(best)) {
			best = n
		}
	}
	return best
}

// moment reads the engine's time; its zero, year 1, is ours.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

func exposed(set nat.PortSet) []int {
	var out []int
	for p := range set {
		if p.Proto() != "tcp" {
			continue
		}
		lo, hi, err := p.Range()
		if err != nil {
			continue
		}
		for n := lo; n <= hi; n++ {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func published(ports nat.PortMap) []spec.Published {
	var out []spec.Published
	for p, bindings := range ports {
		if p.Proto() != "tcp" {
			continue
		}
		for _, b := range bindings {
			ip, err := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
			port, perr := strconv.ParseUint(b.HostPort, 10, 16)
			if err == nil && perr == nil && port != 0 {
				out = append(out, spec.Published{Container: p.Int(), Host: netip.AddrPortFrom(ip, uint16(port))})
			}
		}
	}
	sortPublished(out)
	return slices.Compact(out)
}

func sortPublished(p []spec.Published) {
	slices.SortFunc(p, func(a, b spec.Published) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), a.Host.Compare(b.Host))
	})
}

// places keeps the networks on which the container has an address now.
func places(nets map[string]*network.EndpointSettings) []place {
	var out []place
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		n := nets[name]
		if n == nil {
			continue
		}
		p := place{network: name, networkID: n.NetworkID, endpoint: n.EndpointID,
			ip4: addr(n.IPAddress), ip6: addr(n.GlobalIPv6Address), gw4: addr(n.Gateway), gw6: addr(n.IPv6Gateway)}
		if p.ip4.IsValid() || p.ip6.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

// addr reads an address with or without a prefix length; invalid if it is none.
func addr(s string) netip.Addr {
	s, _, _ = strings.Cut(s, "/")
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}
