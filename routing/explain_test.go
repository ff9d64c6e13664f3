package routing

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
)

// What `fairlead explain` says, word for word: people read it.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: app.ex\napi api@shop\n\thost: app.ex\n\tpath: /api\n\tmatch.header.X-Beta: 1\nblue blue@shop exited\n\thost: app.ex/bg\ngreen green@shop\n\thost: app.ex/bg\n" +
		"wild wild@other\n\thost: *.ex\naway away@shop exited\n\thost: away.ex\nbad bad@shop\n\thost: bad.ex\n\talow: private\ndir dir@shop\n\thost: dir.ex\n\tpath: /app/\nr r@shop\n\thost: r.ex\n\trespond: 204\nonly only@shop\n\thost: only.ex/x\n")
	w.turn()
	tests := []struct {
		host, path string
		ok         bool
		want       string
	}{
		{"app.ex", "/x", true, `
goes to shop/web:80
host: matches app.ex, held by shop
path shop/web: matches /
path shop/api: does not match: its path is /api
path shop/blue: does not match: its path is /bg
path shop/green: does not match: its path is /bg
pool shop/web: shop/web:80: web 10.75.94.87:80 gets it (the only one that is ready)`},
		{"app.ex", "/api/x", true, `
goes to shop/web:80
host: matches app.ex, held by shop
condition shop/api: matches /api, but its condition match.header.X-Beta is not met
path shop/web: matches /
path shop/blue: does not match: its path is /bg
path shop/green: does not match: its path is /bg
pool shop/web: shop/web:80: web 10.75.94.87:80 gets it (the only one that is ready)`},
		{"app.ex", "/bg", true, `
goes to shop/green:80
host: matches app.ex, held by shop
path shop/green: matches /bg, and is ready while shop/blue, which matches the same, is not
path shop/api: does not match: its path is /api
path shop/web: matches / as well, which is less specific
path shop/blue: matches /bg as well; shop/green serves
pool shop/green: shop/green:80: green 10.186.71.136:80 gets it (the only one that is ready)`},
		{"app.ex", "/x/%2e%2e/y", false, `
400: the path can be read in two ways, and is refused
host: matches app.ex, held by shop
path shop/web: matches /
reading: refused: the path has, or may be read to have, a dot segment or a control byte`},
		{"app.ex", "/%62g", false, `
400: the path can be read in two ways, and is refused
host: matches app.ex, held by shop
path shop/web: matches /
reading shop/green: refused: the path can also be read as /bg, which another route answers`},
		{"away.ex", "/", false, `
503 with Retry-After: away is exited
host: matches away.ex, held by shop
path shop/away: matches /, without a ready endpoint
pool shop/away: shop/away:80: nobody gets it now, and nothing is about to: it does not wait`},
		{"bad.ex", "/", false, `
503: the route shop/bad is refused: bad: fairlead.alow="private": is not a label; did you mean "fairlead.allow"? [unknown-label, route refused]
host: matches bad.ex, held by shop
path shop/bad: matches /
problem: unknown-label`},
		{"dir.ex", "/app", true, `
308: to the same path with a trailing slash
host: matches dir.ex, held by shop
path shop/dir: matches /app/`},
		{"r.ex", "/", true, `
the route shop/r answers by itself: 204
host: matches r.ex, held by shop
path shop/r: matches /`},
		{"only.ex", "/y", false, `
404: No route of only.ex has this path.
host: matches only.ex, held by shop
host: also matches *.ex, which is no use: other holds that, and shop this host
path: no route of this host has this path
near: only.ex/x`},
		{"apq.test", "/", false, `
404: No route has the host apq.test.
host: no route has this host`},
		{"app.exx", "/", false, `
404: No route has the host app.exx.
host: no route has this host
near: app.ex`},
	}
	for _, tt := range tests {
		e := explained(w.live.Table(), &Query{Host: tt.host, Path: tt.path, Method: "GET", Header: http.Header{}})
		if got := told(&e); got != strings.TrimSpace(tt.want) || e.OK != tt.ok {
			t.Errorf("%s%s (ok: %v):\n%s\nwant (ok: %v):%s", tt.host, tt.path, e.OK, got, tt.ok, tt.want)
		}
	}
	w.retireAll()
}

func told(e *Explanation) string {
	lines := []string{e.Answer}
	for _, s := range e.Steps {
		lines = append(lines, strings.TrimSpace(s.Stage+" "+s.Route)+": "+s.Outcome)
	}
	for _, near := range e.Near {
		lines = append(lines, "near: "+near)
	}
	for _, p := range e.Problems {
		lines = append(lines, fmt.Sprint("problem: ", p.Code))
	}
	return strings.Join(lines, "\n")
}

// explained rehearses a request as q would be made of it.
func explained(t *Table, q *Query) (e Explanation) {
	target := q.Path
	if q.RawQuery != "" {
		target += "?" + q.RawQuery
	}
	r := httptest.NewRequest(cmp.Or(q.Method, "GET"), "/", nil)
	r.Host, r.RequestURI, r.RemoteAddr, r.Header = q.Host, target, "192.0.2.1:1000", q.Header.Clone()
	if q.Client.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(q.Client, 1000).String()
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	arrival := &exchange.Arrival{
		Entry: cmp.Or(q.Entry, "http"), EntryPort: cmp.Or(q.EntryPort, "80"),
		Probe: func(netip.AddrPort) *exchange.Probe { return &exchange.Probe{Dry: true} },
		Next:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e = t.Rehearse(w, r) }),
	}
	arrival.ServeHTTP(httptest.NewRecorder(), r)
	return e
}
