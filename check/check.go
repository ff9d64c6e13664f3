// Package check says what compose files come to before anything runs: they are
// read as containers, and go the way that containers go, through the same
// spec.Parser and routing.Compile as in the running proxy. What only a file can
// show, such as a value that YAML changed, is added.
package check

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/discovery/composefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
)

// A Question is what to check.
type Question struct {
	Projects []*composefile.Project
	// Proxy is the service of Projects that is the proxy, nil if none is. Without
	// it the proxy is taken to be set up as recommended: in a container, on the
	// host's network.
	Proxy  *composefile.Service
	Reader spec.Config // how the proxy reads labels
	Shares func(host string) bool
	// Running is what a proxy sees that runs already, nil for nothing. Projects
	// then stand in the place of its projects of those names.
	Running *Running
	// Only are the projects that the proxy serves, nil for all.
	Only []string
	// Routes are those of RoutesFile, as discovery read it.
	Routes     []*spec.Workload
	RoutesFile string
	// Refused are the files that Compose does not read.
	Refused []Finding
	// Listens are the ports that the proxy listens on.
	Listens []int
}

// Running is what a running proxy knows: a source of its control socket.
type Running struct {
	Snapshot spec.Snapshot `json:"snapshot"`
	// Claims say who holds which host.
	Claims *routing.Ledger `json:"claims"`
	// Settings are those that decide how labels are read, as flags.
	Settings map[string][]string `json:"settings"`
}

// A Finding is a Problem, and where it is written.
type Finding struct {
	spec.Problem
	At      composefile.Position
	Service string // of the compose file, "" if it is about more than one
}

// Wrong reports whether f is more than a hint.
func (f *Finding) Wrong() bool { return f.Effect != label.Hinted }

// A Report is the answer.
type Report struct {
	Files    []string
	Services int // with labels of ours
	Findings []Finding
	Routes   []Route
	Disabled []string // services of profiles that are not active
}

// A Route is a route that would be served.
type Route struct {
	ID      string   `json:"id"`
	Matches []string `json:"matches"` // host and path
	To      string   `json:"to"`
	State   string   `json:"state"` // serves, standby, refused, no-container, or in a Swarm only
}

// Run answers q.
func Run(q *Question) *Report {
	c := checker{q: q, schema: q.Reader.Schema, services: map[string]*composefile.Service{}, names: map[string]string{}}
	snap := c.snapshot()
	c.table = c.compile(snap)
	for _, r := range c.table.View().Routes {
		c.names[r.ID] = r.Name
	}
	c.problems()
	c.refused()
	for _, p := range q.Projects {
		for _, f := range p.Files {
			c.report.read(f)
		}
		c.report.Disabled = append(c.report.Disabled, p.Disabled...)
		for _, s := range p.Services {
			c.service(s)
		}
		if len(q.Only) > 0 && !slices.Contains(q.Only, p.Name) {
			c.report.Findings = append(c.report.Findings, Finding{
				At: composefile.Position{File: p.Files[0]},
				Problem: spec.Problem{
					Code: "other-project", Container: p.Name, Message: "is a project that the proxy does not serve: its --project names " + strings.Join(q.Only, ", "),
					Fix: "add  --project " + p.Name + "  to the proxy", Effect: label.Ignored,
				},
			})
		}
	}
	c.together()
	c.routes()
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(c.report.Files, a.At.File), slices.Index(c.report.Files, b.At.File)),
			cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column), strings.Compare(a.Code, b.Code))
	})
	return &c.report
}

// Wrong returns how many findings are more than hints.
func (r *Report) Wrong() int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Wrong() {
			n++
		}
	}
	return n
}

// read notes that file is one of those looked at.
func (r *Report) read(file string) {
	if !slices.Contains(r.Files, file) {
		r.Files = append(r.Files, file)
	}
}

type checker struct {
	q        *Question
	schema   *label.Schema
	services map[string]*composefile.Service // by the name of their container
	names    map[string]string               // of routes, as labels give them, by id
	table    *routing.Table
	report   Report
}

// assumed is the proxy where the files have none.
var assumed = spec.Self{ID: "proxy", Name: "fairlead", HostNet: true, Bridges: true}

// snapshot returns what the proxy would see.
func (c *checker) snapshot() spec.Snapshot {
	snap := spec.Snapshot{Self: assumed}
	if c.q.Running != nil {
		snap = c.q.Running.Snapshot
	} else if c.q.Proxy != nil {
		snap.Self = selfOf(c.q.Proxy.Workload)
	}
	before := snap.Workloads
	snap.Workloads = slices.DeleteFunc(slices.Clone(before), func(w *spec.Workload) bool {
		return slices.ContainsFunc(c.q.Projects, func(p *composefile.Project) bool { return p.Name == w.Project })
	})
	for i, p := range c.q.Projects {
		for _, s := range p.Services {
			c.services[s.Workload.Name] = s
			c.adopt(s, &snap.Self, before, i)
			snap.Workloads = append(snap.Workloads, s.Workload)
		}
	}
	snap.Workloads = append(snap.Workloads, c.q.Routes...)
	slices.SortFunc(snap.Workloads, func(a, b *spec.Workload) int { return strings.Compare(a.ID, b.ID) })
	return snap
}

// adopt completes the workload of a service by what only the whole shows: of
// which project it is, and which container it stands for that runs already.
func (c *checker) adopt(s *composefile.Service, self *spec.Self, before []*spec.Workload, project int) {
	w := s.Workload
	w.Created = w.Created.Add(time.Duration(project) * 24 * time.Hour)
	if c.q.Running != nil {
		w.Created = time.Now() // its project comes after those that run
	}
	for _, old := range before {
		if old.Project != w.Project || old.Service != w.Service {
			continue
		}
		if old.Created.Before(w.Created) {
			w.Created = old.Created
		}
		if old.ID == self.ID {
			w.ID, w.Source = old.ID, spec.FromSelf
		}
	}
	if s == c.q.Proxy && c.q.Running == nil {
		w.Source = spec.FromSelf
	}
	if !c.ours(s.Labels) && c.ours(s.Swarm) {
		w.Labels = map[string]string{}
		for _, l := range s.Swarm {
			w.Labels[l.Name] = l.Text
		}
	}
	for i := range w.Networks {
		if w.Networks[i].Network == composefile.Elsewhere && len(self.Networks) > 0 {
			w.Networks[i].Network = self.Networks[0] // nothing says that it is not there
		}
	}
}

func (c *checker) ours(labels []composefile.Label) bool {
	return slices.ContainsFunc(labels, func(l composefile.Label) bool { return c.schema.Mentions(map[string]string{l.Name: ""}) })
}

// selfOf returns what the proxy would find out about its place in w.
func selfOf(w *spec.Workload) spec.Self {
	s := spec.Self{ID: w.ID, Name: w.Name, Project: w.Project, HostNet: w.HostNet, Bridges: w.HostNet, Mounts: w.Mounts}
	for _, n := range w.Networks {
		s.Networks = append(s.Networks, n.Network)
		s.Gateways = append(s.Gateways, n.IPv4)
	}
	return s
}

// refused takes over the files of which nothing else is known.
func (c *checker) refused() {
	for _, f := range c.q.Refused {
		c.report.read(f.At.File)
	}
	c.report.Findings = append(c.report.Findings, c.q.Refused...)
}

// problems takes over what the table says of containers of the files.
func (c *checker) problems() {
	for _, p := range c.table.Problems() {
		s := c.services[p.Container]
		switch {
		case ofRun(p.Code):
		case s != nil && p.Code == "port-ambiguous" && c.imageDecides(s, p.Route) && len(spec.MaybeHTTP(s.Workload.Exposed)) == 0:
		case s != nil:
			c.add(s, c.unsure(s, p))
		case slices.ContainsFunc(c.q.Routes, func(w *spec.Workload) bool { return w.Name == p.Container }):
			c.report.Findings = append(c.report.Findings, Finding{Problem: p, At: composefile.Position{File: c.q.RoutesFile}})
		} // others are of what runs already
	}
}

// ofRun reports whether a problem is about what runs: a file has no files in its
// containers, and no machine to look for them.
func ofRun(code string) bool {
	return slices.Contains([]string{"static-missing", "static-copy-failed", "static-store", "static-too-large"}, code)
}

// imageDecides reports whether the port of a route of s, by its id, is one that
// the image exposes: the file names none, or only some of those.
func (c *checker) imageDecides(s *composefile.Service, route string) bool {
	_, named := c.label(s, c.names[route], "port")
	return !named && !s.PortsKnown && !s.Workload.HostNet && s.Built == nil
}

// unsure makes a hint of what depends on something that is in none of the files.
func (c *checker) unsure(s *composefile.Service, p spec.Problem) spec.Problem {
	switch {
	case p.Code == "unknown-listener" && c.q.Proxy == nil && c.q.Running == nil:
		p.Message += ", unless the proxy has it: with  --http NAME=ADDRESS  check knows that"
		p.Effect = label.Hinted
	case p.Code == "port-ambiguous" && c.imageDecides(s, p.Route):
		p.Message += ", unless its image exposes 80, 8080 or 3000 too"
		p.Effect = label.Hinted
	}
	return p
}

// add notes p, at the label it names or at its service.
func (c *checker) add(s *composefile.Service, p spec.Problem) {
	f := Finding{Problem: p}
	if s != nil {
		f.Service, f.At = s.Name, s.At
		f.Container = s.Workload.Name
		if p.Label == "" && p.Code == "conflict" {
			p.Label = c.hostLabel(s, p.Route)
		}
		for _, l := range slices.Concat(s.Labels, s.Swarm) {
			if label.Shown(l.Name) == p.Label {
				f.At = l.At
				c.because(&f, &l)
				break
			}
		}
	}
	c.report.Findings = append(c.report.Findings, f)
}

// hostLabel returns the label that gives a route of s, by its id, its hosts.
func (c *checker) hostLabel(s *composefile.Service, route string) string {
	for _, name := range []string{c.schema.Prefix + ".route." + c.names[route] + ".host", c.schema.Prefix + ".host"} {
		if _, ok := s.Workload.Labels[name]; ok {
			return name
		}
	}
	return c.schema.Prefix + ".enable"
}

// because adds to a problem with the value of l why it has that value.
func (c *checker) because(f *Finding, l *composefile.Label) {
	switch {
	case f.Code != "empty-value":
	case len(l.Unset) > 0:
		f.Message = "is empty: " + l.Unset[0] + " is not set"
		f.Fix = "set it in the environment or in .env, or write a default: ${" + strings.Trim(l.Unset[0], "${}") + ":-value}"
	case l.Raw != "":
		f.Message = "is empty: YAML reads " + l.Raw + " as nothing"
		f.Fix = "put it into quotes, or remove the label"
	}
}

// hint notes something about s that works, and probably not as meant.
func (c *checker) hint(s *composefile.Service, p spec.Problem) {
	p.Container, p.Effect = s.Workload.Name, cmp.Or(p.Effect, label.Hinted)
	c.add(s, p)
}

// routes lists what would be served.
func (c *checker) routes() {
	for _, r := range c.table.View().Routes {
		if s := c.services[r.Container]; s != nil {
			c.report.Routes = append(c.report.Routes, c.route(s, &r))
		}
	}
	for _, s := range c.services {
		if c.ours(s.Labels) || c.ours(s.Swarm) {
			c.report.Services++
		}
	}
}

func (c *checker) route(s *composefile.Service, r *routing.RouteView) Route {
	out := Route{ID: r.ID, To: cmp.Or(r.Pool, "the proxy itself"), State: "serves"}
	switch {
	case s.Replicas == 0:
		out.State = "no-container"
	case !c.ours(s.Labels):
		out.State = "in a Swarm only"
	case r.State == "refused" || r.State == "standby":
		out.State = r.State
	}
	for _, m := range r.Matches {
		if !strings.HasPrefix(m.Path, "/") {
			m.Path = " " + m.Path // =/exact, ~expression
		}
		out.Matches = append(out.Matches, m.Host+m.Path)
	}
	out.To, _, _ = strings.Cut(out.To, "#") // what keeps connections apart is no name
	if i := strings.LastIndexByte(out.To, ':'); i > 0 && r.Pool != "" && !strings.HasSuffix(out.To, ":url") {
		switch pool, port := out.To[:i], out.To[i+1:]; {
		case (port == "0" || len(s.Workload.Exposed) == 0) && c.imageDecides(s, r.ID):
			out.To = pool + ", the port that its image exposes"
		case port == "0":
			out.To = pool + ", no port known"
		}
	}
	if r.Files != nil {
		out.To = "files, then " + out.To
	}
	return out
}
