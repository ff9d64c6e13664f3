package routing

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

// Live serves by the table last swapped in. Its zero value has no table yet
// and answers 503.
type Live struct {
	table atomic.Pointer[Table]
	older []*atomic.Int64 // requests of replaced tables that perhaps still serve; of the one goroutine that swaps
	// RetireGrace is how long a replaced table's state is kept before it is
	// given back even though a request of it goes on; zero means a minute. A
	// download or a websocket that takes longer goes on without: whatever is
	// kept must bear being used after Close.
	RetireGrace time.Duration
}

var _ http.Handler = (*Live)(nil)

// Table returns the live table, nil before the first.
func (l *Live) Table() *Table { return l.table.Load() }

// Swap makes t the table, which must be compiled from the one that is live. What
// only that one used is given back once its requests have ended; streams of
// routes that stay never notice. One goroutine swaps.
func (l *Live) Swap(t *Table) {
	for _, commit := range t.commit {
		commit()
	}
	old := l.table.Swap(t)
	for _, p := range t.changed {
		p.Shake()
	}
	for _, settle := range t.settled {
		settle()
	}
	retired := t.retired
	t.commit, t.settled, t.retired, t.changed = nil, nil, nil, nil
	if old == nil {
		return
	}
	l.older = append(slices.DeleteFunc(l.older, idle), old.requests)
	if len(retired) > 0 {
		// A route that goes now may have come with any of the older tables.
		r := &retiring{requests: slices.Clone(l.older), release: retired, end: time.Now().Add(cmp.Or(l.RetireGrace, time.Minute))}
		r.check()
	}
}

func idle(requests *atomic.Int64) bool { return requests.Load() == 0 }

// enter returns the live table with one more request in it. A table that was
// replaced in between may be retired already, and is not used.
func (l *Live) enter() *Table {
	for {
		t := l.table.Load()
		if t == nil {
			return nil
		}
		t.requests.Add(1)
		if l.table.Load() == t {
			return t
		}
		t.requests.Add(-1)
	}
}

func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for l.serve(w, r) { // it waited, and another table may know another way for it
	}
}

// serve serves r by the live table; again tells that it is to be routed anew.
func (l *Live) serve(w http.ResponseWriter, r *http.Request) (again bool) {
	t := l.enter()
	if t == nil {
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusServiceUnavailable, Code: "starting", Message: "The proxy has not read the list of containers yet.", RetryAfter: 1})
		return false
	}
	requests := t.requests
	defer requests.Add(-1)
	return t.serve(w, r)
}

// Shake has requests that wait for a pool look again whether another one,
// which matches the same, is ready. It is called when any pool has become so.
func (l *Live) Shake() {
	if t := l.Table(); t != nil {
		for _, h := range t.contested {
			for _, l := range h.claims {
				if l.route.pool != nil {
					l.route.pool.Shake()
				}
			}
		}
	}
}

// serve routes r; again tells that it is to be routed anew. Its order is that
// of docs/design.md.
func (t *Table) serve(w http.ResponseWriter, r *http.Request) (again bool) {
	x := exchange.Of(r)
	q := queryOf(x, r)
	q.Draw = drawLot
	got := t.Match(&q, nil)
	return t.answer(w, r, x, &q, &got)
}

// queryOf returns what of r chooses its route.
func queryOf(x *exchange.Exchange, r *http.Request) Query {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	return Query{
		Host: x.Host, Path: path, RawQuery: query, Method: r.Method, Header: r.Header,
		Client: x.Client, ClientHidden: x.ClientHidden, Entry: x.Entry, EntryPort: x.EntryPort,
	}
}

// answer answers q, which got is the match of; again tells that it is to be routed
// anew.
func (t *Table) answer(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, q *Query, got *Result) (again bool) {
	switch {
	case t.bars(w, r, got):
	case got.TwoReadings:
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusBadRequest, Code: "two-readings", Message: "The path of this request can be read in two ways.", Close: true})
	case got.route == nil:
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusNotFound, Code: "no-route", Message: t.why(x.Host)})
	case got.Slash && got.route.refusal() == nil:
		got.note(x)
		addSlash(w, r, q.Path, q.RawQuery)
	default:
		got.note(x)
		x.Matched, x.Target = got.Matched, r.RequestURI
		return got.serve(w, r, x, q)
	}
	return false
}

// note notes the route of got, if there is one, for the log and the counters.
func (got *Result) note(x *exchange.Exchange) {
	if r := got.route; r != nil {
		x.Route, x.Tally = r.spec.ID, r.tally
	}
}

// serve has the route of got answer. A request may have to wait for that. By the
// time its turn comes, its route may have other labels, for example one that
// protects it, or another route may be ready in its place: then it is as if it
// came only now.
func (got *Result) serve(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, q *Query) (again bool) {
	ready := got.route.ready()
	x.Rivalled = got.rivalled && ready
	mark := x.Bookmark(r, !ready || got.rivalled)
	q.keepLot(x)
	got.route.handler.ServeHTTP(w, r)
	if x.Moved {
		x.Return(r, mark)
	}
	return x.Moved
}

// why words a 404 without telling what else is served here.
func (t *Table) why(host string) string {
	if host == "" {
		return "The request names no host."
	}
	for stage := range stages {
		for _, h := range t.candidates(stage, host) {
			if h.tls != nil {
				return "No route of " + host + " has this path."
			}
		}
	}
	return "No route has the host " + host + "."
}

// addSlash answers a request for the directory itself, as nginx does for a
// location with a trailing slash.
func addSlash(w http.ResponseWriter, r *http.Request, path, query string) {
	to := path + "/"
	if query != "" {
		to += "?" + query
	}
	w.Header().Set("Location", to)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
}

// A retiring is what a swap left to give back.
type retiring struct {
	requests []*atomic.Int64 // of the tables that may still use it
	release  []func()
	end      time.Time
}

// check looks whether the time has come, and looks again later if not.
func (r *retiring) check() {
	if r.requests = slices.DeleteFunc(r.requests, idle); len(r.requests) > 0 && time.Now().Before(r.end) {
		time.AfterFunc(retireEvery, r.check)
		return
	}
	for _, release := range r.release {
		release()
	}
}

// retireEvery is how often a replaced table is looked at.
const retireEvery = 100 * time.Millisecond
