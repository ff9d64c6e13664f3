package label

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of one container's labels (docs/threats.md 36): beyond them the
// container is refused whole.
const (
	MaxOurs   = 256       // labels with our prefix
	MaxAll    = 4096      // labels of any kind
	MaxValue  = 64 << 10  // bytes of one of our values
	MaxTotal  = 512 << 10 // bytes of all labels
	MaxRoutes = 64        // named routes: each decodes what it inherits
)

// A Setting is one label of a route: its key without prefix and route name.
type Setting struct {
	Key, Text string
	Label     string // as written

	at *found // what Read looked up; nil if it did not
	// stray is what is wrong with the label's name in front of the key. Such a
	// setting has no value; where the key protects, it refuses the route.
	stray *Problem
}

// Counts reports whether the setting has a value, good or bad: its label's name
// is not misspelt in front of the key.
func (s Setting) Counts() bool { return s.Label != "" && s.stray == nil }

// Labels are the settings of one container, by route.
type Labels struct {
	Main   map[string]Setting
	Routes map[string]map[string]Setting // by the route's name
}

var routeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// Read sorts labels by route. A problem with Effect ContainerRefused means that
// nothing of them may be used.
func (s *Schema) Read(container string, labels map[string]string) (Labels, []Problem) {
	refuse := func(p *Problem) (Labels, []Problem) {
		p.Container = container
		return Labels{}, []Problem{*p}
	}
	if p := s.tooMuch(labels); p != nil {
		return refuse(p)
	}
	l := Labels{Main: map[string]Setting{}, Routes: map[string]map[string]Setting{}}
	var strays []stray
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		first, key, ok := s.cut(name)
		if !ok || first != s.Prefix && !s.misspelt(first) {
			continue
		}
		route, below, err := s.place(key)
		if first != s.Prefix {
			err = &Problem{Code: "misspelt-prefix", Message: "is not read: labels begin with " + s.Prefix + ".", Suggest: Shown(s.Prefix + "." + key)}
		}
		set := Setting{Key: below, Text: labels[name], Label: Shown(name)}
		if err != nil {
			strays = append(strays, stray{route, set, err})
			continue
		}
		at := s.resolve(set)
		set.at = &at
		l.put(route, set)
	}
	if len(l.Routes) > MaxRoutes {
		return refuse(&Problem{Code: "labels-too-large", Message: fmt.Sprintf("has %d named routes, more than %d", len(l.Routes), MaxRoutes), Effect: ContainerRefused})
	}
	return l, s.strays(container, &l, strays)
}

func (l *Labels) put(route string, set Setting) {
	if route == "" {
		l.Main[set.Key] = set
		return
	}
	if l.Routes[route] == nil {
		l.Routes[route] = map[string]Setting{}
	}
	l.Routes[route][set.Key] = set
}

// place splits key into the route it is for and the key there. With a problem
// they are what they were most likely meant to be.
func (s *Schema) place(key string) (route, below string, p *Problem) {
	first, rest, _ := strings.Cut(key, ".")
	name, below, complete := strings.Cut(rest, ".")
	switch {
	case first == "route" && complete && routeName.MatchString(name):
		return name, below, nil
	case first == "route":
		p = &Problem{Code: "route-name", Message: "a named route is written " + s.Prefix + ".route.NAME.KEY, NAME of a-z, 0-9, - and _"}
		name = strings.ToLower(name)
		if likely := strings.ReplaceAll(name, " ", "-"); complete && routeName.MatchString(likely) {
			p.Suggest = Shown(s.Prefix + ".route." + likely + "." + below)
		}
		return name, below, p
	case complete && s.byName[first] == nil && routeName.MatchString(name):
		if _, near := slips(fold(first), "route"); near {
			return name, below, &Problem{Code: "unknown-label", Message: "is not a label", Suggest: Shown(s.Prefix + ".route." + rest)}
		}
	}
	return "", key, nil
}

// A stray is a label that names its route or our prefix wrongly.
type stray struct {
	route string
	set   Setting
	wrong *Problem
}

// strays gives each stray to the route that is there without it, so that a
// misspelt label that protects refuses the route; the others are problems and
// nothing more.
func (s *Schema) strays(container string, l *Labels, all []stray) (problems []Problem) {
	ours := len(l.Main)+len(l.Routes) > 0
	for _, st := range all {
		at := s.resolve(st.set)
		there := st.route == "" && ours || l.Routes[st.route] != nil
		if old := l.of(st.route)[st.set.Key]; there && old.Label == "" && st.set.Key != "" {
			st.set.at, st.set.stray = &at, st.wrong
			l.put(st.route, st.set)
			continue
		}
		p := *st.wrong
		p.Container, p.Label, p.Value, p.Effect = container, st.set.Label, Shown(st.set.Text), Ignored
		problems = append(problems, p)
	}
	return problems
}

func (l *Labels) of(route string) map[string]Setting {
	if route == "" {
		return l.Main
	}
	return l.Routes[route]
}

// tooMuch returns the problem that refuses a container's labels whole.
func (s *Schema) tooMuch(labels map[string]string) *Problem {
	refuse := func(code, format string, args ...any) *Problem {
		return &Problem{Code: code, Message: fmt.Sprintf(format, args...), Effect: ContainerRefused}
	}
	if !s.Mentions(labels) {
		return nil // nothing of it is read, so nothing of it can be too much
	}
	if len(labels) > MaxAll {
		return refuse("labels-too-large", "has %d labels, more than %d", len(labels), MaxAll)
	}
	ours, total := 0, 0
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text := labels[name]
		total += len(name) + len(text)
		if !strings.HasPrefix(name, s.Prefix+".") {
			continue
		}
		ours++
		switch {
		case len(text) > MaxValue || len(name) > MaxValue:
			return refuse("labels-too-large", "label %s is longer than %d bytes", Shown(name), MaxValue)
		case !validText(name) || strings.ContainsAny(name, "\n\t"):
			return refuse("label-bytes", "label name %s has control characters or is not UTF-8", Shown(name))
		case !validText(text):
			return refuse("label-bytes", "the value of %s has control characters or is not UTF-8", Shown(name))
		}
	}
	if ours > MaxOurs {
		return refuse("labels-too-large", "has %d labels of ours, more than %d", ours, MaxOurs)
	}
	if total > MaxTotal {
		return refuse("labels-too-large", "has %d bytes of labels, more than %d", total, MaxTotal)
	}
	return nil
}
