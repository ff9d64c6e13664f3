package check

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/discovery/composefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// service adds what the compose file shows of s beside its labels.
func (c *checker) service(s *composefile.Service) {
	for i := range s.Labels {
		c.value(s, &s.Labels[i])
	}
	if c.ours(s.Swarm) {
		c.swarm(s)
	}
	c.environment(s)
	if IsProxy(s) {
		c.socket(s)
	}
	if !c.ours(s.Labels) && !c.ours(s.Swarm) {
		return
	}
	c.scale(s)
	for _, l := range s.Labels {
		switch route, key := c.key(l.Name); key {
		case "port":
			c.port(s, &l)
		case "hold":
			c.healthcheck(s, &l, route)
		}
	}
}

// key splits the name of a label into the route it is for and its key there; key
// is "" if it is none of ours.
func (c *checker) key(name string) (route, key string) {
	key, ours := strings.CutPrefix(name, c.schema.Prefix+".")
	if !ours {
		return "", ""
	}
	if rest, named := strings.CutPrefix(key, "route."); named {
		route, key, _ = strings.Cut(rest, ".")
	}
	return route, key
}

// label returns the value of the label with that key, of the route or of all.
func (c *checker) label(s *composefile.Service, route, key string) (string, bool) {
	for _, name := range []string{c.schema.Prefix + ".route." + route + "." + key, c.schema.Prefix + "." + key} {
		if v, ok := s.Workload.Labels[name]; ok {
			return v, true
		}
	}
	return "", false
}

// swarm: what is below deploy is for the services of a Swarm, and Compose gives
// it to no container.
func (c *checker) swarm(s *composefile.Service) {
	for _, l := range s.Swarm {
		if !c.schema.Mentions(map[string]string{l.Name: ""}) {
			continue
		}
		c.hint(s, spec.Problem{
			Code: "deploy-labels", Label: label.Shown(l.Name),
			Message: "stands below deploy, where only a Swarm reads it (docker stack deploy): docker compose puts it on no container",
			Fix:     "move it to  labels:  of the service " + s.Name,
		})
		return // the others stand beside it
	}
}

// environment: labels among the variables of the app.
func (c *checker) environment(s *composefile.Service) {
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		if !strings.HasPrefix(name, c.schema.Prefix+".") {
			continue
		}
		c.hint(s, spec.Problem{
			Code: "label-place", Message: name + " stands below  environment,  where it is a variable of the app and no label",
			Fix: "move it to  labels:  of the service " + s.Name, Effect: label.Ignored,
		})
		return
	}
}

// socket: the proxy has to reach the engine.
func (c *checker) socket(s *composefile.Service) {
	mounted := slices.ContainsFunc(s.Workload.Mounts, func(m spec.Mount) bool {
		return strings.HasSuffix(m.At, "docker.sock") || strings.HasSuffix(m.Host, "docker.sock") || m.At == "/var/run" || m.At == "/run"
	})
	other := slices.ContainsFunc(s.Command, func(arg string) bool { return strings.HasPrefix(arg, "--docker-host") })
	if mounted || other || s.Environment["DOCKER_HOST"] != "" || s.Environment["FAIRLEAD_DOCKER_HOST"] != "" {
		return
	}
	c.hint(s, spec.Problem{
		Code: "no-socket", Message: "is the proxy, and has no way to the engine: it will wait for the socket for ever, and serve nothing",
		Fix: "add to its service  volumes: [\"/var/run/docker.sock:/var/run/docker.sock:ro\"]", Effect: label.ContainerRefused,
	})
}

func (c *checker) scale(s *composefile.Service) {
	if s.Replicas == 0 {
		c.hint(s, spec.Problem{Code: "scale-zero", Message: "has no container, as its scale is 0: its hosts are answered 404", Fix: "set  scale: 1, or remove it"})
	}
}

// port compares the label with the ports that the container is known to have.
func (c *checker) port(s *composefile.Service, l *composefile.Label) {
	port, err := strconv.Atoi(strings.TrimSpace(l.Text))
	if err != nil || slices.Contains(s.Workload.Exposed, port) {
		return
	}
	p := spec.Problem{Label: label.Shown(l.Name), Value: label.Shown(l.Text)}
	inside, published := s.Published[port]
	switch {
	case published && !s.Workload.HostNet:
		p.Code = "port-of-host"
		p.Message = fmt.Sprintf("is the port on the host: in the container it is %d (ports: \"%d:%d\")", inside, port, inside)
		p.Fix = fmt.Sprintf("%s: \"%d\"", l.Name, inside)
	case s.PortsKnown:
		p.Code = "port-not-exposed"
		p.Message = fmt.Sprintf("is not among the ports that %s exposes: %s", dockerfileName(s.Built), list(s.Built.Exposed))
		p.Fix = fmt.Sprintf("name one of these, or write  EXPOSE %d  if the app listens there", port)
	default:
		return
	}
	c.hint(s, p)
}

func dockerfileName(d *composefile.Dockerfile) string {
	if d.Path == "" {
		return "its Dockerfile"
	}
	return path.Base(d.Path)
}

func list(ports []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]")
}

// healthcheck: a request that is held waits until the container is ready, and
// without a check that is as soon as something accepts connections.
func (c *checker) healthcheck(s *composefile.Service, l *composefile.Label, route string) {
	if s.Healthcheck || s.Built != nil && s.Built.Healthcheck || l.Text == "0" {
		return
	}
	if _, checked := c.label(s, route, "health.path"); checked {
		return
	}
	p := spec.Problem{
		Code: "no-healthcheck", Label: label.Shown(l.Name), Value: label.Shown(l.Text),
		Message: "requests wait until the app accepts connections, and the service has no healthcheck: an app that accepts before it can answer gets them too early",
		Fix:     "add  " + c.schema.Prefix + ".health.path: /  with a path that answers 200 once the app is ready, or  healthcheck:  to the service",
	}
	if s.Built == nil {
		p.Message = strings.Replace(p.Message, "has no healthcheck:", "has no healthcheck, unless its image has one:", 1)
	}
	c.hint(s, p)
}

// together adds what shows only where services are looked at side by side.
func (c *checker) together() {
	c.published()
	c.proxies()
	c.expressions()
}

// expressions: a path that is an expression is asked after all prefixes, unlike
// in nginx, so that an app at / leaves it nothing.
func (c *checker) expressions() {
	routes := c.table.View().Routes
	all := map[string]string{} // by host: the route that takes every path
	for _, r := range routes {
		if _, some := r.Options["match"]; some || r.State == "refused" {
			continue
		}
		for _, m := range r.Matches {
			if m.Path == "/" && !m.Refused {
				all[m.Host] = r.ID
			}
		}
	}
	for _, r := range routes {
		for _, m := range r.Matches {
			taker, s := all[m.Host], c.services[r.Container]
			if taker == "" || s == nil || !strings.HasPrefix(m.Path, "~") || m.Refused {
				continue
			}
			key := "path"
			if r.Name != "" {
				key = "route." + r.Name + ".path"
			}
			c.hint(s, spec.Problem{
				Code: "never-asked", Route: r.ID, Label: c.schema.Prefix + "." + key, Value: label.Shown(m.Path),
				Message: "is asked after all prefixes, and " + taker + " has / of " + m.Host + ", which takes every path",
				Fix:     "write it as a prefix (/api) or as an exact path (=/api)",
			})
			break
		}
	}
}

// published: two services cannot have one port of the host, and the proxy needs
// those that it listens on.
func (c *checker) published() {
	first := map[int]*composefile.Service{}
	if c.q.Proxy != nil && c.q.Proxy.Workload.HostNet {
		for _, port := range c.q.Listens {
			first[port] = c.q.Proxy
		}
	}
	for _, p := range c.q.Projects {
		for _, s := range p.Services {
			for _, port := range slices.Sorted(maps.Keys(s.Published)) {
				other := first[port]
				if first[port] = s; other == nil || other == s {
					continue
				}
				what := "as " + other.Workload.Name + " does"
				if other == c.q.Proxy && other.Workload.HostNet {
					what = "which the proxy, " + other.Workload.Name + ", listens on"
				}
				c.hint(s, spec.Problem{
					Code: "port-taken", Message: fmt.Sprintf("publishes the port %d of the host, %s: the second cannot be started", port, what),
					Fix: "remove it from  ports:  of one of them; what the proxy serves needs no published port", Effect: label.Unrouted,
				})
			}
		}
	}
}

// proxies: two proxies of one label prefix serve the same containers.
func (c *checker) proxies() {
	var first *composefile.Service
	for _, p := range c.q.Projects {
		for _, s := range p.Services {
			switch {
			case !IsProxy(s):
			case first == nil:
				first = s
			case s.Environment["FAIRLEAD_LABEL_PREFIX"] == first.Environment["FAIRLEAD_LABEL_PREFIX"]:
				c.hint(s, spec.Problem{
					Code: "second-proxy", Message: "is a second Fairlead beside " + first.Workload.Name + ": both serve the same labels, and only one can have ports 80 and 443",
					Fix: "remove one, or give it labels of its own with  FAIRLEAD_LABEL_PREFIX: other",
				})
			}
		}
	}
}

// IsProxy reports whether a service is a Fairlead: by the name of its image, or
// by a setting that only Fairlead has.
func IsProxy(s *composefile.Service) bool {
	image, _, _ := strings.Cut(s.Image, "@")
	image = path.Base(image)
	image, _, _ = strings.Cut(image, ":")
	if image == "fairlead" {
		return true
	}
	for name := range s.Environment {
		if strings.HasPrefix(name, "FAIRLEAD_") {
			return true
		}
	}
	return false
}
