package routing

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// A View is a table as people and the admin socket see it: plain data, in an
// order that depends only on the table.
type View struct {
	Routes   []RouteView    `json:"routes"`
	Problems []spec.Problem `json:"problems"`
	Others   []spec.Verdict `json:"others"` // containers without a route, and why
}

// A RouteView is one route.
type RouteView struct {
	ID        string                   `json:"id"`
	Name      string                   `json:"name,omitempty"` // that labels give it, "" for a main route
	Owner     string                   `json:"owner"`
	Container string                   `json:"container"`
	Origin    string                   `json:"origin,omitempty"`
	Matches   []MatchView              `json:"matches"`
	State     string                   `json:"state"` // serving, standby, refused, maintenance, no-endpoint
	Reason    string                   `json:"reason,omitempty"`
	Pool      string                   `json:"pool,omitempty"`
	Endpoints []upstream.EndpointState `json:"endpoints,omitempty"`
	Load      *upstream.Load           `json:"load,omitempty"`  // of the pool
	Files     *backend.FilesView       `json:"files,omitempty"` // that come before the pool
	Count     exchange.Count           `json:"count"`           // of its requests since the route is there
	// Maintenance is who has it answer 503: middleware.ByLabel or ByOrder, "" if
	// nobody. Its State need not tell: a refused route answers 503 anyway.
	Maintenance string        `json:"maintenance,omitempty"`
	Options     label.Options `json:"options,omitempty"`
}

// A MatchView is one host and path of a route.
type MatchView struct {
	Host    string `json:"host"`
	Path    string `json:"path"`
	Holder  string `json:"holder"`
	Refused bool   `json:"refused,omitempty"` // another owner holds the host, or this one is not needed
}

// View returns t as data.
func (t *Table) View() View {
	v := View{Problems: t.Problems(), Routes: []RouteView{}, Others: []spec.Verdict{}}
	if v.Problems == nil {
		v.Problems = []spec.Problem{}
	}
	for _, u := range t.units {
		for _, r := range u.routes {
			v.Routes = append(v.Routes, t.viewOf(r))
		}
		for _, verdict := range u.spec.Verdicts {
			if verdict.Code != "routed" && verdict.Code != "no-labels" {
				v.Others = append(v.Others, verdict)
			}
		}
	}
	return v
}

// Verdicts returns what became of every container that t was compiled from.
func (t *Table) Verdicts() (all []spec.Verdict) {
	for _, u := range t.units {
		all = append(all, u.spec.Verdicts...)
	}
	return all
}

func (t *Table) viewOf(r *route) RouteView {
	s := r.spec
	v := RouteView{ID: s.ID, Name: s.Name, Owner: s.Owner, Container: s.Container, Origin: s.Origin, Pool: s.Pool, Options: s.Options, Count: r.tally.Count()}
	serves, standby, share := false, "", ""
	for _, m := range slices.Concat(s.Matches, s.Fallback) {
		h := t.lookup(m.Host)
		if h == nil {
			continue
		}
		mv := MatchView{Host: m.Host.String(), Path: m.Path.String(), Holder: h.holder, Refused: true}
		if l := h.legOf(r, m.Path); l != nil && l.serves() {
			mv.Refused = false
			group := h.groupOf(l)
			share = cmp.Or(share, l.share(group))
			if rival := l.rival(group); rival == nil {
				serves = true
			} else {
				standby = cmp.Or(share, rival.spec.ID+" has the same host and path, and "+rival.precedence())
			}
		}
		v.Matches = append(v.Matches, mv)
	}
	v.Files = r.files.View()
	if r.pool != nil {
		load := r.pool.Load()
		v.Endpoints, v.Load = r.pool.Endpoints(), &load
	}
	held := slices.ContainsFunc(v.Matches, func(m MatchView) bool { return !m.Refused })
	v.State, v.Reason = r.standing(held, serves, standby, share)
	by, maintained := middleware.UnderMaintenance(s, r.build.Prefix)
	switch v.Maintenance = by; {
	case by == "":
	case v.State == "serving" || v.State == "no-endpoint":
		v.State, v.Reason = "maintenance", maintained
	default:
		v.Reason += "; " + maintained // an order is never out of sight
	}
	return v
}

// precedence says why r gets the requests of another route that matches the same.
func (r *route) precedence() string {
	if r.ready() {
		return "serves"
	}
	return "comes first while neither is ready"
}

// standing says what becomes of requests for r, and why not all is well. held is
// whether a host of it is its owner's, and serves whether requests get to it; if
// not, standby says why.
func (r *route) standing(held, serves bool, standby, share string) (state, reason string) {
	p := r.refusal()
	switch {
	case p != nil:
		return "refused", p.String()
	case !held:
		return "refused", "its hosts are held by another owner"
	case !serves:
		return "standby", standby
	case !r.ready():
		reason = r.pool.Why()
		if n := r.pool.Load().Waiting; n > 0 {
			reason += fmt.Sprintf("; %d requests wait", n)
		}
		if r.files != nil {
			return "serving", "files only: " + reason
		}
		return "no-endpoint", reason
	}
	return "serving", share
}

// legOf returns the leg of r with path, as a label writes it.
func (h *hostTable) legOf(r *route, path spec.Path) *leg {
	if path.Kind != spec.PathRegexp {
		path.Text = canonical(path.Text)
	}
	for _, l := range h.claims {
		if l.route == r && l.path == path {
			return l
		}
	}
	return nil
}

// groupOf returns l, which serves, and the legs that match the same.
func (h *hostTable) groupOf(l *leg) []*leg {
	var legs []*leg
	switch l.path.Kind {
	case spec.ExactPath:
		legs = h.exactPaths[l.path.Text]
	case spec.PathRegexp:
		legs = h.exprs
	default:
		if i := slices.IndexFunc(h.prefixes, func(p prefix) bool { return p.text == l.path.Text }); i >= 0 {
			legs = h.prefixes[i].legs
		}
	}
	for len(legs) > 0 {
		n := rivals(legs)
		if slices.Contains(legs[:n], l) {
			return legs[:n]
		}
		legs = legs[n:]
	}
	return []*leg{l} // it is a last resort
}

// rival returns the route of group that gets what l matches, nil if l's does.
func (l *leg) rival(group []*leg) *route {
	if s := group[0].split; s != nil {
		if s.has(l) {
			return nil
		}
		group = s.rest
	}
	if best := fittest(group); best.route != l.route {
		return best.route
	}
	return nil
}
