package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// A draft is a route as one container's labels describe it.
type draft struct {
	name       string
	origin     string
	settings   map[string]label.Setting
	opts       label.Options
	matches    []HostPath
	fallback   []HostPath
	endpoint   Endpoint
	pool       string // key; "" without a pool
	targets    []Endpoint
	ownNetwork bool     // a named route that names its network itself
	files      *Files   // without their runs, which are those of all containers
	skip       []string // mounts below the directory of files that are not copied
	refused    *Problem
	lastResort bool
	tlsInDoubt bool
}

// maxMatches bounds the hosts times the paths of one route.
const maxMatches = 1000

// route reads the route called name into drafts of c, if labels describe one.
func (p *Parser) route(c *container, labels label.Labels, name string) {
	own := labels.Routes[name]
	if name == "" {
		own = labels.Main
	}
	if on, ok := enabled(own); ok && !on {
		c.off = true
		return
	}
	d := draft{name: name, settings: p.settings(labels, name), ownNetwork: name != "" && own["network"].Counts()}
	problems := p.decode(c, &d)
	if _, ok := own["host"]; !ok && name != "" {
		withoutPaths(d.opts)
	}
	withoutRedirect(d.opts, own)
	exists := p.hosts(c, &d)
	if !exists && !asksForRoute(own) {
		c.lacksHost(name, problems, p.cfg.Schema.Prefix)
		c.problems = append(c.problems, mere(problems)...)
		return
	}
	c.problems = append(c.problems, problems...)
	if !exists {
		return
	}
	p.withoutContainer(c, &d)
	for _, fault := range p.faults(c, &d) {
		p.refuse(c, &d, fault)
	}
	p.target(c, &d)
	p.ownFiles(c, &d)
	p.filesHint(c, &d)
	p.hideHint(c, &d)
	p.drainHint(c, &d)
	kept := d
	kept.settings = nil // read, and not worth its memory
	c.drafts = append(c.drafts, kept)
	p.expand(c, d)
	p.expandStatic(c, d)
}

// decode reads the settings of d into its options.
func (p *Parser) decode(c *container, d *draft) (problems []Problem) {
	d.opts, problems = p.cfg.Schema.Decode(c.w.Name, d.settings)
	for i := range problems {
		q := &problems[i]
		q.Route = routeID(c.w, d.name)
		d.judge(*q, p.cfg.Schema)
		d.tlsInDoubt = d.tlsInDoubt || q.Kind == "tls" && q.Effect == label.Refused
	}
	return problems
}

// settings returns those of the route called name.
func (p *Parser) settings(labels label.Labels, name string) map[string]label.Setting {
	out := p.cfg.Schema.For(labels, name, p.cfg.Defaults)
	main, given := labels.Main["enable"]
	if name == "" || !given || !main.Counts() {
		return out
	}
	_, valid := label.ParseBool(main.Text)
	_, host := out["host"]
	_, enable := out["enable"]
	if !valid || !host && !enable {
		// The default host is inherited like a written one. A value that is no
		// bool may have meant to switch everything off.
		out["enable"] = main
	}
	return out
}

// withoutPaths takes the paths off inherited hosts: example.com/api on the main
// route hands on example.com.
func withoutPaths(opts label.Options) {
	o, ok := label.Get[hostOptions](opts, "host")
	if !ok {
		return
	}
	var items []hostOption
	for _, item := range o.Items {
		bare := hostOption{Host: item.Host}
		if !slices.Contains(items, bare) {
			items = append(items, bare)
		}
	}
	opts["host"] = hostOptions{items}
}

// asksForRoute reports whether own has a label that makes a route, right or wrong.
func asksForRoute(own map[string]label.Setting) bool {
	for _, key := range []string{"host", "enable", "tcp"} {
		if _, ok := own[key]; ok {
			return true
		}
	}
	return false
}

// mere returns problems as those of labels that make no route: they refuse
// nothing where they are, only where they are inherited.
func mere(problems []Problem) []Problem {
	for i := range problems {
		problems[i].Route = ""
		if problems[i].Effect == label.Refused {
			problems[i].Effect = label.Ignored
		}
	}
	return problems
}

// lacksHost hints at a named route without a host, unless problems say why.
func (c *container) lacksHost(name string, problems []Problem, prefix string) {
	if name == "" || slices.ContainsFunc(problems, func(q Problem) bool { return q.Kind == "host" || q.Kind == "enable" }) {
		return
	}
	c.problems = append(c.problems, Problem{
		Code: "no-host", Container: c.w.Name, Route: routeID(c.w, name), Message: "route " + name + " has no host",
		Fix: "add the label " + prefix + ".host (or " + prefix + ".route." + name + ".host)", Effect: label.Hinted,
	})
}

// routeID names a route for people: owner, service and its own name.
func routeID(w *Workload, name string) string {
	id := w.service()
	if owner := w.Owner(); owner != id {
		id = owner + "/" + id
	}
	if name != "" {
		id += "." + name
	}
	return id
}

// judge notes a problem that refuses the route, and whether it leaves the
// match itself in doubt.
func (d *draft) judge(q Problem, s *label.Schema) {
	if q.Effect != label.Refused {
		return
	}
	if d.refused == nil {
		d.refused = &q
	}
	if k := s.Kind(q.Kind); k == nil || k.Slot == label.Match && !k.Later {
		d.lastResort = true
	}
}

// refuse makes fault a problem of d that refuses it.
func (p *Parser) refuse(c *container, d *draft, fault Problem) {
	fault.Container, fault.Route, fault.Effect = c.w.Name, routeID(c.w, d.name), label.Refused
	fault.Label = d.label(fault.Kind, p.cfg.Schema.Prefix)
	c.problems = append(c.problems, fault)
	d.judge(fault, p.cfg.Schema)
}

// label returns the label of d that sets kind, as written.
func (d *draft) label(kind, prefix string) string {
	for _, key := range slices.Sorted(maps.Keys(d.settings)) {
		if name, _, _ := strings.Cut(key, "."); name == kind {
			return d.settings[key].Label
		}
	}
	return prefix + "." + kind
}

// hosts fills in what d matches and reports whether d is a route at all.
func (p *Parser) hosts(c *container, d *draft) bool {
	paths := []Path{Root}
	if o, ok := label.Get[pathOptions](d.opts, "path"); ok && !d.lastResort {
		paths = o.Paths
	}
	if o, ok := label.Get[hostOptions](d.opts, "host"); ok && len(o.Items) > 0 {
		if len(o.Items)*len(paths) > maxMatches {
			p.refuse(c, d, Problem{Code: "out-of-range", Kind: "host", Message: fmt.Sprintf("has %d hosts and %d paths, together more than %d", len(o.Items), len(paths), maxMatches)})
			paths = []Path{Root}
		}
		for _, item := range o.Items {
			if item.Path != nil {
				d.matches = append(d.matches, HostPath{item.Host, *item.Path})
				continue
			}
			for _, path := range paths {
				d.matches = append(d.matches, HostPath{item.Host, path})
			}
		}
		return true
	}
	if o, ok := label.Get[enableOptions](d.opts, "enable"); !ok || !o.On {
		return false
	}
	d.origin = "enable"
	d.matches = p.defaultHosts(paths, c.w.service())
	if c.w.Project != "" {
		d.fallback = p.defaultHosts(paths, c.w.service(), c.w.Project)
	}
	if len(d.matches) == 0 {
		d.matches, d.fallback = d.fallback, nil
	}
	if len(d.matches) == 0 {
		p.refuse(c, d, Problem{Code: "no-host", Kind: "enable", Message: "makes no host name of the service " + label.Shown(c.w.service()), Fix: "add the label " + p.cfg.Schema.Prefix + ".host"})
	}
	return len(d.matches) > 0
}

// defaultHosts returns the host that names joined below the domain make.
func (p *Parser) defaultHosts(paths []Path, names ...string) []HostPath {
	h, err := ParseHostPattern(strings.ReplaceAll(strings.Join(append(names, p.cfg.Domain), "."), "_", "-"))
	if err != nil || h.Kind != ExactHost {
		return nil
	}
	var out []HostPath
	for _, path := range paths {
		out = append(out, HostPath{h, path})
	}
	return out
}

// terminals are the kinds that end a route instead of a target.
func terminals(opts label.Options, s *label.Schema) (names []string) {
	for name := range opts {
		if s.Kind(name).Slot == label.Terminal {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// faults returns what is wrong with the settings of d together.
func (p *Parser) faults(c *container, d *draft) (all []Problem) {
	all = p.tlsFaults(d)
	ends := terminals(d.opts, p.cfg.Schema)
	_, url := label.Get[urlOptions](d.opts, "url")
	if url {
		ends = append(ends, "url")
	}
	_, kind, files := d.itself()
	if files && len(terminals(d.opts, p.cfg.Schema)) > 0 {
		ends = append(ends, kind)
	}
	switch {
	case len(ends) > 1:
		all = append(all, Problem{Code: "exclusive", Kind: ends[0], Message: strings.Join(ends, " and ") + " exclude each other"})
	case url && c.w.Source == FromEngine:
		// The container itself is its only target, whatever becomes of the route.
		delete(d.opts, "url")
		all = append(all, Problem{Code: "untrusted-url", Kind: "url", Message: "a container's labels lead to that container only: url belongs in the routes file (--routes)"})
	case len(ends) == 0 && c.w.Source != FromEngine && !files:
		all = append(all, Problem{Code: "no-target", Kind: "url", Message: "a route with a host needs a target", Fix: "add url, redirect or respond"})
	}
	if host, ok := label.Get[hostOptions](d.opts, "host"); ok {
		_, path := label.Get[pathOptions](d.opts, "path")
		if path && slices.ContainsFunc(host.Items, func(i hostOption) bool { return i.Path != nil }) {
			all = append(all, Problem{Code: "exclusive", Kind: "path", Message: "path and a host with a path exclude each other"})
		}
	}
	listen, _ := label.Get[listenOptions](d.opts, "listen")
	for _, e := range listen.Entries {
		if !slices.Contains(p.cfg.Entries, e) {
			return append(all, Problem{
				Code: "unknown-listener", Kind: "listen", Value: label.Shown(e),
				Message: "no listener has this name or port; there are " + strings.Join(p.cfg.Entries, ", "), Suggest: label.Nearest(e, slices.Values(p.cfg.Entries)),
			})
		}
	}
	return all
}

// hideHint warns of conditions on client addresses where some of them cannot
// be seen (docs/threats.md 50).
func (p *Parser) hideHint(c *container, d *draft) {
	conditions, _ := label.Get[Conditions](d.opts, "match")
	if len(conditions.ClientIP) == 0 || p.self.ID == "" || p.self.HostNet {
		return
	}
	c.problems = append(c.problems, Problem{
		Code: "client-address-hidden", Container: c.w.Name, Route: routeID(c.w, d.name), Kind: "match",
		Label:   cmp.Or(d.settings["match.client-ip"].Label, p.cfg.Schema.Prefix+".match.client-ip"),
		Message: "the proxy is on a bridge network, where clients on this machine and all IPv6 clients arrive with the gateway's address; those match no range",
		Fix:     "run the proxy with  network_mode: host", Effect: label.Hinted,
	})
}

// expand adds the routes that a label of d stands for: one for the hosts that
// are redirected to its own. They have its policies.
func (p *Parser) expand(c *container, d draft) {
	from, ok := label.Get[redirectFromOptions](d.opts, "redirect-from")
	if !ok {
		return
	}
	s := p.cfg.Schema
	i := slices.IndexFunc(d.matches, func(m HostPath) bool { return m.Host.Kind == ExactHost })
	if i < 0 {
		c.problems = append(c.problems, Problem{
			Code: "wrong-value", Container: c.w.Name, Route: routeID(c.w, d.name), Label: d.label("redirect-from", s.Prefix), Kind: "redirect-from",
			Message: "has no host to redirect to: host names only patterns", Effect: label.Ignored,
		})
		return
	}
	to := label.Setting{Key: "redirect", Text: "//" + d.matches[i].Host.Text + "{uri}", Label: s.Prefix + ".redirect-from"}
	opts, _ := s.Decode(c.w.Name, map[string]label.Setting{"redirect": to})
	for name, o := range d.opts {
		if s.Kind(name).Inherit == label.AsPolicy {
			opts[name] = o
		}
	}
	// No route can be called so: the name of one has no tilde.
	r := draft{name: d.name + "~from", origin: "redirect-from", settings: d.settings, opts: opts, tlsInDoubt: d.tlsInDoubt}
	for _, h := range from.Hosts {
		// A host sent to itself would never arrive.
		if !slices.ContainsFunc(d.matches, func(m HostPath) bool { return m.Host == h }) {
			r.matches = append(r.matches, HostPath{h, Root})
		}
	}
	if len(r.matches) == 0 {
		return
	}
	for _, fault := range p.tlsFaults(&r) {
		p.refuse(c, &r, fault)
	}
	r.settings = nil
	c.drafts = append(c.drafts, r)
}
