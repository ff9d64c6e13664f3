package spec_test

import (
	"net/netip"
	"testing"

	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
)

// Why a port and an address were chosen is said by those who choose them.
func TestChoicesSayWhy(t *testing.T) {
	on := func(network, addr string) spec.Attachment {
		return spec.Attachment{Network: network, Driver: "bridge", IPv4: netip.MustParseAddr(addr)}
	}
	host := spec.Self{HostNet: true, Bridges: true}
	beside := spec.Self{ID: "p", Name: "proxy", Networks: []string{"front"}, Gateways: []netip.Addr{netip.MustParseAddr("172.18.0.1")}}
	for _, tt := range []struct {
		name   string
		self   spec.Self
		labels map[string]string
		change func(w *spec.Workload)
		want   spec.Choice
	}{
		{"one port, one network", host, nil, nil,
			spec.Choice{Port: 8000, PortWhy: "the only one it exposes", Address: "172.18.0.2:8000", AddressWhy: "on front: the proxy is on the host, which reaches every bridge"}},
		{"a shared network", beside, nil, func(w *spec.Workload) { w.Networks = append(w.Networks, on("back", "172.19.0.2")) },
			spec.Choice{Port: 8000, PortWhy: "the only one it exposes", Address: "172.18.0.2:8000", AddressWhy: "on front, the only network that it shares with the proxy"}},
		{"no shared network", beside, nil, func(w *spec.Workload) { w.Networks[0].Network = "back" },
			spec.Choice{Port: 8000, PortWhy: "the only one it exposes", AddressWhy: "web is on back, the proxy (proxy) is on front: they share none"}},
		{"several networks", host, nil, func(w *spec.Workload) { w.Networks = append(w.Networks, on("back", "172.19.0.2")) },
			spec.Choice{Port: 8000, PortWhy: "the only one it exposes", Address: "172.19.0.2:8000", AddressWhy: "on back, the first of 2 networks by which the proxy reaches it"}},
		{"labels", host, map[string]string{"fairlead.port": "9000", "fairlead.network": "front"}, func(w *spec.Workload) { w.Networks = append(w.Networks, on("back", "172.19.0.2")) },
			spec.Choice{Port: 9000, PortWhy: "by the label fairlead.port", Address: "172.18.0.2:9000", AddressWhy: "on front, by the label fairlead.network"}},
		{"no port exposed", host, nil, func(w *spec.Workload) { w.Exposed = nil },
			spec.Choice{Port: 80, PortWhy: "a guess: it exposes none", Address: "172.18.0.2:80", AddressWhy: "on front: the proxy is on the host, which reaches every bridge"}},
		{"one of HTTP", host, nil, func(w *spec.Workload) { w.Exposed = []int{5432, 8000} },
			spec.Choice{Port: 8000, PortWhy: "of those it exposes (5432, 8000) the only one that may be HTTP", Address: "172.18.0.2:8000", AddressWhy: "on front: the proxy is on the host, which reaches every bridge"}},
		{"a guess among several", host, nil, func(w *spec.Workload) { w.Exposed = []int{3000, 8080} },
			spec.Choice{Port: 8080, PortWhy: "a guess: it exposes 3000, 8080", Address: "172.18.0.2:8080", AddressWhy: "on front: the proxy is on the host, which reaches every bridge"}},
		{"ambiguous", host, nil, func(w *spec.Workload) { w.Exposed = []int{4000, 5000} },
			spec.Choice{PortWhy: "exposes 4000, 5000, and none of them is surely the one for HTTP", AddressWhy: "without a port there is none"}},
		{"the host's network", host, map[string]string{"fairlead.port": "9000"}, func(w *spec.Workload) { w.HostNet = true },
			spec.Choice{Port: 9000, PortWhy: "by the label fairlead.port", Address: "127.0.0.1:9000", AddressWhy: "it shares the host's network"}},
		{"stopped", host, nil, func(w *spec.Workload) { w.State = spec.Exited },
			spec.Choice{Port: 8000, PortWhy: "the only one it exposes", AddressWhy: "it is exited"}},
		{"a published port", spec.Self{}, nil, func(w *spec.Workload) {
			w.Published = []spec.Published{{Container: 8000, Host: netip.MustParseAddrPort("127.0.0.1:32768")}}
		}, spec.Choice{Port: 8000, PortWhy: "the only one it exposes", Address: "127.0.0.1:32768", AddressWhy: "its published port, for the proxy runs outside the engine's networks"}},
	} {
		w := &spec.Workload{ID: "w", Name: "web", State: spec.Running, Exposed: []int{8000}, Networks: []spec.Attachment{on("front", "172.18.0.2")}, Labels: map[string]string{"fairlead.host": "app.test"}}
		for name, value := range tt.labels {
			w.Labels[name] = value
		}
		if tt.change != nil {
			tt.change(w)
		}
		got := spec.Choices(spec.Config{Schema: routing.Schema("fairlead"), Domain: "localhost"}, tt.self, w)
		if len(got) != 1 {
			t.Errorf("%s: %+v, want one choice", tt.name, got)
			continue
		}
		got[0].Route, got[0].Pool = "", ""
		if got[0] != tt.want {
			t.Errorf("%s:\n%+v\nwant\n%+v", tt.name, got[0], tt.want)
		}
	}
}
