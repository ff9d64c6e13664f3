package routing

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// A split is how legs that match the same share requests, where some of them
// are canaries. Whoever cannot answer is passed over while another one can.
type split struct {
	marked []*leg // get the requests with their header or cookie
	parts  []part // get clients by lot
	rest   []*leg // the first that is ready gets what is left; the stable ones come first
}

// A part is the lots of one canary.
type part struct {
	leg      *leg
	from, to int
}

func (p *part) share() string { return spec.Share(p.to - p.from) }

// split puts the canaries of group behind the others and divides requests among
// all of them. It returns nil where there is no canary.
func (h *hostTable) split(group []*leg) *split {
	if !slices.ContainsFunc(group, func(l *leg) bool { return l.turn() != stable }) {
		return nil
	}
	slices.SortStableFunc(group, func(a, b *leg) int {
		if n := cmp.Compare(a.turn(), b.turn()); n != 0 || a.turn() == stable {
			return n
		}
		return strings.Compare(a.route.spec.ID, b.route.spec.ID) // not by age: one that is replaced keeps its lots
	})
	s := &split{rest: group}
	if i := slices.IndexFunc(group, func(l *leg) bool { return l.turn() == nothing }); i > 0 {
		s.rest = group[:i]
	}
	for _, l := range group {
		switch c := l.route.spec.Canary; {
		case l.route.refusal() != nil:
		case c.By == spec.ByLot:
			h.deal(s, l)
		case c.IsSet():
			s.marked = append(s.marked, l)
		}
	}
	return s
}

// When a leg gets requests that others match too.
const (
	stable  = iota // at any time
	canary         // its share of them, or all if nothing stable is ready
	nothing        // never
)

// turn returns one of those. A refused canary would answer 503, though others can
// answer better.
func (l *leg) turn() int {
	switch c := l.route.spec.Canary; {
	case !c.IsSet():
		return stable
	case c.By == spec.ByLot && c.Lots == 0, l.route.refusal() != nil:
		return nothing
	}
	return canary
}

// deal gives l the lots that follow those of the parts before it, as far as there
// are any left.
func (h *hostTable) deal(s *split, l *leg) {
	taken := 0
	var others []string
	for _, p := range s.parts {
		taken = p.to
		others = append(others, p.leg.route.spec.ID)
	}
	c := l.route.spec.Canary
	p := part{l, taken, min(taken+c.Lots, spec.Lots)}
	s.parts = append(s.parts, p)
	if taken+c.Lots <= spec.Lots || l.route.spec.Vanished {
		return
	}
	names := strings.Join(others, ", ")
	h.problems = append(h.problems, spec.Problem{
		Code: "out-of-range", Container: l.route.spec.Container, Route: l.route.spec.ID, Label: l.route.build.Prefix + ".canary", Value: c.String(),
		Message: "gets " + p.share() + " of " + h.host.String() + l.path.Separate() + ": the canaries before it (" + names + ") have " + spec.Share(taken) + " already",
		Fix:     "let its share and those of " + names + " come to 100% at most", Effect: label.Hinted,
	})
}

// pick returns the leg that gets q.
func (s *split) pick(q *Query, tr *Trace) *leg {
	for _, l := range s.marked {
		met, ready := meets(l.route.spec.Canary, q.Header), l.route.ready()
		if tr != nil {
			tr.add("canary", l.route.spec.ID, "gets "+s.gets(l)+markedOutcome(met, ready))
		}
		if met && ready {
			return l
		}
	}
	rest := fittest(s.rest)
	for i := range s.parts {
		// Where a canary stands in for the others lots decide nothing.
		p := &s.parts[i]
		if p.leg == rest || p.from == p.to || !p.leg.route.ready() {
			if tr != nil {
				tr.add("canary", p.leg.route.spec.ID, "gets "+s.gets(p.leg)+p.undecided(rest))
			}
			continue
		}
		lot := q.lot()
		if tr != nil {
			tr.add("canary", p.leg.route.spec.ID, "gets "+s.gets(p.leg)+p.decided(lot))
		}
		if p.from <= lot && lot < p.to {
			return p.leg
		}
	}
	return rest
}

func markedOutcome(met, ready bool) string {
	switch {
	case !met:
		return ": this is none"
	case !ready:
		return ": this is one, but no endpoint is ready"
	}
	return ": this is one"
}

func (p *part) undecided(rest *leg) string {
	switch {
	case p.from == p.to:
		return ""
	case p.leg == rest:
		return ", and the rest too: no stable route is ready"
	}
	return ", but no endpoint is ready"
}

func (p *part) decided(lot int) string {
	lots := fmt.Sprintf(" (%d to %d): this request has ", p.from, p.to-1)
	if lot == noLot {
		return lots + "none yet, and counts among the others"
	}
	return lots + strconv.Itoa(lot)
}

// gets words the requests that canary l is for.
func (s *split) gets(l *leg) string {
	if c := l.route.spec.Canary; c.By != spec.ByLot {
		return "requests with the " + c.By + " " + c.Name
	}
	for i := range s.parts {
		if p := &s.parts[i]; p.leg == l {
			return p.share() + " of clients, by lot"
		}
	}
	return "nothing"
}

// meets reports whether h has what c asks for: a value that is neither empty nor
// a no, so that a client which was let in can be let out again.
func meets(c spec.Canary, h http.Header) bool {
	if c.By == spec.ByHeader {
		return slices.ContainsFunc(h[c.Name], affirms)
	}
	return slices.ContainsFunc(cookies(h, c.Name), func(c *http.Cookie) bool { return affirms(c.Value) })
}

func affirms(value string) bool {
	value = strings.TrimSpace(value)
	yes, known := label.ParseBool(value)
	return value != "" && (yes || !known)
}

// has reports whether canary l gets any requests while others serve.
func (s *split) has(l *leg) bool {
	return slices.Contains(s.marked, l) || slices.ContainsFunc(s.parts, func(p part) bool { return p.leg == l && p.from < p.to })
}

// share words what l gets of group if it is a canary, "" if not.
func (l *leg) share(group []*leg) string {
	c := l.route.spec.Canary
	s := group[0].split
	switch {
	case !c.IsSet():
		return ""
	case s == nil:
		return "canary " + c.String() + " gets everything: no other route matches the same"
	}
	rest := fittest(s.rest)
	if rest == l {
		return "canary " + c.String() + " serves the rest: no stable route is ready"
	}
	return "canary gets " + s.gets(l) + "; " + rest.route.spec.ID + " serves the rest"
}
