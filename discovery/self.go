package discovery

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/spec"
)

// ownIDs are the ids the proxy's own container may have, the surest first. A
// cgroup is nobody else's, but is hidden where it has a namespace of its own.
// The engine mounts files of its own over /etc/hostname and its like, whose
// path holds the id, under host networking too, where the hostname is the
// host's. They and the hostname are another's where the proxy joined another's
// network namespace: see unmask.
func ownIDs(read func(string) ([]byte, error), hostname func() (string, error)) []string {
	var ids []string
	if b, err := read("/proc/self/cgroup"); err == nil {
		all := inCgroup.FindAllString(string(b), -1)
		slices.Reverse(all) // the innermost comes last where engines are nested
		ids = append(ids, all...)
	}
	if b, err := read("/proc/self/mountinfo"); err == nil {
		ids = append(ids, idsInMountinfo(string(b))...)
	}
	if h, err := hostname(); err == nil && looksLikeID.MatchString(h) {
		ids = append(ids, h)
	}
	return ids
}

var (
	inMountinfo = regexp.MustCompile(`containers/([0-9a-f]{64})/`)
	upperDir    = regexp.MustCompile(`[ ,]upperdir=([^, ]+)`)
	inCgroup    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	looksLikeID = regexp.MustCompile(`^[0-9a-f]{12}$`)
)

// idsInMountinfo looks at the mounts of three files only: a process on the host
// sees the mounts of all containers, but none of theirs over its own files.
func idsInMountinfo(s string) []string {
	var ids []string
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		switch f[4] {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
			if m := inMountinfo.FindStringSubmatch(f[3]); m != nil {
				ids = append(ids, m[1])
			}
		}
	}
	return ids
}

// layerIn is the directory that is written to below the root of the file
// system, "" if that is no overlay.
func layerIn(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == "/" {
			if m := upperDir.FindStringSubmatch(line); m != nil {
				return m[1]
			}
		}
	}
	return ""
}

func (c *Config) ownLayer() string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if c.SelfID != nil || err != nil {
		return ""
	}
	return layerIn(string(b))
}

func (c *Config) ownIDs() []string {
	if c.SelfID != nil {
		return []string{c.SelfID()}
	}
	return ownIDs(os.ReadFile, os.Hostname)
}

func (c *Config) localAddrs() []netip.Addr {
	if c.LocalAddrs != nil {
		return c.LocalAddrs()
	}
	return interfaceAddrs()
}

// recognise finds the proxy's own container among those of this engine.
func (l *loop) recognise() {
	if it := l.items[l.selfID]; it != nil && l.layer != "" && it.layer == l.layer {
		return
	}
	for _, want := range l.selfIDs {
		for id := range l.items {
			if want != "" && strings.HasPrefix(id, want) {
				l.become(id)
				return
			}
		}
	}
	l.become("")
}

// become takes a container for the proxy's own.
func (l *loop) become(id string) {
	for _, id := range []string{l.selfID, id} {
		if it := l.items[id]; it != nil {
			l.alter(it)
		}
		for _, g := range l.guests[short(id)] {
			l.alter(g) // maybeSelf
		}
	}
	l.selfID, l.moved = id, true
}

// maybeSelf reports whether a container shares the network namespace of what
// was taken for the proxy's own: only an inspect tells which of them it is.
func (l *loop) maybeSelf(it *item) bool {
	return l.layer != "" && l.selfID != "" && it.joins() == l.selfID
}

// unmask recognises the proxy's own container by its root file system, which
// is nobody else's.
func (l *loop) unmask(it *item) {
	if l.layer != "" && it.layer == l.layer && l.selfID != it.id {
		l.become(it.id)
		l.log.Debug().Str("container", it.name).Msg("own container recognised")
	}
}

// self is the proxy's own place.
func (l *loop) self() spec.Self {
	it := l.items[l.selfID]
	if it == nil {
		local := l.bridgesHere()
		s := spec.Self{HostNet: local, Bridges: local}
		if local {
			s.Gateways = l.gateways(nil)
		} else {
			s.Engine = l.cfg.remote()
		}
		return s
	}
	home := it
	if o := l.owner(it); o != nil {
		home = o
	}
	s := spec.Self{ID: it.id, Name: it.name, Project: it.project(), HostNet: home.mode == "host", Mounts: it.mounts}
	s.Bridges = s.HostNet && l.bridgesHere()
	for _, p := range home.places {
		s.Networks = append(s.Networks, p.network)
	}
	slices.Sort(s.Networks)
	if s.HostNet {
		s.Gateways = l.gateways(nil)
	} else {
		s.Gateways = l.gateways(home.places)
	}
	return s
}

// bridgesHere reports whether the gateway of one of the engine's bridges is an
// address of ours: then every address behind them can be dialled. It cannot on
// Docker Desktop and with rootless engines, whose bridges are elsewhere.
func (l *loop) bridgesHere() bool {
	for _, n := range l.networks {
		if n.driver == "bridge" && slices.ContainsFunc(n.gateways, func(a netip.Addr) bool { return slices.Contains(l.local, a) }) {
			return true
		}
	}
	return false
}

// gateways are those of the given places, of all bridges for nil.
func (l *loop) gateways(places []place) []netip.Addr {
	var out []netip.Addr
	for id, n := range l.networks {
		if places == nil && n.driver == "bridge" || slices.ContainsFunc(places, func(p place) bool { return p.networkID == id }) {
			out = append(out, n.gateways...)
		}
	}
	for _, p := range places {
		for _, a := range []netip.Addr{p.gw4, p.gw6} {
			if a.IsValid() {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
