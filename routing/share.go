package routing

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// admit refuses the legs of owners that may not add to this host, and those
// that would take away what a senior owner's match already.
func (h *hostTable) admit(legs []*leg, ranks seniority, sharedByOperator bool) {
	if ranks == nil {
		return
	}
	allowed := map[string]bool{}
	for _, l := range legs {
		if l.route.spec.Owner == h.holder {
			for _, owner := range l.route.spec.Share {
				allowed[owner] = true
			}
		}
	}
	bySeniority := slices.Clone(legs)
	slices.SortFunc(bySeniority, func(a, b *leg) int {
		if n := ranks[a.route.spec.Owner] - ranks[b.route.spec.Owner]; n != 0 {
			return n
		}
		return byAge(a, b)
	})
	for i, l := range bySeniority {
		owner := l.route.spec.Owner
		if owner == h.holder {
			continue
		}
		l.refused = true
		switch taken := takenBy(bySeniority[:i], l); {
		case !allowed[owner] && !allowed["any"] && !sharedByOperator:
			h.conflict(l, h.holder, "the holder allows it with the label share: "+owner+", the operator with --share-host "+h.host.String())
		case taken != nil:
			h.conflict(l, taken.route.spec.Owner, "choose a path that "+taken.route.spec.ID+" does not match already")
		default:
			l.refused = false
		}
	}
}

// takenBy returns the leg of another owner among senior ones that already
// matches what l wants.
func takenBy(senior []*leg, l *leg) *leg {
	for _, s := range senior {
		if s.serves() && s.route.spec.Owner != l.route.spec.Owner && s.losesTo(l) {
			return s
		}
	}
	return nil
}

// losesTo reports whether l, which is another owner's, would or might get
// requests that s matches. The root matches everything, and loses nothing but
// the front page: below it is where others are let in.
func (s *leg) losesTo(l *leg) bool {
	switch {
	case s.path == l.path:
		return true
	case l.path.Kind == spec.PathRegexp:
		return false // asked last, and after those of senior owners
	case s.path.Kind == spec.PathRegexp:
		return l.path.Kind == spec.ExactPath && s.re.MatchString(l.path.Text) || l.path.Kind == spec.PathPrefix && mayOverlap(s.path.Text, l.path.Text)
	case s.path.Kind == spec.ExactPath:
		return false // asked before any prefix; another exact path is another path
	case s.path == spec.Root:
		return l.path.Text == "/"
	}
	_, below := (&prefix{text: s.path.Text}).fits(l.path.Text)
	return below
}

// mayOverlap reports whether expression re, of whole paths, may match a path
// that begins with prefix. Where that is hard to tell, it may.
func mayOverlap(re, prefix string) bool {
	compiled, err := regexp.Compile(re)
	if err != nil {
		return true
	}
	begin, _ := compiled.LiteralPrefix()
	return strings.HasPrefix(begin, prefix) || strings.HasPrefix(prefix, begin)
}

// conflict notes that l does not get what holder has.
func (h *hostTable) conflict(l *leg, holder, fix string) {
	s := l.route.spec
	if s.Vanished {
		return
	}
	what := h.host.String() + l.path.Separate()
	p := spec.Problem{
		Code: "conflict", Container: s.Container, Route: s.ID, Value: what,
		Message: "another owner, " + holder + ", holds " + what, Fix: fix, Effect: label.Refused,
	}
	switch {
	case len(s.Fallback) > 0 && !l.fallback:
		p.Message += "; the default host is " + s.Fallback[0].Host.String() + " instead"
		p.Fix, p.Effect = "", label.Hinted
	case holder == h.holder && !h.until.IsZero():
		p.Message += ", though none of its containers asks for it now: it is free at " + h.until.UTC().Format(time.RFC3339) + " (--claim-grace)"
	}
	h.problems = append(h.problems, p)
}
