package routing

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/spec"
)

// An Explanation says what happens to a request, and why.
type Explanation struct {
	Host     string         `json:"host"`
	Path     string         `json:"path"`
	Answer   string         `json:"answer"`           // in one sentence
	OK       bool           `json:"ok"`               // an app, or a route's own answer, gets it
	Status   int            `json:"status,omitempty"` // of an answer that no app gives; 0 if one does
	Steps    []Step         `json:"steps"`            // in the order of docs/design.md
	Route    *RouteView     `json:"route,omitempty"`
	Rivals   []RouteView    `json:"rivals,omitempty"`  // that match the same, and were not chosen
	Request  []string       `json:"request,omitempty"` // head that the app gets: its lines, sorted but for the first two
	Problems []spec.Problem `json:"problems,omitempty"`
	Near     []string       `json:"near,omitempty"` // hosts or paths that come close
}

// Rehearse has r, which came through exchange.Arrival with a dry probe, go its whole
// way as Live would have it, writes to w what the proxy answers itself, and words
// the decisions. Problems are those of the route, its containers and the host.
func (t *Table) Rehearse(w http.ResponseWriter, r *http.Request) Explanation {
	x := exchange.Of(r)
	q := queryOf(x, r)
	q.Dry = true
	var tr Trace
	got := t.Match(&q, &tr)
	e := Explanation{Host: q.Host, Path: q.Path, Steps: tr.Steps}
	if got.route != nil && !got.TwoReadings {
		e.Steps = append(e.Steps, t.passedOver(&q, &got, &tr)...)
	}
	connection, barred := t.explainConnection(x, r, &got)
	e.Steps = append(e.Steps, connection...)
	target := r.RequestURI
	t.answer(w, r, x, &q, &got)
	e.Status = x.Response.Status
	if got.route != nil && !got.TwoReadings {
		e.showRoutes(t, &got, &tr)
	}
	switch {
	case barred != "":
		e.Answer, e.OK = barred, e.Status < 400
	case got.TwoReadings:
		e.Answer = "400: the path can be read in two ways, and is refused"
	case got.route == nil:
		e.Answer, e.Near = "404: "+t.why(q.Host), t.near(q.Host)
	default:
		e.Answer, e.OK = answerOf(*e.Route, got)
		e.explainRoute(x, w.Header(), &got, target)
	}
	e.Problems = t.problemsAbout(q.Host, got.route)
	return e
}

// showRoutes adds the route of got, and those that match the same.
func (e *Explanation) showRoutes(t *Table, got *Result, tr *Trace) {
	v := t.viewOf(got.route)
	e.Route = &v
	for _, l := range tr.group {
		if l.route != got.route {
			e.Rivals = append(e.Rivals, t.viewOf(l.route))
		}
	}
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

// mostPassedOver is how many routes are told of that did not get the request.
const mostPassedOver = 8

// passedOver says of the other routes of the host why they do not get q, as far as
// the trace does not.
func (t *Table) passedOver(q *Query, got *Result, tr *Trace) (steps []Step) {
	told := map[string]bool{got.id(): true}
	for _, s := range tr.Steps {
		told[s.Route] = true
	}
	var others []*leg
	for _, h := range t.before(tr.host, q.Host) {
		for _, l := range h.claims {
			if id := l.route.spec.ID; !l.idle && !told[id] {
				told[id] = true
				others = append(others, l)
			}
		}
	}
	for i, l := range others {
		if i == mostPassedOver {
			return append(steps, Step{Stage: "path", Outcome: fmt.Sprintf("%d more routes of the host do not get it", len(others)-i)})
		}
		steps = append(steps, Step{"path", l.route.spec.ID, l.passed(q, got, tr)})
	}
	return steps
}

// before returns the host tables that are asked for host until last has the answer,
// it included; none if nothing has.
func (t *Table) before(last *hostTable, host string) (asked []*hostTable) {
	for stage := range stages {
		for _, h := range t.candidates(stage, host) {
			if last == nil {
				return nil
			}
			asked = append(asked, h)
			if h == last {
				return asked
			}
		}
	}
	return asked
}

// passed says why l does not get q.
func (l *leg) passed(q *Query, got *Result, tr *Trace) string {
	switch {
	case l.refused:
		return "is out of the question: " + tr.host.holder + " holds the host"
	case slices.Contains(tr.group, l) && tr.group[0].split != nil:
		return "matches " + l.path.String() + " as well, and shares the requests"
	case slices.Contains(tr.group, l):
		return "matches " + l.path.String() + " as well; " + got.id() + " " + got.route.precedence()
	case l.fits(q.Path):
		return "matches " + l.path.String() + " as well, which is less specific"
	}
	return "does not match: its path is " + l.path.String()
}

// fits reports whether path is one of l's.
func (l *leg) fits(path string) bool {
	switch l.path.Kind {
	case spec.ExactPath:
		return path == l.path.Text
	case spec.PathRegexp:
		return l.re != nil && l.re.MatchString(path)
	}
	p := prefix{text: l.path.Text}
	_, ok := p.fits(path)
	return ok
}

// explainConnection says what the host makes of the connection that r came by;
// barred is the answer if it ends there.
func (t *Table) explainConnection(x *exchange.Exchange, r *http.Request, got *Result) (steps []Step, barred string) {
	switch {
	case got.tls == nil || got.route != nil && got.route.refusal() != nil:
		return nil, ""
	case r.TLS == nil && x.Scheme == "http":
		if t.env.Certificates == nil {
			return nil, "" // nobody speaks TLS here
		}
		return t.explainPlainHTTP(x, got, r.RequestURI)
	}
	asks := t.demands(got)
	if err := t.misdirected(x.Host, got, r.TLS); err != nil {
		return []Step{{"TLS", got.id(), "refused: " + cmp.Or(asks, err.Error())}}, "421: " + err.Error()
	}
	if asks != "" {
		return []Step{{"TLS", got.id(), asks}}, ""
	}
	return nil, ""
}

// demands words what a connection has to meet, "" for what every one does.
func (t *Table) demands(got *Result) string {
	policies := []spec.TLSPolicy{got.tls.Policy}
	if got.route != nil {
		policies = append(policies, got.route.spec.TLS)
	}
	var asks []string
	add := func(s string) {
		if !slices.Contains(asks, s) {
			asks = append(asks, s)
		}
	}
	for _, p := range policies {
		if p.Mode == spec.TLSOff {
			add("the label tls is off")
		}
		if p.MinVersion != "" {
			add("TLS " + p.MinVersion + " at least")
		}
		if p.ClientCA != "" {
			add("a client certificate signed by " + p.ClientCA)
		}
	}
	if len(asks) == 0 {
		return ""
	}
	return "asks for " + strings.Join(asks, ", ")
}

// explainPlainHTTP words what plain HTTP gets.
func (t *Table) explainPlainHTTP(x *exchange.Exchange, got *Result, target string) (steps []Step, barred string) {
	policy, port, standing := t.overPlainHTTP(x.Host, x.Entry, got)
	step := Step{Stage: "plain HTTP", Route: got.id()}
	switch {
	case policy == spec.PlainRefuse:
		step.Outcome, barred = "403: HTTPS only", "403: the site is served over HTTPS only"
	case policy == spec.PlainRedirect:
		step.Outcome = fmt.Sprintf("%d to %s", redirectStatus(standing), httpsURL(x.Host, port))
		barred = fmt.Sprintf("%d: to %s", redirectStatus(standing), httpsURL(x.Host, port)+target)
	case got.route == nil:
		return nil, ""
	default:
		step.Outcome = "served: " + t.whyPlain(x, got)
	}
	return []Step{step}, barred
}

// whyPlain says why a request is served over plain HTTP.
func (t *Table) whyPlain(x *exchange.Exchange, got *Result) string {
	switch r := got.route; {
	case r.spec.PlainHTTP == spec.PlainServe:
		return "the label http says so"
	case got.tls.Policy.Mode == spec.TLSOff || r.spec.TLS.Mode == spec.TLSOff:
		return "the label tls is off"
	}
	if port, _ := t.https(x.Host, x.Entry, got.route.spec.Listen, got.tls); port == "" {
		return "no entry point serves it over HTTPS"
	}
	return "there is no certificate for HTTPS that browsers trust by themselves"
}

// explainRoute words what the route made of the request, whose target was target
// before, and its own answer, if it has given one with the header h.
func (e *Explanation) explainRoute(x *exchange.Exchange, h http.Header, got *Result, target string) {
	step := func(stage, outcome string) { e.Steps = append(e.Steps, Step{stage, got.id(), outcome}) }
	attempts := x.Probe.Attempts()
	passed := e.Route.State != "refused" && !got.Slash
	if e.Route.State == "maintenance" {
		step("maintenance", e.Route.Reason)
		return
	}
	if names := middleware.Names(e.Route.Options); passed && len(names) > 0 {
		step("passes", strings.Join(names, ", "))
	}
	if len(attempts) == 0 {
		if passed {
			e.explainOwn(x, h, got, step)
		}
		return
	}
	a := attempts[0]
	e.Request = requestLines(a.Request, x)
	if to := sentTarget(a.Request); to != "" && to != target {
		step("rewrite", target+" → "+to)
	}
	if got.route.files != nil {
		step("file", "none answers this, so it is the app's")
	}
	switch {
	case a.Endpoint != "":
		step("pool", fmt.Sprintf("%s: %s %s gets it (%s)", e.Route.Pool, a.Container, a.Endpoint, a.Reason))
	default:
		hold := backend.Hold(got.route.spec.Options)
		switch {
		case hold <= 0:
			step("pool", e.Route.Pool+": nobody gets it now, and the label hold lets nobody wait")
		case e.OK || got.route.pool.Expects():
			step("pool", e.Route.Pool+": nobody gets it now, so it waits up to "+hold.String()+" (label hold)")
		default:
			step("pool", e.Route.Pool+": nobody gets it now, and nothing is about to: it does not wait")
		}
		if e.OK { // all are busy
			e.Answer, e.OK = "waits for "+e.Route.Pool+": "+a.Reason, false
		}
	}
}

// explainOwn words an answer that no app gives: a file's, a redirect, a refusal.
func (e *Explanation) explainOwn(x *exchange.Exchange, h http.Header, got *Result, step func(stage, outcome string)) {
	status, to := strconv.Itoa(e.Status), h.Get("Location")
	switch {
	case got.route.files == nil && e.Route.Pool == "":
		e.Answer += ": " + strings.TrimSpace(status+" "+to)
	case got.route.files == nil:
		e.Answer, e.OK = status+": "+cmp.Or(x.Code, http.StatusText(e.Status)), e.Status < 400
	case e.Status == http.StatusOK || e.Status == http.StatusNotModified:
		step("file", "found: "+strings.TrimSuffix(h.Get("Content-Type")+", "+h.Get("Cache-Control"), ", "))
		e.Answer, e.OK = status+": a file of the route "+e.Route.ID, true
	case to != "":
		step("file", "a directory")
		e.Answer, e.OK = status+": to "+to, true
	default:
		step("file", "none")
		e.Answer, e.OK = status+": the route "+e.Route.ID+" has no such file", false
		if e.Status == http.StatusServiceUnavailable {
			e.Answer = "503 with Retry-After: the files of the route " + e.Route.ID + " are not there yet"
		}
	}
}

// sentTarget returns the target of a request's head, "" if there is none.
func sentTarget(head []byte) string {
	_, rest, _ := strings.Cut(string(head), " ")
	target, _, _ := strings.Cut(rest, " ")
	return target
}

// requestLines returns the lines of a request's head. Fields have no order of their
// own (they are kept in a map), so they are sorted; Host stays first. An id that was
// made up for this request says that.
func requestLines(head []byte, x *exchange.Exchange) []string {
	lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n")
	if len(head) == 0 {
		return nil
	}
	if len(lines) > 2 {
		slices.SortStableFunc(lines[2:], func(a, b string) int {
			nameA, _, _ := strings.Cut(a, ":")
			nameB, _, _ := strings.Cut(b, ":")
			return cmp.Compare(nameA, nameB)
		})
	}
	for i := range lines {
		if x.IDMade() {
			lines[i] = strings.ReplaceAll(lines[i], x.ID, "<new>")
		}
	}
	return lines
}
