package routing

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

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

// An Explanation says what happens to a request, and why.
type Explanation struct {
	Host     string         `json:"host"`
	Path     string         `json:"path"`
	Answer   string         `json:"answer"` // in one sentence
	OK       bool           `json:"ok"`     // an app, or a route's own answer, gets it
	Steps    []Step         `json:"steps"`
	Route    *RouteView     `json:"route,omitempty"`
	Problems []spec.Problem `json:"problems,omitempty"` // of the route, its containers and the host
	Near     []string       `json:"near,omitempty"`     // hosts or paths that come close
}

// Explain runs Match with a trace and words the outcome.
func (t *Table) Explain(q *Query) Explanation {
	var tr Trace
	got := t.Match(q, &tr)
	e := Explanation{Host: q.Host, Path: q.Path, Steps: tr.Steps}
	switch {
	case got.TwoReadings:
		e.Answer = "400: the path can be read in two ways, and is refused"
	case got.route == nil:
		e.Answer = "404: " + t.why(q.Host)
		e.Near = t.near(q.Host)
		e.Problems = t.problemsAbout(q.Host, nil)
	default:
		v := t.viewOf(got.route)
		e.Route = &v
		e.Problems = t.problemsAbout(q.Host, got.route)
		e.Answer, e.OK = answerOf(v, got)
		if got.route.files != nil && !got.Slash && (v.State == "serving" || v.State == "no-endpoint") {
			e.explainFiles(q, &got)
		}
		e.Steps = append(e.Steps, t.explainPlainHTTP(q, &got)...)
	}
	return e
}

func answerOf(v RouteView, got Result) (string, bool) {
	switch {
	case v.State == "refused":
		return "503: the route " + v.ID + " is refused: " + v.Reason, false
	case got.Slash:
		return "308: to the same path with a trailing slash", true
	case v.State == "maintenance":
		return "503 with Retry-After: " + v.Reason, false
	case v.Pool == "":
		return "the route " + v.ID + " answers by itself", true
	case v.State == "no-endpoint":
		if d := backend.Hold(got.route.spec.Options); d > 0 && got.route.pool.Expects() {
			return "waits up to " + d.String() + " for a container to be ready, then 503 with Retry-After: " + v.Reason, false
		}
		return "503 with Retry-After: " + v.Reason, false
	}
	return "goes to " + v.Pool, true
}

// explainFiles says whether a file answers q, or what else becomes of it.
func (e *Explanation) explainFiles(q *Query, got *Result) {
	r := &http.Request{Method: q.Method, Host: q.Host, RequestURI: q.Path, Header: q.Header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}
	status, h, toApp := got.route.files.Try(r, got.Matched)
	step := Step{Stage: "file", Route: got.id()}
	switch {
	case toApp:
		step.Outcome = "none answers this, so it is the app's"
	case status == http.StatusOK:
		step.Outcome = "found: " + strings.TrimSuffix(h.Get("Content-Type")+", "+h.Get("Cache-Control"), ", ")
		e.Answer, e.OK = "200: a file of the route "+got.route.spec.ID, true
	case h.Get("Location") != "":
		step.Outcome = "a directory"
		e.Answer, e.OK = strconv.Itoa(status)+": to "+h.Get("Location"), true
	default:
		step.Outcome = "none"
		e.Answer, e.OK = strconv.Itoa(status)+": the route "+got.route.spec.ID+" has no such file", false
		if status == http.StatusServiceUnavailable {
			e.Answer = "503 with Retry-After: the files of the route " + got.route.spec.ID + " are not there yet"
		}
	}
	e.Steps = append(e.Steps, step)
}

// near returns what comes close to a host that has no route, or the paths of
// one that has.
func (t *Table) near(host string) []string {
	var out []string
	if h := t.exact[shardOf(host)][host]; h != nil {
		for _, l := range h.claims {
			out = append(out, host+l.path.String())
		}
		return out
	}
	names := func(yield func(string) bool) {
		for _, shard := range t.exact {
			for name := range shard {
				if !yield(name) {
					return
				}
			}
		}
	}
	if near := label.Nearest(host, names); near != "" {
		out = append(out, near)
	}
	return out
}

// problemsAbout collects the problems that may explain what host gets: those of
// r, those of the host, and refused labels that mention it.
func (t *Table) problemsAbout(host string, r *route) []spec.Problem {
	var out []spec.Problem
	for _, p := range t.Problems() {
		mine := r != nil && (p.Route == r.spec.ID || p.Container == r.spec.Container && p.Route == "")
		if mine || strings.Contains(p.Value, host) || strings.Contains(p.Message, host) || r == nil && p.Code == "misspelt-prefix" {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b spec.Problem) int { return cmp.Compare(a.Container, b.Container) })
	return out
}
