package routing

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// Env is what compiling needs of the process.
type Env struct {
	Build   build.Build // what every Build starts from
	NewPool func(key string, tls spec.UpstreamTLS, b *build.Build) (*upstream.Pool, error)
	// Certificates is nil where nothing is served over TLS.
	Certificates Certificates
	// HTTPSPort returns the port by which clients reach the HTTPS entry point
	// that a request on the plain entry point called entry is sent to, of those
	// that the label listen names (all for nil); "" if there is none. Requests
	// call it. nil is as if it always returned "".
	HTTPSPort func(entry string, listen []string) string
}

// Compile returns the table of sp. What did not change since prev is taken from
// it; the result serves as one compiled from nothing would. prev may be nil.
// The table takes effect with Live.Swap, and every table must: what it keeps is
// given back when the next one replaces it.
func Compile(prev *Table, sp spec.Spec, claims *Claims, env *Env, now time.Time) *Table {
	c := compiler{env: env, claims: claims, now: now, prev: prev, touched: map[spec.Host]*touch{}}
	if prev == nil {
		c.prev = &Table{}
		for host := range claims.held {
			c.touchPattern(host) // held hosts are nobody else's, wanted or not
		}
	}
	c.next = &Table{
		exact: c.prev.exact, wildcards: c.prev.wildcards, regexps: c.prev.regexps, any: c.prev.any, shared: c.prev.shared, contested: c.prev.contested,
		specs: sp.Units, units: make([]*unit, 0, len(sp.Units)), requests: new(atomic.Int64), env: env,
	}
	c.units(sp.Units)
	c.setShared()
	due, _ := claims.Due(now)
	for _, host := range due {
		c.touchPattern(host)
	}
	c.hosts()
	for _, r := range c.changed {
		c.note(r[0], r[1]) // now it is known who got which host
	}
	c.sortNews()
	return c.next
}

type compiler struct {
	env             *Env
	claims          *Claims
	now             time.Time
	prev, next      *Table
	touched         map[spec.Host]*touch
	copied          [shards]bool // shards of next that are its own
	wildcardsCopied bool
	contestedCopied bool
	regexpsChanged  bool
	resplit         map[string]bool // pools across owners, by key, whose parts in next are its own
	changed         [][2]*route     // before and after, either may be nil
}

// A touch is what changes about one host.
type touch struct {
	gone  map[*route]bool
	added []*leg
}

// units compiles what differs between the old and the new units, both sorted by
// owner. Equal pointers are the usual case, and are not even looked behind.
func (c *compiler) units(now []*spec.Unit) {
	old, was := c.prev.units, c.prev.specs
	for len(old) > 0 || len(now) > 0 {
		n := 0
		for n < len(old) && n < len(now) && was[n] == now[n] {
			n++
		}
		c.next.units = append(c.next.units, old[:n]...)
		if old, was, now = old[n:], was[n:], now[n:]; len(old) == 0 && len(now) == 0 {
			return
		}
		switch order := compareFirst(old, now, func(u *unit, s *spec.Unit) int { return strings.Compare(u.spec.Owner, s.Owner) }); {
		case order < 0:
			c.unit(old[0], &spec.Unit{Owner: old[0].spec.Owner})
			old, was = old[1:], was[1:]
		case order > 0:
			c.add(c.unit(&unit{spec: &spec.Unit{}}, now[0]))
			now = now[1:]
		default:
			c.add(c.unit(old[0], now[0]))
			old, was, now = old[1:], was[1:], now[1:]
		}
	}
}

// compareFirst compares the first of two sorted lists, of which one may be
// empty: it sorts behind everything.
func compareFirst[A, B any](a []A, b []B, compare func(A, B) int) int {
	switch {
	case len(b) == 0:
		return -1
	case len(a) == 0:
		return 1
	}
	return compare(a[0], b[0])
}

func (c *compiler) add(u *unit) {
	i := len(c.next.units)
	c.next.units = append(c.next.units, u)
	if u.failed {
		if len(c.next.specs) > 0 && c.next.specs[i] != nil {
			c.next.specs = slices.Clone(c.next.specs)
		}
		c.next.specs[i] = nil
	}
}

// unit compiles now, taking from old what is the same.
func (c *compiler) unit(old *unit, now *spec.Unit) *unit {
	u := &unit{spec: now, pools: make([]*pool, 0, len(now.Pools)), routes: make([]*route, 0, len(now.Routes))}
	c.pools(u, old.pools)
	before, after := old.routes, now.Routes
	for len(before) > 0 || len(after) > 0 {
		switch order := compareFirst(before, after, func(r *route, s *spec.Route) int { return strings.Compare(r.spec.ID, s.ID) }); {
		case order < 0:
			c.replace(before[0], nil)
			before = before[1:]
		case order > 0:
			u.routes = append(u.routes, c.route(after[0], u))
			c.replace(nil, u.routes[len(u.routes)-1])
			after = after[1:]
		default:
			u.routes = append(u.routes, c.update(before[0], after[0], u))
			before, after = before[1:], after[1:]
		}
	}
	u.failed = u.failed || slices.ContainsFunc(u.routes, (*route).failed)
	c.news(old.problems(), u.problems())
	return u
}

// problems returns what is wrong with the labels of u and its routes.
func (u *unit) problems() []spec.Problem {
	all := u.spec.Problems[:len(u.spec.Problems):len(u.spec.Problems)]
	for _, r := range u.routes {
		all = append(all, r.problems...)
	}
	return all
}

// news notes which problems came and which are gone.
func (c *compiler) news(before, after []spec.Problem) {
	if len(before) == 0 && len(after) == 0 {
		return
	}
	c.next.Appeared = append(c.next.Appeared, without(after, before)...)
	c.next.Cleared = append(c.next.Cleared, without(before, after)...)
}

// without returns those of list that are not among known.
func without(list, known []spec.Problem) (rest []spec.Problem) {
	seen := make(map[spec.Problem]bool, len(known))
	for _, p := range known {
		seen[p] = true
	}
	for _, p := range list {
		if !seen[p] {
			rest = append(rest, p)
		}
	}
	return rest
}

// sortNews puts what is logged of the table into an order of its own.
func (c *compiler) sortNews() {
	slices.SortFunc(c.next.Changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Route, b.Route), strings.Compare(b.Sign, a.Sign))
	})
	for _, list := range [][]spec.Problem{c.next.Appeared, c.next.Cleared} {
		slices.SortStableFunc(list, func(a, b spec.Problem) int {
			return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.Route, b.Route), strings.Compare(a.Label, b.Label), strings.Compare(a.Value, b.Value))
		})
	}
}

// update returns before if now asks for the same, else now compiled.
func (c *compiler) update(before *route, now *spec.Route, u *unit) *route {
	p := u.pool(now.Pool)
	same := !before.failed() && (now.Pool == "" || p != nil && p.up == before.pool) && equalRoutes(before.spec, now)
	if !same {
		after := c.route(now, u)
		c.replace(before, after)
		return after
	}
	if running := p.running(); running != before.running {
		// Only the order among routes that match the same depends on it.
		after := *before
		after.running = running
		c.unlink(before)
		c.link(&after)
		return &after
	}
	return before
}

// equalRoutes is reflect.DeepEqual for two routes of one id; a unit may have
// ten thousand.
func equalRoutes(a, b *spec.Route) bool {
	x, y := *a, *b
	if !slices.Equal(x.Matches, y.Matches) || !slices.Equal(x.Fallback, y.Fallback) || !slices.Equal(x.Listen, y.Listen) ||
		!slices.Equal(x.Share, y.Share) || !x.Created.Equal(y.Created) || (x.Refused == nil) != (y.Refused == nil) ||
		x.Refused != nil && *x.Refused != *y.Refused || (x.Listen == nil) != (y.Listen == nil) {
		return false
	}
	if x.Conditions.Count() != y.Conditions.Count() || x.Conditions.Count() > 0 && !reflect.DeepEqual(x.Conditions, y.Conditions) {
		return false
	}
	if len(x.Options) != len(y.Options) || len(x.Options) > 0 && !reflect.DeepEqual(x.Options, y.Options) {
		return false
	}
	if x.Files != y.Files && (x.Files == nil || y.Files == nil || !reflect.DeepEqual(x.Files, y.Files)) {
		return false
	}
	return x.ID == y.ID && x.Owner == y.Owner && x.Service == y.Service && x.Name == y.Name && x.Container == y.Container &&
		x.ContainerID == y.ContainerID && x.Origin == y.Origin && x.Vanished == y.Vanished && x.Priority == y.Priority &&
		x.Maintenance.Equal(y.Maintenance) && x.Pool == y.Pool && x.Canary == y.Canary && x.TLS == y.TLS && x.TLSInDoubt == y.TLSInDoubt && x.PlainHTTP == y.PlainHTTP && x.LastResort == y.LastResort
}

// sameLabels reports whether two routes of one id differ in nothing but the
// containers behind them.
func sameLabels(a, b *spec.Route) bool {
	x := *b
	x.Container, x.ContainerID, x.Created, x.Vanished = a.Container, a.ContainerID, a.Created, a.Vanished
	if a.Files != nil && b.Files != nil {
		files := *b.Files
		files.Runs, x.Files = a.Files.Runs, &files
	}
	return equalRoutes(a, &x)
}

// replace notes that after stands where before stood; either may be nil.
func (c *compiler) replace(before, after *route) {
	if before != nil {
		c.unlink(before)
		c.next.retired = append(c.next.retired, before.build.Release)
		if before.pool != nil && (after == nil || !sameLabels(before.spec, after.spec)) {
			c.next.changed = append(c.next.changed, before.pool)
		}
	}
	if after != nil {
		c.link(after)
	}
	c.changed = append(c.changed, [2]*route{before, after})
}

func (c *compiler) unlink(r *route) {
	for _, matches := range [][]spec.HostPath{r.spec.Matches, r.spec.Fallback} {
		for _, m := range matches {
			t := c.touch(m.Host)
			if t.gone == nil {
				t.gone = map[*route]bool{}
			}
			t.gone[r] = true
		}
	}
}

func (c *compiler) link(r *route) {
	c.legs(r, r.spec.Matches, false)
	c.legs(r, r.spec.Fallback, true)
}

func (c *compiler) legs(r *route, matches []spec.HostPath, fallback bool) {
	for _, m := range matches {
		l := &leg{route: r, path: m.Path, fallback: fallback}
		if m.Path.Kind == spec.PathRegexp {
			re, err := label.Whole(m.Path.Text)
			if err != nil {
				continue // spec.Parse has refused it
			}
			l.re = re
		} else {
			l.path.Text = canonical(m.Path.Text)
		}
		t := c.touch(m.Host)
		if !slices.ContainsFunc(t.added, func(o *leg) bool { return o.route == r && o.path == l.path && o.fallback == fallback }) {
			t.added = append(t.added, l)
		}
	}
}

func (c *compiler) touch(host spec.Host) *touch {
	t := c.touched[host]
	if t == nil {
		t = &touch{}
		c.touched[host] = t
	}
	return t
}

func (c *compiler) touchPattern(host string) {
	if pattern, err := patternOf(host); err == nil {
		c.touch(pattern)
	}
}

// note adds what changed to the diff that is logged.
func (c *compiler) note(before, after *route) {
	var was, is string
	if before != nil {
		was = c.prev.describe(before)
	}
	if after != nil {
		is = c.next.describe(after)
	}
	switch {
	case before == nil:
		c.next.Changes = append(c.next.Changes, Change{"+", after.spec.ID, is})
	case after == nil:
		c.next.Changes = append(c.next.Changes, Change{"-", before.spec.ID, was})
	case was != is || !reflect.DeepEqual(before.spec.Options, after.spec.Options):
		c.next.Changes = append(c.next.Changes, Change{"~", after.spec.ID, is})
	}
}

// describe says in one line what r answers in t and where that goes.
func (t *Table) describe(r *route) string {
	var at []string
	for _, m := range r.spec.Matches {
		at = append(at, m.Host.String()+m.Path.Separate())
	}
	to := cmp.Or(r.spec.Pool, "the proxy itself")
	if r.refusal() != nil {
		to = "refused"
	} else if holder := t.elsewhere(r); holder != "" {
		to = "refused, " + holder + " holds that"
	}
	return strings.Join(at, ", ") + " → " + to
}

// elsewhere returns the owner who holds the first host of r, if r serves none
// of its hosts.
func (t *Table) elsewhere(r *route) (holder string) {
	for _, m := range slices.Concat(r.spec.Matches, r.spec.Fallback) {
		h := t.lookup(m.Host)
		if h == nil || slices.ContainsFunc(h.claims, func(l *leg) bool { return l.route == r && l.serves() }) {
			return ""
		}
		holder = cmp.Or(holder, h.holder)
	}
	return holder
}
