package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// itself returns what the requests of d itself are answered with: its root, or
// the item of static that has its very path. kind is the label that says so.
func (d *draft) itself() (item staticItem, kind string, ok bool) {
	if o, ok := label.Get[rootOptions](d.opts, "root"); ok {
		return staticItem{Dir: o.Dir}, "root", true
	}
	for _, item := range staticSettings(d.opts).Items {
		if d.isAt(item.Prefix) {
			if item.Prefix == Root.Text {
				item.Prefix = ""
			}
			return item, "static", true
		}
	}
	return item, "", false
}

// isAt reports whether d answers for prefix and nothing else.
func (d *draft) isAt(prefix string) bool {
	return !slices.ContainsFunc(d.matches, func(m HostPath) bool { return m.Path != Path{PathPrefix, prefix} })
}

// withoutContainer takes the files off an entry of the routes file.
func (p *Parser) withoutContainer(c *container, d *draft) {
	if c.w.Source != FromRoutes {
		return
	}
	for _, kind := range []string{"root", "static"} {
		if _, ok := d.opts[kind]; ok {
			p.note(c, d, Problem{Code: "no-container", Kind: kind, Message: "names a directory of a container, and an entry of the routes file has none", Effect: label.Ignored})
			delete(d.opts, kind)
		}
	}
}

// note makes q, which refuses nothing, a problem of d.
func (p *Parser) note(c *container, d *draft, q Problem) {
	q.Container, q.Route = c.w.Name, routeID(c.w, d.name)
	q.Label = cmp.Or(q.Label, d.label(q.Kind, p.cfg.Schema.Prefix))
	c.problems = append(c.problems, q)
}

// filesAlone reports whether d has files and no app behind them: nothing says
// where in the container one would be.
func (p *Parser) filesAlone(c *container, d *draft) bool {
	if _, _, ok := d.itself(); !ok || len(c.w.Exposed)+len(c.w.Published) > 0 {
		return false
	}
	for key, set := range d.settings {
		name, _, _ := strings.Cut(key, ".")
		if k := p.cfg.Schema.Kind(name); k != nil && k.Slot == label.Target && set.Counts() {
			return false
		}
	}
	return true
}

// ownFiles fills in what d itself answers with.
func (p *Parser) ownFiles(c *container, d *draft) {
	if item, kind, ok := d.itself(); ok {
		p.files(c, d, item, kind, staticSettings(d.opts))
	}
}

// filesHint hints at labels about files on a route that has none.
func (p *Parser) filesHint(c *container, d *draft) {
	_, root := d.opts["root"]
	o, set := label.Get[staticOptions](d.opts, "static")
	if !set || root || len(o.Items) > 0 || c.w.Source == FromRoutes {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(d.settings)) {
		if d.settings[key].Counts() && strings.HasPrefix(key, "static.") {
			prefix := strings.TrimSuffix(d.settings[key].Label, key)
			p.note(c, d, Problem{
				Code: "no-effect", Kind: "static", Label: d.settings[key].Label, Value: label.Shown(d.settings[key].Text),
				Message: "has no effect: the route has no files", Fix: "add  " + prefix + "static: /static/:/app/static  or  " + prefix + "root: /site", Effect: label.Hinted,
			})
			return // the others are as idle
		}
	}
}

// files has d answer with item, which the label kind names.
func (p *Parser) files(c *container, d *draft, item staticItem, kind string, o staticOptions) {
	f := &Files{Prefix: item.Prefix, Dir: item.Dir, Fallback: o.Fallback, Index: o.Index, List: o.List, Cache: o.Cache, Retain: o.Retain}
	switch {
	case f.Fallback == "" && d.pool != "":
		f.Fallback = FallbackUpstream
	case f.Fallback == "":
		f.Fallback = FallbackNone
	case f.Fallback == FallbackUpstream && d.pool == "":
		f.Fallback = FallbackNone
		p.note(c, d, Problem{
			Code: "wrong-value", Kind: "static", Label: d.settings["static.fallback"].Label, Value: FallbackUpstream,
			Message: "leads nowhere: the route has files and no app", Fix: "add the label " + p.cfg.Schema.Prefix + ".port with the port it listens on, if there is one", Effect: label.Ignored,
		})
	}
	l := layout{self: &p.self, w: c.w, dir: item.Dir, source: o.Source, app: d.pool != ""}
	l.read()
	f.Areas = l.areas
	for _, q := range l.problems {
		q.Kind = kind
		p.note(c, d, q)
	}
	d.files, d.skip = f, l.skip
}

// expandStatic adds a route for each item of the label static: the hosts, the
// policies and the pool of d, which has the settings still.
func (p *Parser) expandStatic(c *container, d draft) {
	o := staticSettings(d.opts)
	if len(o.Items) == 0 {
		return
	}
	if n := len(hosts(d.matches)) * len(o.Items); n > maxMatches {
		p.note(c, &d, Problem{Code: "out-of-range", Kind: "static", Message: fmt.Sprintf("has %d items for %d hosts, together more than %d", len(o.Items), len(hosts(d.matches)), maxMatches), Effect: label.Ignored})
		return
	}
	opts := p.behindFiles(c, &d)
	own, kind, _ := d.itself()
	for _, item := range o.Items {
		if kind == "static" && item.Dir == own.Dir && d.isAt(item.Prefix) {
			continue // ownFiles has it
		}
		// No route can be called so: the name of one has no tilde.
		r := d
		r.name, r.origin, r.opts, r.files, r.skip = d.name+"~"+item.Prefix, "static", opts, nil, nil
		r.matches, r.fallback = at(hosts(d.matches), item.Prefix), at(hosts(d.fallback), item.Prefix)
		if slices.ContainsFunc(r.matches, func(m HostPath) bool { return slices.Contains(d.matches, m) }) {
			p.note(c, &d, Problem{Code: "exclusive", Kind: "static", Value: label.Shown(item.Prefix), Message: "names a path that the route itself answers for", Fix: "give one of them another path", Effect: label.Ignored})
			continue
		}
		p.files(c, &r, item, "static", o)
		r.settings = nil
		c.drafts = append(c.drafts, r)
	}
}

// hosts returns the hosts of ms, each once.
func hosts(ms []HostPath) (all []Host) {
	for _, m := range ms {
		if !slices.Contains(all, m.Host) {
			all = append(all, m.Host)
		}
	}
	return all
}

// at returns all hosts with one path.
func at(all []Host, prefix string) (ms []HostPath) {
	for _, h := range all {
		ms = append(ms, HostPath{h, Path{PathPrefix, prefix}})
	}
	return ms
}

// notBehindFiles are the kinds of a route that its routes to files do not have:
// what says which requests it is for, and where else it leads.
var notBehindFiles = []string{"static", "root", "redirect-from", "host", "path", "enable", "url"}

// behindFiles returns the options of d that its routes to files have too.
func (p *Parser) behindFiles(c *container, d *draft) label.Options {
	s := p.cfg.Schema
	opts := maps.Clone(d.opts)
	maps.DeleteFunc(opts, func(name string, _ any) bool {
		return slices.Contains(notBehindFiles, name) || s.Kind(name).Slot == label.Terminal
	})
	set := d.settings["strip"]
	if on, ok := label.ParseBool(set.Text); !ok || !on {
		return opts // none, or a prefix by name
	}
	// What matched the route is not what matches here.
	delete(opts, "strip")
	i := slices.IndexFunc(d.matches, func(m HostPath) bool { return m.Path.Kind == PathPrefix })
	if i < 0 || d.matches[i].Path == Root {
		return opts
	}
	set.Text = d.matches[i].Path.Text
	again, _ := s.Decode(c.w.Name, map[string]label.Setting{"strip": set})
	maps.Copy(opts, again)
	return opts
}
