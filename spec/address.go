package spec

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// target fills in where d's requests go. What it cannot find out becomes a
// problem, and an endpoint that takes no request and says why.
func (p *Parser) target(c *container, d *draft) {
	if len(terminals(d.opts, p.cfg.Schema)) > 0 || p.filesAlone(c, d) {
		return
	}
	w := c.w
	base := w.Owner() + "/" + w.service()
	if o, ok := label.Get[urlOptions](d.opts, "url"); ok {
		d.pool, d.targets = strings.TrimSuffix(base+"."+d.name, ".")+":url", slices.Clone(o.Targets)
		for i := range d.targets {
			d.targets[i].Options = p.loadOptions(d.opts, label.PerEndpoint)
		}
		return
	}
	if w.Source != FromEngine {
		return // it has no target but a url, and faults has said so
	}
	if o, ok := label.Get[poolOptions](d.opts, "pool"); ok {
		if base = w.Owner() + "/" + o.Name; strings.HasPrefix(o.Name, "@") {
			base = o.Name
		}
	}
	scheme := "http"
	if o, ok := label.Get[schemeOptions](d.opts, "scheme"); ok {
		scheme = o.Scheme
	}
	port, problem := p.port(w, d.opts)
	d.endpoint = Endpoint{ID: w.ID, Container: w.Name, StartedAt: w.StartedAt, State: w.State, Health: w.Health, Reason: w.Reason, Scheme: scheme, Options: p.loadOptions(d.opts, label.PerEndpoint)}
	d.pool = fmt.Sprintf("%s:%d%s", base, port, poolSuffix(d.opts, scheme))
	network, _ := label.Get[networkOptions](d.opts, "network")
	if d.ownNetwork {
		d.pool += "@" + network.Name // the same container at another address
	}
	if problem == nil {
		d.endpoint.Addr, problem = p.address(w, network.Name, port)
		d.endpoint.OnHost = d.endpoint.Addr.IsValid() && !w.has(d.endpoint.Addr.Addr())
	}
	if problem != nil {
		problem.Container, problem.Route = w.Name, routeID(w, d.name)
		problem.Effect = label.Unrouted
		d.endpoint.Reason = problem.Message
		c.problems = append(c.problems, *problem)
	}
}

// loadOptions returns what opts say of how load is shared, by the container or
// by the pool; nil if nothing.
func (p *Parser) loadOptions(opts label.Options, level label.Level) (out label.Options) {
	for name, o := range opts {
		k := p.cfg.Schema.Kind(name)
		if k.Slot != label.Pool || (k.Level == label.PerEndpoint) != (level == label.PerEndpoint) {
			continue
		}
		if out == nil {
			out = label.Options{}
		}
		out[name] = o
	}
	return out
}

// has reports whether a is one of the container's own addresses.
func (w *Workload) has(a netip.Addr) bool {
	return slices.ContainsFunc(w.Networks, func(n Attachment) bool { return n.IPv4 == a || n.IPv6 == a })
}

// poolSuffix keeps apart what must not share connections.
func poolSuffix(opts label.Options, scheme string) string {
	suffix := ""
	if scheme != "http" {
		suffix = "/" + scheme
	}
	if o, ok := label.Get[UpstreamTLS](opts, "upstream-tls"); ok && o != (UpstreamTLS{}) {
		// Members of a pool shared across projects do not trust each other: none
		// may find other settings with the same sum.
		sum := sha256.Sum256(fmt.Appendf(nil, "%t %q", o.NoVerify, []string{o.CA, o.ServerName, o.Cert, o.Key}))
		suffix += fmt.Sprintf("#%x", sum[:8])
	}
	return suffix
}

func (p *Parser) port(w *Workload, opts label.Options) (int, *Problem) {
	name := p.cfg.Schema.Prefix + ".port"
	if o, ok := label.Get[portOptions](opts, "port"); ok {
		return o.Port, nil
	}
	if w.HostNet {
		return 0, &Problem{Code: "port-required", Label: name, Message: "shares the host's network, where no port is its own", Fix: `add the label ` + name + `: "8080" with the port it listens on`}
	}
	port, could := guessPort(w)
	if port != 0 {
		return port, nil
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(w.Exposed), " ", ", "), "[]")
	q := &Problem{
		Code: "port-ambiguous", Label: name, Message: "exposes " + list + ", and none of them is surely the one for HTTP",
		Fix: fmt.Sprintf("add the label %s: \"%d\", or another of them", name, could[0]),
	}
	if slices.Contains(notHTTP, could[0]) {
		q.Message, q.Fix = "exposes "+list+" alone, which other protocols have", "add the label "+name+" with the port on which it speaks HTTP"
	}
	return 0, q
}

// address returns where port of w can be dialled from here.
func (p *Parser) address(w *Workload, network string, port int) (netip.AddrPort, *Problem) {
	none := netip.AddrPort{}
	switch {
	case w.State != Running && w.State != Draining && w.State != Paused:
		return none, nil // it has no address now, and nothing is wrong with that
	case w.HostNet:
		return p.onHost(port)
	case len(w.Networks) == 0 && w.NetworkOf != "":
		return none, &Problem{Code: "no-address", Message: "shares the network of " + w.NetworkOf + ", which has no address now"}
	case len(w.Networks) == 0:
		return none, &Problem{Code: "no-address", Message: "is on no network", Fix: "put it on a network of the proxy (networks: in its compose file)"}
	}
	reachable, problem := p.reachable(w, network)
	if problem != nil {
		return none, problem
	}
	if !p.self.Bridges && p.self.ID == "" {
		return p.published(w, port)
	}
	if len(reachable) == 0 {
		return none, p.noSharedNetwork(w, network)
	}
	a := slices.MinFunc(reachable, p.preferNetwork)
	if a.IPv4.IsValid() {
		return netip.AddrPortFrom(a.IPv4, uint16(port)), nil
	}
	return netip.AddrPortFrom(a.IPv6, uint16(port)), nil
}

// onHost is where port of the host is reached: at loopback if we share its
// network, else at the gateway of a network of ours. Loopback would be the
// proxy itself there.
func (p *Parser) onHost(port int) (netip.AddrPort, *Problem) {
	if p.self.HostNet || p.self.ID == "" {
		return netip.AddrPortFrom(p.engineAddr(), uint16(port)), nil
	}
	if len(p.self.Gateways) == 0 {
		return netip.AddrPort{}, &Problem{
			Code: "no-address", Message: "shares the host's network, and no network of the proxy (" + p.self.Name + ") has a gateway to it", Fix: "run the proxy with  network_mode: host",
		}
	}
	g := p.self.Gateways[max(0, slices.IndexFunc(p.self.Gateways, netip.Addr.Is4))]
	return netip.AddrPortFrom(g, uint16(port)), nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// engineAddr is where ports of the engine's host are reached from outside.
func (p *Parser) engineAddr() netip.Addr {
	if p.self.Engine.IsValid() {
		return p.self.Engine
	}
	return loopback
}

// reachable returns the places where w has an address that can be dialled from
// here, limited to the network a label names.
func (p *Parser) reachable(w *Workload, network string) ([]Attachment, *Problem) {
	var out []Attachment
	named := network == ""
	var names []string
	for _, a := range w.Networks {
		names = append(names, a.Network)
		if network != "" && network != a.Key && network != a.Network {
			continue
		}
		named = true
		if !a.IPv4.IsValid() && !a.IPv6.IsValid() {
			continue
		}
		// An overlay is inside the engine: the host has no way into it.
		if p.self.Bridges && a.Driver != "overlay" || slices.Contains(p.self.Networks, a.Network) {
			out = append(out, a)
		}
	}
	if !named {
		return nil, &Problem{
			Code: "unknown-network", Label: p.cfg.Schema.Prefix + ".network", Value: label.Shown(network),
			Message: "is not on that network; it is on " + strings.Join(names, ", "), Suggest: label.Nearest(network, slices.Values(names)),
		}
	}
	return out, nil
}

// preferNetwork orders networks: the operator's choice, bridge and overlay
// before macvlan and ipvlan (which a host cannot reach itself), IPv4, by name.
func (p *Parser) preferNetwork(a, b Attachment) int {
	rank := func(x Attachment) int {
		n := 0
		if x.Driver == "macvlan" || x.Driver == "ipvlan" {
			n += 2
		}
		if p.cfg.Network != "" && (x.Network == p.cfg.Network || x.Key == p.cfg.Network) {
			n -= 4
		}
		if !x.IPv4.IsValid() {
			n++
		}
		return n
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Network, b.Network))
}

// published returns the host's port that leads to port of w, for a proxy that
// cannot reach container addresses (Docker Desktop, rootless engines).
func (p *Parser) published(w *Workload, port int) (netip.AddrPort, *Problem) {
	for _, pub := range w.Published {
		if pub.Container != port {
			continue
		}
		host := pub.Host.Addr()
		if host.IsUnspecified() {
			host = p.engineAddr()
		}
		return netip.AddrPortFrom(host, pub.Host.Port()), nil
	}
	return netip.AddrPort{}, &Problem{
		Code: "publish-port", Message: fmt.Sprintf("cannot be reached from here: this proxy runs outside the engine's networks, and port %d is not published", port),
		Fix: fmt.Sprintf("add to its service  ports: [\"127.0.0.1::%d\"]", port),
	}
}

// noSharedNetwork says why w cannot be reached on the network that a label
// names, or on any.
func (p *Parser) noSharedNetwork(w *Workload, named string) *Problem {
	var theirs []string
	address := false
	for _, a := range w.Networks {
		theirs = append(theirs, a.Network)
		if named == "" || named == a.Key || named == a.Network {
			address = address || a.IPv4.IsValid() || a.IPv6.IsValid()
		}
	}
	if !address {
		return &Problem{Code: "no-address", Message: "has no address on " + cmp.Or(named, strings.Join(theirs, ", ")) + " now"}
	}
	ours := cmp.Or(strings.Join(p.self.Networks, ", "), "no network")
	q := &Problem{
		Code:    "no-shared-network",
		Message: w.Name + " is on " + strings.Join(theirs, ", ") + ", the proxy (" + p.self.Name + ") is on " + ours + ": they share none",
		Fix:     "run the proxy with  network_mode: host",
	}
	switch {
	case named != "" && slices.ContainsFunc(theirs, func(n string) bool { return slices.Contains(p.self.Networks, n) }):
		q.Kind, q.Label, q.Value = "network", p.cfg.Schema.Prefix+".network", label.Shown(named)
		q.Message = "the proxy (" + p.self.Name + ") is on " + ours + ", not on this network"
		q.Fix = "name a network that both are on, or remove the label"
	case len(p.self.Networks) > 0:
		q.Fix = "add to the service  networks: [default, " + p.self.Networks[0] + "]  with  " + p.self.Networks[0] + ": {external: true}  at the top level, or run the proxy with  network_mode: host"
	}
	return q
}
