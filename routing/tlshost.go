package routing

import (
	"cmp"
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// TLSHost returns the host pattern that name falls under, with what it asks of
// TLS, and whether there is one. It finds it as Match does; where owners share a
// host, the holder's oldest service decides. Certificates and the check of SNI
// against Host both ask here.
func (t *Table) TLSHost(name string) (host spec.TLSHost, known bool) {
	holder := ""
	for stage := range stages {
		for _, h := range t.candidates(stage, name) {
			if h.holder == "" || holder != "" && h.holder != holder {
				continue
			}
			if holder = h.holder; h.tls != nil {
				return *h.tls, true
			}
		}
	}
	return spec.TLSHost{}, false
}

// TLSPolicy returns what host asks of TLS, and whether any route has that host.
func (t *Table) TLSPolicy(host string) (policy spec.TLSPolicy, known bool) {
	h, known := t.TLSHost(host)
	return h.Policy, known
}

// TLSHosts returns every host that something serves, with what it asks of TLS,
// in order.
func (t *Table) TLSHosts() []spec.TLSHost {
	var all []spec.TLSHost
	for _, host := range t.patterns() {
		if h := t.lookup(host); h.tls != nil {
			all = append(all, *h.tls)
		}
	}
	return all
}

// ask notes what h asks of TLS: what the holder's oldest service does whose
// labels say so without doubt. A host has one certificate and one policy; a
// route that asks for another is told so.
func (h *hostTable) ask(legs []*leg) {
	legs = slices.DeleteFunc(slices.Clone(legs), func(l *leg) bool { return !l.serves() })
	if len(legs) == 0 {
		return
	}
	speaks := slices.MinFunc(legs, func(a, b *leg) int {
		x, y := a.route.spec, b.route.spec
		return cmp.Or(inDoubt(x)-inDoubt(y), h.foreign(x.Owner)-h.foreign(y.Owner), byAge(a, b))
	}).route.spec
	h.tls = &spec.TLSHost{
		Host: h.host, Policy: speaks.TLS, Route: speaks.ID, Container: speaks.Container,
		Refused: !slices.ContainsFunc(legs, func(l *leg) bool { return l.route.refusal() == nil }),
	}
	told := map[*route]bool{}
	for _, l := range legs {
		if h.differs(l.route.spec) && !told[l.route] {
			told[l.route] = true
			h.tell(l.route.spec)
		}
	}
}

func inDoubt(r *spec.Route) int {
	if r.TLSInDoubt {
		return 1
	}
	return 0
}

// differs reports whether r asks for something else than h goes by. Who asks for
// nothing gets what there is.
func (h *hostTable) differs(r *spec.Route) bool {
	return r.TLS != h.tls.Policy && r.TLS != (spec.TLSPolicy{}) && !r.TLSInDoubt
}

// tell notes that r differs, and what that costs it.
func (h *hostTable) tell(r *spec.Route) {
	p := spec.Problem{
		Code: "tls-differs", Container: r.Container, Route: r.ID, Value: h.host.String(), Effect: label.Hinted,
		Message: "asks something else of TLS than " + h.tls.Route + ", by whose labels the host goes: it has that route's certificate, and requests have to meet what both ask",
		Fix:     "give all routes of the host the same tls labels",
	}
	if never(r.TLS, h.tls.Policy) {
		p.Effect = label.Refused
		p.Message = "asks something else of TLS than " + h.tls.Route + ", by whose labels the host goes, and no request can meet both"
	}
	h.problems = append(h.problems, p)
}

// never reports whether a route that asks for own answers nothing on a host that
// asks for policy: clients are asked for certificates as the host says.
func never(own, policy spec.TLSPolicy) bool {
	return own.ClientCA != "" && own.ClientCA != policy.ClientCA || own.Mode == spec.TLSOff && policy.ClientCA != ""
}
