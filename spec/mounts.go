package spec

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// within returns the name that file has below dir, "" for dir itself.
func within(file, dir string) (name string, ok bool) {
	if dir == "/" || dir == "" {
		return strings.TrimPrefix(file, "/"), true
	}
	rest, ok := strings.CutPrefix(file, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// over returns the mount that file lies on, the deepest of ms, and the name that
// it has there; nil if it lies on none.
func over(ms []Mount, file string) (m *Mount, name string) {
	for i := range ms {
		if rest, ok := within(file, ms[i].At); ok && (m == nil || len(ms[i].At) > len(m.At)) {
			m, name = &ms[i], rest
		}
	}
	return m, name
}

// on returns the path on the engine's host of what lies at name below m, "" if
// it has none.
func (m *Mount) on(name string) string {
	if m.Host == "" {
		return ""
	}
	return path.Join(m.Host, name)
}

// shows returns the name below m of what lies at name below the mount x of
// another container.
func (m *Mount) shows(x *Mount, name string) (string, bool) {
	if x.Volume != "" && m.Volume == x.Volume {
		if below, ok := within(path.Join(x.Sub, name), m.Sub); ok {
			return below, true
		}
	}
	host := x.on(name)
	if host == "" || m.Host == "" {
		return "", false
	}
	return within(host, m.Host)
}

// sees returns the place where the proxy has what lies at name below the mount x
// of a container, none if it has it nowhere.
func (s *Self) sees(x *Mount, name string) Place {
	if s.ID == "" {
		if !s.HostNet || x.Host == "" {
			return Place{} // it is on another machine, or shut off from this one
		}
		return Place{x.Host, name}
	}
	var best *Mount
	depth := 0
	for i := range s.Mounts {
		m := &s.Mounts[i]
		below, ok := m.shows(x, name)
		if !ok || best != nil && len(below) >= depth {
			continue
		}
		// What another mount of the proxy lies over is not seen.
		if top, _ := over(s.Mounts, path.Join(m.At, below)); top == m {
			best, depth = m, len(below)
		}
	}
	if best == nil {
		return Place{}
	}
	if root, ok := best.shows(x, ""); ok { // it has all of x
		return Place{path.Join(best.At, root), name}
	}
	below, _ := best.shows(x, name)
	return Place{best.At, below}
}

// A layout finds out where the content of a directory of a container lies.
type layout struct {
	self   *Self
	w      *Workload
	dir    string
	source string // of the label
	app    bool   // what is not there is asked of an app

	areas    []Area
	skip     []string // mounts below dir that are not copied
	problems []Problem
}

func (l *layout) read() {
	m, name := over(l.w.Mounts, l.dir)
	switch {
	case l.w.MountsUnknown:
		l.areas = []Area{{Kind: Unshared, From: "not known yet"}}
	case m == nil && l.source == sourceVolume:
		l.areas = []Area{{Kind: Unshared, From: "the container's own file system"}}
		l.problem(Problem{
			Code: "static-no-mount", Message: l.dir + " is part of the container's own file system: no volume or bind mount lies over it, as static.source=volume says",
			Fix: "remove static.source, or mount a volume there", Effect: label.Ignored,
		})
	case m == nil:
		l.areas = []Area{{Kind: Archived, From: "the container's own file system"}}
	case l.source == sourceArchive:
		l.areas = []Area{l.copied(m, name)}
	default:
		l.areas = []Area{l.shared("", m, name)}
	}
	for i := range l.w.Mounts {
		if below, ok := within(l.w.Mounts[i].At, l.dir); ok && below != "" {
			l.nested(below, &l.w.Mounts[i])
		}
	}
	for i := 0; i < len(l.areas); i++ { // it may add some
		l.covered(l.areas[i])
	}
	slices.SortFunc(l.areas, func(a, b Area) int { return strings.Compare(a.Below, b.Below) })
}

// nested adds the area of m, which lies over the name below of the directory.
func (l *layout) nested(below string, m *Mount) {
	copied := l.areas[0].Kind == Archived
	inSkipped := slices.ContainsFunc(l.skip, func(s string) bool { _, ok := within(below, s); return ok })
	switch {
	case copied && l.source == sourceArchive && m.Kind == "volume" && !inSkipped:
		return // comes with the rest
	case copied && l.source == sourceArchive:
		// Secrets are mounted so.
		l.areas = append(l.areas, Area{Below: below, Kind: Unshared, From: m.words("") + ", which is not copied"})
	default:
		l.areas = append(l.areas, l.shared(below, m, ""))
	}
	if copied && !inSkipped {
		l.skip = append(l.skip, below)
	}
}

// copied returns the area of the directory where a label has it copied off m.
func (l *layout) copied(m *Mount, name string) Area {
	a := Area{Kind: Unshared, From: m.words(name)}
	why := hostRefusal(m, name)
	switch {
	case why != "":
		l.refuse(l.dir, &a, why)
	case m.Kind == "tmpfs":
		a.From += ", which cannot be copied"
		l.problem(Problem{
			Code: "static-not-shared", Message: l.dir + " lies on a tmpfs, which can neither be copied nor shared: " + l.instead(),
			Fix: "mount a volume there that the proxy has too", Effect: label.Hinted,
		})
	default:
		a.Kind = Archived
	}
	return a
}

// shared returns the area of what lies at name below m, whose name below the
// directory is below.
func (l *layout) shared(below string, m *Mount, name string) Area {
	a, file := Area{Below: below, Kind: Unshared, From: m.words(name)}, path.Join(l.dir, below)
	here, why := l.place(m, name)
	switch {
	case why != "":
		l.refuse(file, &a, why)
		return a
	case here != Place{}:
		a.Kind, a.Place = Live, here
		a.From += ", which the proxy has at " + here.Path()
		return a
	}
	message := file + " lies on " + a.From + ", which the proxy does not have: "
	a.From += ", which the proxy does not have"
	if m.Kind == "tmpfs" {
		message = file + " lies on a tmpfs, which cannot be shared: "
		a.From = "a tmpfs, which cannot be shared"
	}
	l.problem(Problem{Code: "static-not-shared", Message: message + l.instead(), Fix: l.share(m, name), Effect: label.Hinted})
	return a
}

// covered adds an area for each mount of the proxy that lies over part of a: its
// content is the proxy's there, not the app's.
func (l *layout) covered(a Area) {
	if a.Kind != Live || l.self.ID == "" {
		return
	}
	m, name := over(l.w.Mounts, path.Join(l.dir, a.Below))
	for i := range l.self.Mounts {
		below, ok := within(l.self.Mounts[i].At, a.Path())
		if !ok || below == "" {
			continue
		}
		place := path.Join(a.Below, below)
		if top, _ := over(l.w.Mounts, path.Join(l.dir, place)); top != m || slices.ContainsFunc(l.areas, func(x Area) bool { return x.Below == place }) {
			continue // it is an area of its own, or lies in one
		}
		x := Area{Below: place, Kind: Unshared, From: m.words(path.Join(name, below)) + ", where the proxy has another mount"}
		switch here, why := l.place(m, path.Join(name, below)); {
		case here.Path() == path.Join(a.Path(), below):
			continue // it is the same there
		case here != Place{} && why == "":
			x.Kind, x.Place, x.From = Live, here, m.words(path.Join(name, below))+", which the proxy has at "+here.Path()
		}
		l.areas = append(l.areas, x)
	}
}

// place returns where the proxy has what lies at name below m, nowhere if it has
// not, or why that is not served.
func (l *layout) place(m *Mount, name string) (here Place, why string) {
	if why = hostRefusal(m, name); why != "" {
		return Place{}, why
	}
	here = l.self.sees(m, name)
	if at := refusal(here.Path()); here != (Place{}) && m.Kind != "volume" && at != "" {
		return Place{}, "the proxy has at " + here.Path() + ", which " + at // its own secrets are bound there
	}
	return here, ""
}

// hostRefusal says why what lies at name below m is not served, though the path
// in the container would do.
func hostRefusal(m *Mount, name string) string {
	if host := m.on(name); host != "" && m.Kind != "volume" {
		return refusal(host)
	}
	return ""
}

func (l *layout) refuse(file string, a *Area, why string) {
	l.problem(Problem{Code: "static-refused", Message: file + " lies on " + a.From + ", which " + why + ": nothing of that is served", Effect: label.Hinted})
	a.From += ", which is not served"
}

func (l *layout) problem(q Problem) { l.problems = append(l.problems, q) }

// instead says what becomes of requests for files that cannot be read.
func (l *layout) instead() string {
	if l.app {
		return "requests for its files go to the app"
	}
	return "requests for its files are answered 404"
}

// words describes what lies at name below m.
func (m *Mount) words(name string) string {
	switch {
	case m.Volume != "":
		if part := path.Join(m.Sub, name); part != "" {
			return "the volume " + m.Volume + " (" + part + ")"
		}
		return "the volume " + m.Volume
	case m.Kind == "tmpfs":
		return "a tmpfs"
	case m.Host != "":
		return m.on(name) + " of the host"
	}
	return "a mount of the kind " + cmp.Or(m.Kind, "unknown")
}

// share says what to write so that the proxy has what lies at name below m.
func (l *layout) share(m *Mount, name string) string {
	switch {
	case m.Kind == "tmpfs":
		return "mount a volume there that the proxy has too"
	case l.self.ID == "" && l.self.HostNet:
		return "mount a volume there that has a directory on this host, or set static.source to archive"
	case l.self.ID == "":
		return "run the proxy on the engine's host, or in a container that mounts it too"
	case anonymous(m.Volume):
		return "mount a named volume there, and the same one in the proxy's service, or set static.source to archive"
	case m.Volume != "":
		return l.shareVolume(m)
	case m.Host != "":
		host := m.on(name)
		return "add to the volumes of the proxy's service  - " + host + ":" + host + ":ro"
	}
	return "mount a volume there that the proxy has too"
}

func (l *layout) shareVolume(m *Mount) string {
	name, key := m.Volume, m.Volume
	if l.w.Project != "" && l.w.Project == l.self.Project {
		// Compose puts the project in front of the key that its file has.
		key = strings.TrimPrefix(key, l.w.Project+"_")
	}
	line := "add to the volumes of the proxy's service  - " + key + ":/srv/" + name + ":ro"
	if key != name {
		return line
	}
	return line + "  and to its compose file, at the top level,  volumes: {" + name + ": {external: true}}"
}

// anonymous reports whether a volume has a name that the engine made up.
func anonymous(volume string) bool {
	return len(volume) == 64 && strings.Trim(volume, "0123456789abcdef") == ""
}
