package routing

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// Compile(prev, s) serves and shows the same as Compile(nil, s) with the same
// ledger, whatever came before.
func TestACompiledChangeIsTheSameAsAFreshTable(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, certs := secure(t, "443")
			w.env.NewPool = newEnv(nil).NewPool // endpoints that count as ready
			certs.broken, certs.standing = ".gone", spec.Expected
			w.claims.Share = func(host string) bool { return host == "shared.ex" }
			rnd := rand.New(rand.NewPCG(seed, 1))
			for step := range 15 {
				w.mutate(rnd)
				if step == 10 {
					certs.broken = "" // what was good stays good, what was not is tried again
				}
				w.now = w.now.Add(time.Duration(rnd.IntN(300)) * time.Second)
				w.compareFresh(fmt.Sprintf("step %d", step))
				if t.Failed() {
					return
				}
			}
		})
	}
}

// What a host asks of TLS may change with nothing else, by each of its routes.
func TestAChangeOfTLSAloneIsTheSameAsAFreshTable(t *testing.T) {
	for _, name := range []string{"older", "younger"} {
		t.Run(name, func(t *testing.T) {
			w, certs := secure(t, "443")
			w.env.NewPool = newEnv(nil).NewPool
			certs.broken, certs.standing = ".gone", spec.Expected
			w.read("older a@shop\n\thost: a.ex, *.ex\nyounger b@shop\n\thost: a.ex/x\n")
			w.compareFresh("at first")
			for _, line := range append(slices.Clone(tlsLabels), tlsLabels...) {
				key, text, _ := strings.Cut(line, ": ")
				before := w.live.Table()
				was, _ := before.TLSHost("a.ex")
				w.change(name, func(c *spec.Workload) {
					delete(c.Labels, "fairlead.tls")
					delete(c.Labels, "fairlead.tls.client-ca")
					c.Labels["fairlead."+key] = text
				})
				w.compareFresh(line)
				if is, _ := w.live.Table().TLSHost("a.ex"); name == "older" && text == "file:/b.pem" && is == was {
					t.Errorf("%s changed nothing: the host still has %+v", line, is)
				}
			}
		})
	}
}

// timeless shows e without what depends on when a container left.
func timeless(e Explanation) string {
	return strings.Replace(shown(e), "waits up to 30s for a container to be ready, then ", "", 1)
}

// compareFresh takes a turn, and compares the table with a fresh one.
func (w *world) compareFresh(when string) {
	w.t.Helper()
	sp := w.parser.Parse(w.snapshot())
	ledger := w.claims.clone()
	prev := w.live.Table()
	before := problemSet(prev)
	next := Compile(prev, sp, w.claims, w.env, w.now)
	env := newEnv(nil)
	env.Certificates, env.HTTPSPort = w.env.Certificates, w.env.HTTPSPort
	fresh := Compile(nil, sp, ledger, env, w.now)
	for _, table := range []*Table{next, fresh} {
		for _, f := range slices.Concat(table.commit, table.settled) {
			f()
		}
		table.commit, table.settled = nil, nil
	}
	for _, what := range []struct{ name, got, want string }{
		{"view", shown(next.View()), shown(fresh.View())},
		{"TLS", fmt.Sprintf("%+v", next.TLSHosts()), fmt.Sprintf("%+v", fresh.TLSHosts())},
		{"plain HTTP", next.plainPolicies(), fresh.plainPolicies()},
		{"patterns", fmt.Sprint(next.patterns()), fmt.Sprint(fresh.patterns())},
		{"expressions", fmt.Sprint(order(next)), fmt.Sprint(order(fresh))},
		{"ledger", shown(w.claims.held), shown(ledger.held)},
		{"news", before.after(next), problemSet(fresh).String()},
	} {
		if what.got != what.want {
			w.t.Fatalf("%s: %s is\n%s\nand fresh\n%s", when, what.name, what.got, what.want)
		}
	}
	for _, q := range queries() {
		if got, want := timeless(explained(next, &q)), timeless(explained(fresh, &q)); got != want {
			w.t.Fatalf("%s: %s%s is explained as\n%s\nand fresh\n%s", when, q.Host, q.Path, got, want)
		}
		if got, want := next.barred(q), fresh.barred(q); got != want {
			w.t.Fatalf("%s: before anything else %s%s gets\n%s\nand fresh\n%s", when, q.Host, q.Path, got, want)
		}
	}
	w.live.Swap(next)
}

// plainPolicies returns what each route says of itself: TLS of a host is its
// oldest service's alone.
func (t *Table) plainPolicies() string {
	var b strings.Builder
	for _, u := range t.units {
		for _, r := range u.routes {
			fmt.Fprintln(&b, r.spec.ID, r.spec.PlainHTTP, r.spec.TLS, r.spec.TLSInDoubt)
		}
	}
	return b.String()
}

// barred says what q gets from the check of its connection: over plain HTTP, and
// over TLS that was made for its own host, without and with a certificate.
func (t *Table) barred(q Query) string {
	var b strings.Builder
	for _, conn := range []*tls.ConnectionState{nil, handshake(q.Host, ""), handshake(q.Host, "file:/a.pem"), handshake("b.ex", "file:/b.pem")} {
		rec := httptest.NewRecorder()
		x, rw, r := exchange.Begin(rec, httptest.NewRequest(q.Method, "/", nil))
		x.Host, x.Scheme, x.Entry, r.RequestURI, r.TLS = q.Host, "http", q.Entry, q.Path, conn
		got := t.Match(&q, nil)
		barred := t.bars(rw, r, &got)
		host, known := t.TLSHost(q.Host)
		if known != (got.tls != nil) || known && host != *got.tls {
			return fmt.Sprintf("a handshake finds %+v (%v), and a request %+v", host, known, got.tls)
		}
		fmt.Fprintln(&b, barred, x.Response.Status, x.Code, x.Cause, rec.Header().Get("Location"))
	}
	return b.String()
}

func (c *Claims) clone() *Claims {
	copied := *c
	copied.held, copied.gone = maps.Clone(c.held), maps.Clone(c.gone)
	return &copied
}

func shown(v any) string {
	data, _ := json.MarshalIndent(v, "", " ")
	return sinceLines(string(data))
}

// sinceLines drops the lines that say when an endpoint changed, by the clock of
// the machine.
func sinceLines(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.Contains(l, `"since": "`) && !strings.Contains(l, "2026-01") })
	return strings.Join(lines, "\n")
}

func order(t *Table) (names []string) {
	for _, h := range t.regexps {
		names = append(names, h.host.Text)
	}
	return names
}

type problems map[string]bool

func problemSet(t *Table) problems {
	set := problems{}
	if t != nil {
		for _, p := range t.Problems() {
			set[p.String()] = true
		}
	}
	return set
}

// after returns the set that is left once what t says of problems happened.
func (set problems) after(t *Table) string {
	for _, p := range t.Cleared {
		delete(set, p.String())
	}
	for _, p := range t.Appeared {
		set[p.String()] = true
	}
	return set.String()
}

func (set problems) String() string { return strings.Join(slices.Sorted(maps.Keys(set)), "\n") }

func queries() (all []Query) {
	for _, host := range []string{"a.ex", "b.ex", "shared.ex", "x.wild.ex", "one.localhost", "one.p1.localhost", "one.p2.localhost", "none.test"} {
		for _, path := range []string{"/", "/x", "/x/y", "/x/", "/z", "/x%2fy", "//x"} {
			for _, method := range []string{"GET", "POST"} {
				cookie := []string{"", "fairlead_lot=500", "beta=1"}[len(all)%3]
				all = append(all, Query{Host: host, Path: path, Method: method, Entry: "http", Header: http.Header{"Cookie": {cookie}}})
			}
		}
	}
	return all
}

func pick(rnd *rand.Rand, of ...string) string { return of[rnd.IntN(len(of))] }

// mutate starts, changes, moves, stops or removes some containers.
func (w *world) mutate(rnd *rand.Rand) {
	for range 1 + rnd.IntN(3) {
		names := slices.Sorted(func(yield func(string) bool) {
			for _, c := range w.running {
				if !yield(c.Name) {
					return
				}
			}
		})
		if len(names) < 4 || rnd.IntN(3) == 0 {
			w.read(randomContainer(rnd))
			continue
		}
		name := names[rnd.IntN(len(names))]
		switch rnd.IntN(8) {
		case 0:
			w.remove(name)
		case 1:
			w.change(name, func(c *spec.Workload) { c.State = states[rnd.IntN(len(states))] })
		case 2:
			w.change(name, func(c *spec.Workload) { c.StartedAt = w.now })
		case 3:
			if !slices.Contains(names, name+"x") {
				w.change(name, func(c *spec.Workload) { c.Name += "x" })
			}
		case 4:
			w.change(name, func(c *spec.Workload) {
				c.Labels["fairlead."+pick(rnd, "path", "priority", "allow", "share", "match.method", "canary")] = pick(rnd, "/x", "2", "any", "GET", "60%")
			})
		case 5:
			key, text, _ := strings.Cut(pick(rnd, tlsLabels...), ": ")
			w.change(name, func(c *spec.Workload) { c.Labels["fairlead."+key] = text })
		case 6:
			w.drain(name, someTime(rnd, w.now))
		case 7:
			if t := w.live.Table(); t != nil && len(t.View().Routes) > 0 {
				routes := t.View().Routes
				w.maintain(routes[rnd.IntN(len(routes))].ID, someTime(rnd, w.now))
			}
		}
	}
}

// someTime is when an order ends: never, or in an hour.
func someTime(rnd *rand.Rand, now time.Time) time.Time {
	if rnd.IntN(2) == 0 {
		return time.Time{}
	}
	return now.Add(time.Hour)
}

var tlsLabels = []string{
	"tls: off", "tls: auto", "tls: internal", "tls: atuo", "tls: file:/a.pem,/a.key", "tls: file:/a.gone,/a.key", "tls.min-version: 1.3", "tls.min-version: 1.2",
	"tls.client-ca: file:/a.pem", "tls.client-ca: file:/b.pem", "tls.client-ca: file:/ca.gone", "tls.client-ca: off", "http: redirect", "http: serve", "http: refuse", "http: off",
}

func randomContainer(rnd *rand.Rand) string {
	text := fmt.Sprintf("c%d", rnd.IntN(14))
	if rnd.IntN(3) > 0 {
		text += " " + pick(rnd, "one", "two", "three") + "@" + pick(rnd, "p1", "p2", "p3")
	}
	if rnd.IntN(5) == 0 {
		text += " exited"
	}
	if rnd.IntN(4) == 0 {
		text += "\n\tenable: true"
	} else {
		text += "\n\thost: " + pick(rnd, "a.ex", "b.ex", "shared.ex", "a.ex, b.ex", "*.wild.ex", "*.ex", `~.\.ex`, `~(a|x).*`, "*", "a.ex/x")
	}
	for _, line := range []string{"path: /x", "path: =/x", "path: /x/, /z", `path: ~/x.*`, "match.method: GET", "priority: 3", "maintenance: true", "share: any", "share: p2", "pool: web", "pool: @all", "canary: 10%", "canary: 100%", "canary: cookie:beta", "canary: 0%", "redirect: /z", "redirect-from: www.ex", "strip: true", "nonsense: x", "listen: lan", "allow: x", "scheme: https\n\tupstream-tls.verify: false", "scheme: https\n\tupstream-tls.ca: file:/none"} {
		if rnd.IntN(9) == 0 {
			text += "\n\t" + line
		}
	}
	if rnd.IntN(3) == 0 {
		text += "\n\t" + pick(rnd, tlsLabels...)
	}
	return text + "\n"
}
