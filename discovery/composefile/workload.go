package composefile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/fairlead/fairlead/spec"
)

// engineGrace is how long `docker stop` waits where a file does not say.
const engineGrace = 10 * time.Second

// project turns what Compose read into what its containers would be.
func (s *sources) project(p *types.Project) *Project {
	out := &Project{Name: p.Name, Disabled: slices.Sorted(maps.Keys(p.DisabledServices))}
	for _, f := range s.files {
		out.Files = append(out.Files, f.path)
	}
	for _, path := range slices.Sorted(maps.Keys(s.others)) {
		if s.others[path] != nil {
			out.Files = append(out.Files, path)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(p.Services)) {
		service := p.Services[name]
		out.Services = append(out.Services, s.convert(p, &service, i))
	}
	return out
}

func (s *sources) convert(p *types.Project, c *types.ServiceConfig, nth int) *Service {
	at, _ := s.service(c.Name)
	out := &Service{
		Name: c.Name, Image: c.Image, Replicas: c.GetScale(), At: at,
		Labels:      located(c.Labels, s.written(c.Name, false), at, p.Environment),
		Healthcheck: c.HealthCheck != nil && !c.HealthCheck.Disable && !slices.Equal(c.HealthCheck.Test, []string{"NONE"}),
		Published:   map[int]int{}, Command: c.Command, Environment: map[string]string{},
	}
	if c.Deploy != nil {
		out.Swarm = located(c.Deploy.Labels, s.written(c.Name, true), at, p.Environment)
	}
	if c.Build != nil {
		out.Built = dockerfileOf(c.Build)
	}
	for name, value := range c.Environment {
		if value != nil {
			out.Environment[name] = *value
		}
	}
	for _, x := range c.Secrets {
		out.Secrets = append(out.Secrets, path.Join("/run/secrets", cmp.Or(x.Target, x.Source)))
		if path.IsAbs(x.Target) {
			out.Secrets[len(out.Secrets)-1] = x.Target
		}
	}
	for _, x := range c.Configs {
		out.Secrets = append(out.Secrets, cmp.Or(x.Target, "/"+x.Source))
	}
	out.Workload = workload(p, c, nth)
	out.ports(c)
	return out
}

// located returns labels with the places where they are written, the last of
// which counts.
func located(labels types.Labels, written []Label, service Position, env types.Mapping) (out []Label) {
	last := map[string]Label{}
	for _, l := range written {
		last[l.Name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		l, known := last[name]
		if !known {
			l = Label{Name: name, At: service} // of a label_file
		}
		l.Text, l.Unset = labels[name], unset(l.Raw, env)
		out = append(out, l)
	}
	return out
}

// variable finds what Compose replaces: $$, $NAME and ${NAME}, not ${NAME:-…}.
var variable = regexp.MustCompile(`\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})`)

// unset returns the variables, as they are written, that Compose replaces by
// nothing.
func unset(raw string, env types.Mapping) (out []string) {
	for _, m := range variable.FindAllStringSubmatch(raw, -1) {
		if name := m[1] + m[2]; name != "" {
			if _, set := env[name]; !set {
				out = append(out, m[0])
			}
		}
	}
	return out
}

// ports fills in what is known of the ports of a container.
func (out *Service) ports(c *types.ServiceConfig) {
	var exposed []int
	if out.Built != nil {
		exposed = append(exposed, out.Built.Exposed...)
		out.PortsKnown = len(out.Built.Exposed) > 0
	}
	for _, text := range c.Expose {
		port, protocol, _ := strings.Cut(text, "/")
		low, high, ranged := strings.Cut(port, "-")
		from, err := strconv.Atoi(low)
		to, rangeErr := strconv.Atoi(high)
		if !ranged {
			to, rangeErr = from, nil
		}
		if err != nil || rangeErr != nil || protocol != "" && protocol != "tcp" {
			continue
		}
		for n := from; n <= to && n < 1<<16; n++ {
			exposed = append(exposed, n)
		}
	}
	for _, p := range c.Ports {
		if p.Protocol != "" && p.Protocol != "tcp" {
			continue
		}
		exposed = append(exposed, int(p.Target))
		host, err := strconv.Atoi(p.Published)
		if err != nil {
			continue
		}
		out.Published[host] = int(p.Target)
		ip, _ := netip.ParseAddr(cmp.Or(p.HostIP, "0.0.0.0"))
		out.Workload.Published = append(out.Workload.Published, spec.Published{Container: int(p.Target), Host: netip.AddrPortFrom(ip, uint16(host))})
	}
	slices.Sort(exposed)
	out.Workload.Exposed = slices.Compact(exposed)
}

// workload returns a container of c that runs and is well.
func workload(p *types.Project, c *types.ServiceConfig, nth int) *spec.Workload {
	w := &spec.Workload{
		ID: idOf(p.Name + "/" + c.Name), Name: containerName(p, c), Project: p.Name, Service: c.Name,
		Labels: c.Labels, State: spec.Running, StopTimeout: engineGrace,
		// Which of two services is older decides who keeps a match that both have.
		Created: time.Unix(int64(nth), 0).UTC(), StartedAt: time.Unix(int64(nth), 0).UTC(),
		Mounts: mounts(p, c),
	}
	if c.HealthCheck != nil && !c.HealthCheck.Disable {
		w.Health = spec.Healthy
	}
	if c.StopGracePeriod != nil {
		w.StopTimeout = time.Duration(*c.StopGracePeriod)
	}
	if c.GetScale() == 0 {
		w.State, w.Reason = spec.Created, "has no container: its scale is 0"
	}
	w.HostNet = c.NetworkMode == "host"
	w.NetworkOf, w.Networks = networks(p, c, nth, maxDepth)
	return w
}

// idOf returns an id of a container as the engine makes them.
func idOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func containerName(p *types.Project, c *types.ServiceConfig) string {
	return cmp.Or(c.ContainerName, p.Name+"-"+c.Name+"-1")
}

// networks returns where a container has an address, and whose network it joined.
func networks(p *types.Project, c *types.ServiceConfig, nth, depth int) (of string, out []spec.Attachment) {
	address := netip.AddrFrom4([4]byte{10, byte(nth >> 16), byte(nth >> 8), byte(nth)})
	switch kind, name, _ := strings.Cut(c.NetworkMode, ":"); kind {
	case "none", "host":
		return "", nil
	case "service":
		other, known := p.Services[name]
		if !known || depth == 0 {
			return name, nil
		}
		_, out = networks(p, &other, nth, depth-1)
		return containerName(p, &other), out
	case "container":
		// Of another project perhaps: on which networks that is, nothing says here.
		return name, []spec.Attachment{{Network: Elsewhere, IPv4: address}}
	case "bridge":
		return "", []spec.Attachment{{Network: "bridge", Driver: "bridge", IPv4: address}}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Networks)) {
		n := p.Networks[key]
		out = append(out, spec.Attachment{Network: cmp.Or(n.Name, key), Key: key, Driver: cmp.Or(n.Driver, "bridge"), IPv4: address})
	}
	slices.SortFunc(out, func(a, b spec.Attachment) int { return strings.Compare(a.Network, b.Network) })
	return "", out
}

// Elsewhere is the network of a container that joins that of one outside the
// files: it is not known.
const Elsewhere = "(of another container)"

// mounts returns what lies over directories of a container.
func mounts(p *types.Project, c *types.ServiceConfig) (out []spec.Mount) {
	for _, v := range c.Volumes {
		m := spec.Mount{At: path.Clean(v.Target), Kind: v.Type}
		switch v.Type {
		case types.VolumeTypeVolume:
			m.Volume = cmp.Or(p.Volumes[v.Source].Name, v.Source, idOf(c.Name+":"+v.Target)) // the engine makes one up
			if v.Volume != nil {
				m.Sub = strings.Trim(v.Volume.Subpath, "/")
			}
			m.Host = path.Join("/var/lib/docker/volumes", m.Volume, "_data", m.Sub)
		case types.VolumeTypeBind:
			m.Host = path.Clean(v.Source)
		}
		out = append(out, m)
	}
	for _, text := range c.Tmpfs {
		at, _, _ := strings.Cut(text, ":")
		out = append(out, spec.Mount{At: path.Clean(at), Kind: "tmpfs"})
	}
	slices.SortStableFunc(out, func(a, b spec.Mount) int { return strings.Compare(a.At, b.At) })
	return out
}
