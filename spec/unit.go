package spec

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
)

// A generation is the containers of one service with the same labels.
type generation struct {
	labels  string
	created time.Time // of its newest container
}

// unit puts together what the containers of owner ask for.
func (p *Parser) unit(owner string) *Unit {
	u := &Unit{Owner: owner}
	services := map[string][]*container{}
	for _, id := range slices.Sorted(maps.Keys(p.members[owner])) {
		c := p.members[owner][id]
		services[c.w.service()] = append(services[c.w.service()], c)
	}
	b := unitBuilder{unit: u, parser: p, pools: map[string]*Pool{}, led: map[string]ledBy{}}
	held := p.holds[owner]
	p.holds[owner] = make(map[string]generation, len(services))
	for _, name := range slices.Sorted(maps.Keys(services)) {
		before, known := held[name]
		if g := p.service(&b, services[name], before, known); g != nil {
			p.holds[owner][name] = *g
		}
	}
	b.finish()
	p.control.apply(u, p.cfg.Schema)
	return u
}

type unitBuilder struct {
	unit   *Unit
	parser *Parser
	pools  map[string]*Pool
	led    map[string]ledBy // pools whose options are settled, by key
}

// service adds the routes that the generation in force asks for and the
// endpoints of all of them, and returns that generation: nil if no container
// has a say.
func (p *Parser) service(b *unitBuilder, all []*container, held generation, known bool) *generation {
	var live []*container
	for _, c := range all {
		if c.code == "one-off" || c.code == "refused" {
			b.container(c) // what it says counts for nothing, not even as a newer generation
			continue
		}
		live = append(live, c)
	}
	if len(live) == 0 {
		return nil
	}
	say := present(live)
	g := p.inForce(say, held, known)
	speaker := speaks(say, g)
	b.lead(speaker)
	for _, d := range speaker.drafts {
		r := speaker.route(d, oldest(live))
		r.Vanished = !slices.ContainsFunc(live, isPresent)
		r.Files = p.filesOf(d, live, g)
		b.unit.Routes = append(b.unit.Routes, r)
	}
	for _, c := range live {
		if c.code == "routed" && c.labels != g.labels {
			c = &container{w: c.w, code: "older-generation", problems: c.problems, drafts: c.drafts, labels: c.labels}
			if c.newer(g) {
				c.code = newerGeneration
			}
		}
		b.container(c)
	}
	return &g
}

// newerGeneration is the verdict of a container that waits until it is ready:
// its labels, which may protect it, do not hold yet.
const newerGeneration = "newer-generation"

// present returns those of live that make generations: those that have not been
// removed, unless none is left. Where the proxy itself is among them it alone
// does: its copies have the same labels, and theirs are not trusted.
func present(live []*container) []*container {
	itself := func(c *container) bool { return c.w.Source == FromSelf }
	for _, says := range []func(*container) bool{itself, isPresent} {
		if out := filter(live, says); len(out) > 0 {
			return out
		}
	}
	return live
}

func filter(all []*container, keep func(*container) bool) (out []*container) {
	for _, c := range all {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out
}

func isPresent(c *container) bool { return c.w.State != Gone }

// inForce returns the generation whose labels hold: the newest that has been
// ready. It never goes back to an older one while a container of the newer is
// there, so that a crash loop does not re-open what a newer label protects.
func (p *Parser) inForce(live []*container, held generation, known bool) generation {
	gens := generations(live)
	i := slices.IndexFunc(gens, func(g generation) bool { return g.labels == held.labels })
	if !known || i < 0 {
		return gens[0]
	}
	for _, g := range gens[:i] {
		if p.adopted(live, g) || !anyRunning(live, gens[i:]) {
			return g
		}
	}
	return gens[i]
}

// generations returns those of live, newest first.
func generations(live []*container) []generation {
	newest := map[string]time.Time{}
	for _, c := range live {
		if t, ok := newest[c.labels]; !ok || c.w.Created.After(t) {
			newest[c.labels] = c.w.Created
		}
	}
	var gens []generation
	for labels, created := range newest {
		gens = append(gens, generation{labels, created})
	}
	slices.SortFunc(gens, func(a, b generation) int {
		return cmp.Or(b.created.Compare(a.created), strings.Compare(a.labels, b.labels))
	})
	return gens
}

// adopted reports whether a container of g has been ready. One without
// endpoints is ready when it runs; one of files alone when they are complete,
// whether it runs or has run.
func (p *Parser) adopted(live []*container, g generation) bool {
	return slices.ContainsFunc(live, func(c *container) bool {
		_, ready := p.ready[c.w.ID]
		switch {
		case c.labels != g.labels:
			return false
		case ready || c.hasApp():
			return ready
		case slices.ContainsFunc(c.drafts, func(d draft) bool { return d.files != nil }):
			return c.w.State != Created && p.complete(c)
		}
		return c.w.State == Running
	})
}

// dialled reports whether d leads to the container itself.
func dialled(d draft) bool { return d.pool != "" && d.targets == nil }

func anyRunning(live []*container, gens []generation) bool {
	return slices.ContainsFunc(live, func(c *container) bool {
		return c.w.State == Running && slices.ContainsFunc(gens, func(g generation) bool { return g.labels == c.labels })
	})
}

// speaks returns the container of g whose reading of the labels counts: a
// running one before others, the newest, by name.
func speaks(live []*container, g generation) *container {
	var own []*container
	for _, c := range live {
		if c.labels == g.labels {
			own = append(own, c)
		}
	}
	return slices.MinFunc(own, func(a, b *container) int {
		return cmp.Or(
			cmp.Compare(notRunning(a), notRunning(b)),
			b.w.Created.Compare(a.w.Created),
			strings.Compare(a.w.Name, b.w.Name))
	})
}

func notRunning(c *container) int {
	if c.w.State == Running {
		return 0
	}
	return 1
}

func oldest(live []*container) time.Time {
	return slices.MinFunc(live, func(a, b *container) int { return a.w.Created.Compare(b.w.Created) }).w.Created
}

// route turns d into a Route of c's labels.
func (c *container) route(d draft, since time.Time) *Route {
	r := &Route{
		ID: routeID(c.w, d.name), Owner: c.w.Owner(), Service: c.w.service(), Name: d.name,
		Container: c.w.Name, ContainerID: c.w.ID, Origin: d.origin, Created: since,
		Matches: d.matches, Fallback: d.fallback, Pool: d.pool, Options: d.opts,
		Refused: d.refused, LastResort: d.lastResort, TLSInDoubt: d.tlsInDoubt,
	}
	// These also of a refused route: its mistake is not that of others on its hosts.
	share, _ := label.Get[shareOptions](d.opts, "share")
	r.Share = share.Owners
	r.TLS, _ = label.Get[TLSPolicy](d.opts, "tls")
	if d.lastResort {
		return r
	}
	r.Conditions, _ = label.Get[Conditions](d.opts, "match")
	priority, _ := label.Get[priorityOptions](d.opts, "priority")
	listen, _ := label.Get[listenOptions](d.opts, "listen")
	r.Priority, r.Listen = priority.N, listen.Entries
	r.Canary, _ = label.Get[Canary](d.opts, "canary")
	plain, _ := label.Get[plainOptions](d.opts, "http")
	r.PlainHTTP = plain.Policy
	return r
}

// container adds c's endpoints, problems and verdict.
func (b *unitBuilder) container(c *container) {
	b.unit.Problems = append(b.unit.Problems, c.problems...)
	b.unit.Verdicts = append(b.unit.Verdicts, Verdict{Container: c.w.Name, ID: c.w.ID, State: c.w.State.String(), Code: c.code})
	added := map[string]bool{}
	for _, d := range c.drafts {
		if d.pool == "" || added[d.pool] {
			continue
		}
		added[d.pool] = true
		pool := b.pool(&d)
		if d.targets != nil {
			pool.Endpoints = append(pool.Endpoints, d.targets...)
			continue
		}
		e := d.endpoint
		e.Standby = c.code == newerGeneration
		pool.Endpoints = append(pool.Endpoints, e)
	}
}

// pool returns the pool that d leads to. Until a generation in force leads it,
// its options are those of whoever came first.
func (b *unitBuilder) pool(d *draft) *Pool {
	pool := b.pools[d.pool]
	if pool == nil {
		tls, _ := label.Get[UpstreamTLS](d.opts, "upstream-tls")
		pool = &Pool{Key: d.pool, TLS: tls}
		b.settle(pool, d)
		b.pools[d.pool] = pool
	}
	return pool
}

// finish puts everything into the order in which it shows.
func (b *unitBuilder) finish() {
	u := b.unit
	for _, key := range slices.Sorted(maps.Keys(b.pools)) {
		pool := b.pools[key]
		slices.SortStableFunc(pool.Endpoints, func(a, b Endpoint) int {
			return cmp.Or(strings.Compare(a.Container, b.Container), a.Addr.Compare(b.Addr), strings.Compare(a.ID, b.ID))
		})
		u.Pools = append(u.Pools, pool)
	}
	b.identify()
	slices.SortStableFunc(u.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.Route, b.Route), strings.Compare(a.Label, b.Label))
	})
	slices.SortStableFunc(u.Verdicts, func(a, b Verdict) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.ID, b.ID))
	})
}

// identify sorts the routes by id and keeps ids apart: route b of service a and
// the main route of a service a.b come to the same.
func (b *unitBuilder) identify() {
	routes := b.unit.Routes
	byID := func(a, b *Route) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Service, b.Service), strings.Compare(a.Name, b.Name))
	}
	slices.SortFunc(routes, byID)
	seen := make(map[string]bool, len(routes))
	for _, r := range routes {
		for seen[r.ID] {
			r.ID += "~"
		}
		seen[r.ID] = true
	}
	slices.SortFunc(routes, byID)
}
