package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// A Choice is where requests of a route go in one container, and why there.
type Choice struct {
	Route      string `json:"route"`
	Pool       string `json:"pool"`
	Port       int    `json:"port,omitempty"` // 0 if none could be chosen
	PortWhy    string `json:"port_why"`
	Address    string `json:"address,omitempty"` // "" if it has none that can be reached
	AddressWhy string `json:"address_why"`
}

// Choices reads the labels of w as a Parser does that stands where self is, and says
// which port and address it chooses; one Choice for each pool. Routes that do not
// lead to the container itself have none.
func Choices(cfg Config, self Self, w *Workload) (all []Choice) {
	p := NewParser(cfg)
	p.self = relevant(self)
	seen := map[string]bool{}
	for _, d := range p.read(w).drafts {
		if !dialled(d) || seen[d.pool] {
			continue
		}
		seen[d.pool] = true
		c := Choice{Route: routeID(w, d.name), Pool: d.pool}
		port, problem := p.port(w, d.opts)
		if problem != nil {
			c.PortWhy, c.AddressWhy = problem.Message, "without a port there is none"
		} else {
			c.Port, c.PortWhy = port, p.whyPort(w, d.opts)
			c.AddressWhy = d.endpoint.Reason
			if d.endpoint.Addr.IsValid() {
				c.Address, c.AddressWhy = d.endpoint.Addr.String(), p.whyAddress(w, &d)
			}
		}
		if c.AddressWhy == "" {
			c.AddressWhy = "it is " + w.State.String()
		}
		all = append(all, c)
	}
	return all
}

// whyPort says why it is the port that p.port returns.
func (p *Parser) whyPort(w *Workload, opts label.Options) string {
	if _, ok := label.Get[portOptions](opts, "port"); ok {
		return "by the label " + p.cfg.Schema.Prefix + ".port"
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(w.Exposed), " ", ", "), "[]")
	switch {
	case len(w.Exposed) == 0:
		return "a guess: it exposes none"
	case len(w.Exposed) == 1:
		return "the only one it exposes"
	case len(MaybeHTTP(w.Exposed)) == 1:
		return "of those it exposes (" + list + ") the only one that may be HTTP"
	}
	return "a guess: it exposes " + list
}

// whyAddress says why d's endpoint has the address that p.address returns.
func (p *Parser) whyAddress(w *Workload, d *draft) string {
	switch addr := d.endpoint.Addr.Addr(); {
	case w.HostNet:
		return "it shares the host's network"
	case !w.has(addr):
		return "its published port, for the proxy runs outside the engine's networks"
	default:
		return p.whyNetwork(w, d, w.Networks[slices.IndexFunc(w.Networks, func(a Attachment) bool { return a.IPv4 == addr || a.IPv6 == addr })])
	}
}

func (p *Parser) whyNetwork(w *Workload, d *draft, at Attachment) string {
	network, _ := label.Get[networkOptions](d.opts, "network")
	reachable, _ := p.reachable(w, network.Name)
	on := "on " + at.Network
	switch {
	case network.Name != "":
		return on + ", by the label " + p.cfg.Schema.Prefix + ".network"
	case len(reachable) > 1 && p.cfg.Network != "" && (at.Network == p.cfg.Network || at.Key == p.cfg.Network):
		return on + ", by --network"
	case len(reachable) > 1:
		return on + fmt.Sprintf(", the first of %d networks by which the proxy reaches it", len(reachable))
	case p.self.Bridges:
		return on + ": the proxy is on the host, which reaches every bridge"
	}
	return on + ", the only network that it shares with the proxy"
}
