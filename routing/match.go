package routing

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/fairlead/fairlead/spec"
)

// A Query is what of a request chooses its route.
type Query struct {
	Host         string // canonical
	Path         string // byte for byte, without the query
	RawQuery     string
	Method       string
	Header       http.Header
	Client       netip.Addr
	ClientHidden bool
	Entry        string // name of the entry point
	EntryPort    string
	// Draw draws the lot, 0 to spec.Lots-1, of a client that has none where a canary
	// asks for it. Without it such clients get what is left by all canaries, and
	// the same query matches the same.
	Draw func() int
	Dry  bool // nobody asks really: nothing is remembered of it

	drawn   int    // the lot that Draw drew, counted from 1; 0 for none
	decoded string // a reading of the path: Path is its canonical spelling, and expressions get both
}

// A Result is what a Query matches.
type Result struct {
	route   *route
	Matched string // the prefix, "" for an exact path or an expression
	Slash   bool   // the path lacks only the trailing slash
	// TwoReadings: the path may be read as another one, and is refused.
	TwoReadings bool
	// rivalled: another route matches the same, and may answer in its place.
	rivalled bool

	tls *spec.TLSHost // what the host asks of TLS; nil if it has no route
}

// A Trace collects why Match decided as it did. A nil Trace costs nothing.
type Trace struct {
	Steps []Step `json:"steps"`

	host  *hostTable // of the result
	group []*leg     // that match the same as the result, it included
}

// A Step is one decision.
type Step struct {
	Stage   string `json:"stage"` // host, path, condition, reading
	Route   string `json:"route,omitempty"`
	Outcome string `json:"outcome"`
}

func (t *Trace) add(stage, route, outcome string) {
	if t != nil {
		t.Steps = append(t.Steps, Step{stage, route, outcome})
	}
}

// Match returns the route for q, which keeps the lot that it drew. Serving and
// `explain` both use it: the latter with a trace.
func (t *Table) Match(q *Query, tr *Trace) Result {
	got := t.match(q, tr)
	if plain(q.Path) {
		return got
	}
	forms, ok := readings(q.Path)
	if !ok {
		tr.add("reading", "", "refused: the path has, or may be read to have, a dot segment or a control byte")
		return Result{TwoReadings: true, tls: got.tls}
	}
	other := *q
	other.Draw = nil // no request is refused by chance
	for _, other.decoded = range forms {
		other.Path = canonical(other.decoded)
		if res := t.match(&other, nil); res.route != got.route {
			if tr != nil {
				tr.add("reading", res.id(), "refused: the path can also be read as "+other.shown(q.Path)+", which "+res.whose()+" answers")
			}
			return Result{TwoReadings: true, tls: got.tls}
		}
	}
	return got
}

// shown returns the reading q is of path: as apps write it, or, where that is
// path itself, in its canonical spelling.
func (q *Query) shown(path string) string {
	if q.decoded == path {
		return q.Path
	}
	return q.decoded
}

func (r Result) id() string {
	if r.route == nil {
		return ""
	}
	return r.route.spec.ID
}

func (r Result) whose() string {
	if r.route == nil {
		return "no route"
	}
	return "another route"
}

// stages are the kinds of host patterns, most specific first.
const stages = int(spec.AnyHost) + 1

// match looks q up by host, most specific first. Once a pattern fits, less
// specific ones count only for the same owner: nobody else gets what a held
// host does not match.
func (t *Table) match(q *Query, tr *Trace) Result {
	holder := ""
	var last *leg
	var tls *spec.TLSHost // as TLSHost finds it
	for stage := range stages {
		for _, h := range t.candidates(stage, q.Host) {
			switch {
			case h.holder == "":
				continue
			case holder != "" && h.holder != holder:
				if tr != nil {
					tr.add("host", "", "also matches "+h.host.String()+", which is no use: "+h.holder+" holds that, and "+holder+" this host")
				}
				continue
			}
			if tr != nil {
				tr.add("host", "", "matches "+h.host.String()+", held by "+h.holder)
			}
			if tls == nil {
				tls = h.tls
			}
			if res, ok := h.find(q, holder, tr); ok {
				if tr != nil {
					tr.host = h
				}
				res.tls = tls
				return res
			}
			if last == nil {
				last = h.lastResort(holder)
			}
			holder = h.holder
		}
	}
	switch {
	case last != nil:
		tr.add("path", last.route.spec.ID, "nothing else matches, and this route's match is in doubt")
		return Result{route: last.route, tls: tls}
	case holder == "":
		tr.add("host", "", "no route has this host")
	default:
		tr.add("path", "", "no route of this host has this path")
	}
	return Result{tls: tls}
}

// candidates returns the host tables of one stage that fit host: exact,
// wildcard, regexps in their order, any.
func (t *Table) candidates(stage int, host string) []*hostTable {
	switch spec.HostKind(stage) {
	case spec.ExactHost:
		return one(t.exact[shardOf(host)][host])
	case spec.WildcardHost:
		if len(t.wildcards) == 0 {
			return nil
		}
		if _, suffix, ok := strings.Cut(host, "."); ok {
			return one(t.wildcards[suffix])
		}
	case spec.RegexpHost:
		var fit []*hostTable
		for _, h := range t.regexps {
			if h.re.MatchString(host) {
				fit = append(fit, h)
			}
		}
		return fit
	case spec.AnyHost:
		return one(t.any)
	}
	return nil
}

// one returns h as a slice that does not escape to the heap.
func one(h *hostTable) []*hostTable {
	if h == nil {
		return nil
	}
	return h.self[:]
}

const shards = 256

var hostSeed = maphash.MakeSeed()

func shardOf(host string) uint8 { return uint8(maphash.String(hostSeed, host)) }

// find returns the best leg of h for q: exact path, longest prefix, expression.
// owner is the only one whose legs count, "" for all.
func (h *hostTable) find(q *Query, owner string, tr *Trace) (Result, bool) {
	if h.exactPaths != nil {
		if l := choose(h.exactPaths[q.Path], q, owner, tr); l != nil {
			return Result{route: l.route, rivalled: l.rivalled}, true
		}
	}
	for i := range h.prefixes {
		p := &h.prefixes[i]
		slash, ok := p.fits(q.Path)
		if !ok {
			continue
		}
		if l := choose(p.legs, q, owner, tr); l != nil {
			return Result{route: l.route, rivalled: l.rivalled, Matched: p.text, Slash: slash}, true
		}
	}
	for rest := h.exprs; len(rest) > 0; {
		n := rivals(rest)
		if re := rest[0].re; re.MatchString(q.Path) || q.decoded != "" && re.MatchString(q.decoded) {
			if l := choose(rest[:n], q, owner, tr); l != nil {
				return Result{route: l.route, rivalled: l.rivalled}, true
			}
		}
		rest = rest[n:]
	}
	return Result{}, false
}

// lastResort returns the first leg of owner whose match is in doubt.
func (h *hostTable) lastResort(owner string) *leg {
	for _, l := range h.last {
		if owner == "" || l.route.spec.Owner == owner {
			return l
		}
	}
	return nil
}

// fits reports whether path is p or below it, at a segment boundary; slash
// that it is p but for p's trailing slash.
func (p *prefix) fits(path string) (slash, ok bool) {
	n := len(p.text)
	switch {
	case p.text[n-1] != '/':
		return false, strings.HasPrefix(path, p.text) && (len(path) == n || path[n] == '/')
	case strings.HasPrefix(path, p.text):
		return false, true
	}
	return true, len(path) == n-1 && path == p.text[:n-1]
}

// choose returns the first leg whose conditions q fulfils. Among legs that are
// equal but for their service, one with ready endpoints comes first, and canaries
// have their share.
func choose(legs []*leg, q *Query, owner string, tr *Trace) *leg {
	for len(legs) > 0 {
		n := rivals(legs)
		group, first := legs[:n], legs[0]
		legs = legs[n:]
		if owner != "" && first.route.spec.Owner != owner {
			continue
		}
		if what, name := first.route.conditions.unmet(q); what != "" {
			if tr != nil {
				tr.add("condition", first.route.spec.ID, "matches "+first.path.String()+", but its condition "+what+name+" is not met")
			}
			continue
		}
		l := fittest(group)
		if first.split != nil {
			l = first.split.pick(q, tr)
		}
		if tr != nil {
			l.told(tr, group)
			tr.group = group
		}
		return l
	}
	return nil
}

// rivals returns how many legs at the beginning of legs match the same.
func rivals(legs []*leg) int {
	n := 1
	for n < len(legs) && legs[n].equal {
		n++
	}
	return n
}

// fittest returns the first leg that can answer now, else the first.
func fittest(group []*leg) *leg {
	if len(group) > 1 {
		for _, l := range group {
			if l.route.ready() {
				return l
			}
		}
	}
	return group[0]
}

// told says why l was chosen.
func (l *leg) told(tr *Trace, group []*leg) {
	outcome := "matches " + l.path.String()
	switch {
	case !l.route.ready():
		outcome += ", without a ready endpoint"
	case l != group[0] && !group[0].route.ready():
		outcome += ", and is ready while " + group[0].route.spec.ID + ", which matches the same, is not"
	}
	tr.add("path", l.route.spec.ID, outcome)
}

// conditions are spec.Conditions and Listen, compiled.
type conditions struct {
	any      bool   // there are some
	key      string // the same for conditions that are the same, and for priorities
	listen   []string
	methods  []string
	headers  []compare
	query    []compare
	clientIP []netip.Prefix
	hidden   *atomic.Bool // with clientIP: a client asked whose address is hidden
}

type compare struct {
	name, text string
	re         *regexp.Regexp
}

func (c *compare) fits(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		if c.re != nil {
			return c.re.MatchString(v)
		}
		return v == c.text
	})
}

// unmet returns the label, in two parts, of the first condition that q does not
// fulfil, "" if it fulfils all.
func (c *conditions) unmet(q *Query) (what, name string) {
	if !c.any {
		return "", ""
	}
	if c.listen != nil && !slices.Contains(c.listen, q.Entry) && !slices.Contains(c.listen, q.EntryPort) {
		return "listen", ""
	}
	if c.methods != nil && !slices.Contains(c.methods, q.Method) {
		return "match.method", ""
	}
	for i := range c.headers {
		if h := &c.headers[i]; !h.fits(q.Header[h.name]) {
			return "match.header.", h.name
		}
	}
	if c.query != nil {
		values := queryValues(q.RawQuery)
		for i := range c.query {
			if p := &c.query[i]; !p.fits(values[p.name]) {
				return "match.query.", p.name
			}
		}
	}
	if c.clientIP != nil && !c.from(q) {
		return "match.client-ip", ""
	}
	return "", ""
}

// from reports whether q's client is in one of the ranges. One whose address
// is hidden is in none, which is worth a problem the first time.
func (c *conditions) from(q *Query) bool {
	if q.ClientHidden {
		if !q.Dry && !c.hidden.Load() {
			c.hidden.Store(true)
		}
		return false
	}
	for _, p := range c.clientIP {
		if p.Contains(q.Client) {
			return true
		}
	}
	return false
}

func queryValues(raw string) map[string][]string {
	values := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(strings.ReplaceAll(name, "+", " ")), unescape(strings.ReplaceAll(value, "+", " "))
		values[name] = append(values[name], value)
	}
	return values
}
