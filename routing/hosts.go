package routing

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// hosts rebuilds the tables of the touched hosts.
func (c *compiler) hosts() {
	wanted := make(map[spec.Host][]*leg, len(c.touched))
	queue := slices.SortedFunc(maps.Keys(c.touched), compareHosts)
	for i := 0; i < len(queue); i++ {
		wanted[queue[i]] = c.wanted(queue[i])
		for _, l := range wanted[queue[i]] {
			for _, m := range l.route.spec.Fallback {
				if c.touched[m.Host] == nil { // it is needed, or not, by who holds queue[i]
					c.touch(m.Host)
					queue = append(queue, m.Host)
				}
			}
		}
	}
	// A fallback is always longer than the host it stands in for, so that this
	// order decides about that one first.
	slices.SortFunc(queue, func(a, b spec.Host) int {
		if n := cmp.Compare(len(a.Text), len(b.Text)); n != 0 {
			return n
		}
		return compareHosts(a, b)
	})
	for _, host := range queue {
		h := c.build(host, wanted[host])
		c.news(c.prev.lookup(host).faults(), h.faults())
		c.put(host, h)
	}
	c.orderRegexps()
}

// faults returns the problems of h, which may be nil.
func (h *hostTable) faults() []spec.Problem {
	if h == nil {
		return nil
	}
	return h.problems
}

func compareHosts(a, b spec.Host) int {
	if n := cmp.Compare(a.Kind, b.Kind); n != 0 {
		return n
	}
	return strings.Compare(a.Text, b.Text)
}

// wanted returns the legs that want host now: the old ones less those that
// went, and the new ones.
func (c *compiler) wanted(host spec.Host) []*leg {
	t := c.touched[host]
	h := c.prev.lookup(host)
	if h == nil {
		return t.added
	}
	legs := make([]*leg, 0, len(h.claims)+len(t.added))
	for _, l := range h.claims {
		if !t.gone[l.route] {
			legs = append(legs, l)
		}
	}
	return append(legs, t.added...)
}

// build arranges the legs that want host. It returns nil if nobody wants or
// holds it.
func (c *compiler) build(host spec.Host, want []*leg) *hostTable {
	h := &hostTable{host: host, claims: make([]*leg, 0, len(want))}
	active := make([]*leg, 0, len(want))
	for _, l := range want {
		fresh := &leg{route: l.route, path: l.path, re: l.re, fallback: l.fallback}
		h.claims = append(h.claims, fresh)
		if fresh.idle = fresh.fallback && !c.taken(l.route); !fresh.idle {
			active = append(active, fresh)
		}
	}
	held := c.claims.holder(host.String(), claimants(active), c.now)
	h.holder, h.since, h.until = held.owner, held.since, held.until
	if len(h.claims) == 0 && h.holder == "" {
		return nil
	}
	if host.Kind == spec.RegexpHost {
		re, err := label.Whole(host.Text)
		if err != nil {
			return nil // spec.Parse has refused it
		}
		h.re = re
	}
	h.self[0] = h
	first := h.seniority(active)
	slices.SortFunc(h.claims, first.compare)
	slices.SortFunc(active, first.compare)
	h.admit(active, first, c.claims.shared(host.String()))
	h.arrange(active)
	h.ask(active)
	return h
}

// taken reports whether the host that r wants first is another owner's.
func (c *compiler) taken(r *route) bool {
	h := c.next.lookup(r.spec.Matches[0].Host)
	return h != nil && h.holder != r.spec.Owner
}

func claimants(legs []*leg) []claimant {
	var all []claimant
	for _, l := range legs {
		s := l.route.spec
		w := claimant{owner: s.Owner, created: s.Created, vanished: s.Vanished}
		if s.Container == s.Owner {
			w.container = s.ContainerID
		}
		i := slices.IndexFunc(all, func(o claimant) bool { return o.owner == w.owner })
		if i < 0 {
			all = append(all, w)
			continue
		}
		o := &all[i]
		if w.created.Before(o.created) {
			o.created = w.created
		}
		o.vanished = o.vanished && w.vanished
	}
	slices.SortFunc(all, func(a, b claimant) int { return strings.Compare(a.owner, b.owner) })
	return all
}

// seniority ranks the owners on a host: the holder first, then whoever has the
// oldest service. nil means that there is but one.
type seniority map[string]int

func (h *hostTable) seniority(legs []*leg) seniority {
	if !slices.ContainsFunc(legs, func(l *leg) bool { return l.route.spec.Owner != h.holder }) {
		return nil
	}
	owners := claimants(legs)
	slices.SortStableFunc(owners, func(a, b claimant) int {
		return cmp.Or(cmp.Compare(h.foreign(a.owner), h.foreign(b.owner)), a.created.Compare(b.created))
	})
	ranks := seniority{}
	for i, o := range owners {
		ranks[o.owner] = i
	}
	return ranks
}

func (h *hostTable) foreign(owner string) int {
	if owner == h.holder {
		return 0
	}
	return 1
}

// compare puts the legs that are asked first in front: the senior owner's,
// those with more conditions, with higher priority, of the older service.
func (s seniority) compare(a, b *leg) int {
	x, y := a.route.spec, b.route.spec
	if n := cmp.Compare(s[x.Owner], s[y.Owner]); n != 0 {
		return n
	}
	if n := cmp.Compare(conditionCount(y), conditionCount(x)); n != 0 {
		return n
	}
	if n := cmp.Compare(y.Priority, x.Priority); n != 0 {
		return n
	}
	return byAge(a, b)
}

func byAge(a, b *leg) int {
	x, y := a.route.spec, b.route.spec
	if n := x.Created.Compare(y.Created); n != 0 {
		return n
	}
	if n := strings.Compare(x.ID, y.ID); n != 0 {
		return n
	}
	if n := cmp.Compare(a.path.Kind, b.path.Kind); n != 0 {
		return n
	}
	return strings.Compare(a.path.Text, b.path.Text)
}

// arrange sorts the legs that serve into exact paths, prefixes and expressions.
func (h *hostTable) arrange(legs []*leg) {
	prefixes := map[string][]*leg{}
	for _, l := range legs {
		switch {
		case !l.serves():
		case l.route.spec.LastResort:
			h.last = append(h.last, l)
		case l.path.Kind == spec.ExactPath:
			if h.exactPaths == nil {
				h.exactPaths = map[string][]*leg{}
			}
			h.exactPaths[l.path.Text] = append(h.exactPaths[l.path.Text], l)
		case l.path.Kind == spec.PathPrefix:
			prefixes[l.path.Text] = append(prefixes[l.path.Text], l)
		default:
			h.exprs = append(h.exprs, l)
		}
	}
	h.exprs = h.gather(h.exprs)
	for _, text := range slices.Sorted(maps.Keys(prefixes)) {
		h.prefixes = append(h.prefixes, prefix{text, h.gather(prefixes[text])})
	}
	slices.SortStableFunc(h.prefixes, func(a, b prefix) int { return cmp.Compare(len(b.text), len(a.text)) })
	for _, path := range slices.Sorted(maps.Keys(h.exactPaths)) {
		h.exactPaths[path] = h.gather(h.exactPaths[path])
	}
}

// gather puts legs that match the same behind the first of them: blue and
// green, a canary, or a mistake. Which of them serves is decided by who is ready;
// two that run and are no canaries are a problem.
func (h *hostTable) gather(legs []*leg) []*leg {
	if len(legs) < 2 {
		return legs
	}
	type sameness struct{ path, conditions string }
	groups := make(map[sameness][]*leg, len(legs))
	var order []sameness
	for _, l := range legs {
		key := sameness{l.path.Text, l.route.conditions.key}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], l)
	}
	out := make([]*leg, 0, len(legs))
	for _, key := range order {
		group := groups[key]
		h.rivalry(group)
		split := h.split(group) // may put another one first
		group[0].split = split
		for _, l := range group[1:] {
			l.equal, h.contested = true, true
			l.rivalled, group[0].rivalled = true, true
		}
		out = append(out, group...)
	}
	return out
}

// rivalry notes the legs of group that run in vain.
func (h *hostTable) rivalry(group []*leg) {
	var first *route
	for _, l := range group {
		switch r := l.route; {
		case !r.running || r == first || r.spec.Canary.IsSet():
		case first == nil:
			first = r
		case r.spec.Pool == "" || r.spec.Pool != first.spec.Pool:
			h.problems = append(h.problems, spec.Problem{
				Code: "conflict", Container: r.spec.Container, Route: r.spec.ID, Value: h.host.String() + l.path.Separate(),
				Message: first.spec.ID + " has the same host and path, is older and runs too", Fix: "give it another path or host, a priority or a canary, or have both share the load with the label pool: " + first.spec.Service, Effect: label.Refused,
			})
		}
	}
}

// put makes h the table of host in next, copying what next shares with prev.
func (c *compiler) put(host spec.Host, h *hostTable) {
	t := c.next
	c.contest(host, h)
	switch host.Kind {
	case spec.ExactHost:
		i := shardOf(host.Text)
		if !c.copied[i] {
			t.exact[i], c.copied[i] = own(t.exact[i]), true
		}
		set(t.exact[i], host.Text, h)
	case spec.WildcardHost:
		if !c.wildcardsCopied {
			t.wildcards, c.wildcardsCopied = own(t.wildcards), true
		}
		set(t.wildcards, host.Text, h)
	case spec.RegexpHost:
		c.regexpsChanged = true
		t.regexps = slices.DeleteFunc(slices.Clone(t.regexps), func(o *hostTable) bool { return o.host == host })
		if h != nil {
			t.regexps = append(t.regexps, h)
		}
	case spec.AnyHost:
		t.any = h
	}
}

// contest notes whether several routes of h match the same.
func (c *compiler) contest(host spec.Host, h *hostTable) {
	is := h != nil && h.contested
	if c.next.contested[host] == nil && !is {
		return
	}
	if !c.contestedCopied {
		c.next.contested, c.contestedCopied = maps.Clone(c.next.contested), true
		if c.next.contested == nil {
			c.next.contested = map[spec.Host]*hostTable{}
		}
	}
	if delete(c.next.contested, host); is {
		c.next.contested[host] = h
	}
}

func own(m map[string]*hostTable) map[string]*hostTable {
	if m == nil {
		return map[string]*hostTable{}
	}
	return maps.Clone(m)
}

func set(m map[string]*hostTable, name string, h *hostTable) {
	if h == nil {
		delete(m, name)
		return
	}
	m[name] = h
}

// orderRegexps puts the expressions in the order they are asked. Who held one
// first comes first, so that no later owner takes away what it matches; among
// those of one owner, priority decides.
func (c *compiler) orderRegexps() {
	if !c.regexpsChanged {
		return
	}
	first := map[string]*hostTable{} // by owner
	for _, h := range c.next.regexps {
		if o := first[h.holder]; o == nil || h.older(o) < 0 {
			first[h.holder] = h
		}
	}
	slices.SortFunc(c.next.regexps, func(a, b *hostTable) int {
		return cmp.Or(
			first[a.holder].older(first[b.holder]), strings.Compare(a.holder, b.holder),
			cmp.Compare(b.priority(), a.priority()), strings.Compare(a.host.Text, b.host.Text))
	})
}

// older compares how long two hosts are held: by the ledger, and where both
// came at once by the age of what wants them.
func (h *hostTable) older(o *hostTable) int {
	if n := h.since.Compare(o.since); n != 0 || len(h.claims) == 0 || len(o.claims) == 0 {
		return n
	}
	age := func(h *hostTable) *leg { return slices.MinFunc(h.claims, byAge) }
	return age(h).route.spec.Created.Compare(age(o).route.spec.Created)
}

func (h *hostTable) priority() int {
	highest := -1 << 31
	for _, l := range h.claims {
		highest = max(highest, l.route.spec.Priority)
	}
	return highest
}

// patterns returns every host pattern of t in order.
func (t *Table) patterns() []spec.Host {
	var all []spec.Host
	for _, shard := range t.exact {
		for host := range shard {
			all = append(all, spec.Host{Text: host})
		}
	}
	for suffix := range t.wildcards {
		all = append(all, spec.Host{Kind: spec.WildcardHost, Text: suffix})
	}
	for _, h := range t.regexps {
		all = append(all, h.host)
	}
	if t.any != nil {
		all = append(all, t.any.host)
	}
	slices.SortFunc(all, compareHosts)
	return all
}

// patternOf reads a host pattern as the ledger writes it.
func patternOf(text string) (spec.Host, error) {
	if re, ok := strings.CutPrefix(text, "~"); ok {
		return spec.Host{Kind: spec.RegexpHost, Text: re}, label.CheckRegexp(re)
	}
	return spec.ParseHostPattern(text)
}
