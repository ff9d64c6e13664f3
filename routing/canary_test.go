package routing

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// lots returns which route each lot leads to, for a world that serves app.ex.
func (t *Table) lots() (routes [spec.Lots]string) {
	for n := range routes {
		q := Query{Host: "app.ex", Path: "/", Header: http.Header{"Cookie": {fmt.Sprintf("%s=%d", lotCookie, n)}}}
		routes[n] = t.Match(&q, nil).id()
	}
	return routes
}

func withCanaries(t *testing.T, shares ...string) *world {
	w := newWorld(t)
	w.read("stable stable@shop\n\thost: app.ex\n")
	for i, share := range shares {
		w.read(fmt.Sprintf("c%d c%d@shop\n\thost: app.ex\n\tcanary: %s\n", i, i, share))
	}
	w.turn()
	t.Cleanup(w.retireAll)
	return w
}

func TestLotsAreDealtExactly(t *testing.T) {
	for _, tt := range []struct {
		shares []string
		want   map[string]int
	}{
		{[]string{"10%"}, map[string]int{"shop/c0": 1000, "shop/stable": 9000}},
		{[]string{"0.01%"}, map[string]int{"shop/c0": 1, "shop/stable": 9999}},
		{[]string{"0%"}, map[string]int{"shop/stable": 10_000}},
		{[]string{"100%"}, map[string]int{"shop/c0": 10_000}},
		{[]string{"33.33%", "33.33%", "33.34%"}, map[string]int{"shop/c0": 3333, "shop/c1": 3333, "shop/c2": 3334}},
		{[]string{"60%", "30%", "20%", "5%"}, map[string]int{"shop/c0": 6000, "shop/c1": 3000, "shop/c2": 1000}},
	} {
		got := map[string]int{}
		for _, id := range withCanaries(t, tt.shares...).live.Table().lots() {
			got[id]++
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%v: got %v, want %v", tt.shares, got, tt.want)
		}
	}
}

func TestALargerShareTakesNobodyBack(t *testing.T) {
	w := withCanaries(t, "10%")
	before := w.live.Table().lots()
	w.change("c0", func(c *spec.Workload) { c.Labels["fairlead.canary"] = "50%" })
	after := w.turn().lots()
	moved := 0
	for n := range before {
		switch {
		case before[n] == "shop/c0" && after[n] != "shop/c0":
			t.Fatalf("lot %d had the canary at 10%% and has %s at 50%%", n, after[n])
		case before[n] != after[n]:
			moved++
		}
	}
	if moved != 4000 {
		t.Errorf("%d lots moved, want 4000", moved)
	}
}

// A canary that is replaced is younger than the others, and still has its lots.
func TestAReplacedCanaryKeepsItsLots(t *testing.T) {
	w := withCanaries(t, "10%", "20%")
	before := w.live.Table().lots()
	w.remove("c0")
	w.read("c0 c0@shop\n\thost: app.ex\n\tcanary: 10%\n")
	if after := w.turn().lots(); after != before {
		t.Error("the lots lead elsewhere now")
	}
}

func TestAClientKeepsItsLot(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 50%\n")
	w.turn()
	for range 30 {
		first := w.ask("GET app.ex/")
		cookies := first.Cookies()
		if len(cookies) != 1 || cookies[0].Name != lotCookie {
			t.Fatalf("got cookies %v, want a lot", cookies)
		}
		for _, path := range []string{"/", "/style.css"} {
			again := w.ask("GET app.ex" + path + " Cookie=" + cookies[0].Name + "=" + cookies[0].Value)
			if got, want := outcome(again), "200 "+first.Header.Get("Test-Route")+" "+path; got != want {
				t.Errorf("%s with %s: got %s, want %s", path, cookies[0], got, want)
			}
			if got := again.Cookies(); len(got) != 0 {
				t.Errorf("%s with %s: got cookies %v, want none: it has its lot", path, cookies[0], got)
			}
		}
	}
}

func TestDrawnLotsAreOfBothSides(t *testing.T) {
	w := withCanaries(t, "50%")
	got := map[string]int{}
	for range 2000 {
		q := Query{Host: "app.ex", Path: "/", Draw: drawLot}
		got[w.live.Table().Match(&q, nil).id()]++
	}
	// Ten standard deviations.
	if n := got["shop/c0"]; n < 776 || n > 1224 {
		t.Errorf("got %v of 2000 requests without a cookie, want about half of them on each side", got)
	}
}

func TestWrongLotsAreIgnored(t *testing.T) {
	w := withCanaries(t, "50%")
	for _, value := range []string{"-1", "+1", "10000", "abc", "", "1.5", "0x1", "1e3", "65536", "99999999999999999999999", " 1 2", "１"} {
		for drawn, want := range map[int]string{0: "shop/c0", 9999: "shop/stable"} {
			q := Query{Host: "app.ex", Path: "/", Header: http.Header{"Cookie": {lotCookie + "=" + value}}, Draw: func() int { return drawn }}
			if got := w.live.Table().Match(&q, nil).id(); got != want {
				t.Errorf("cookie %q, lot %d drawn: got %s, want %s", value, drawn, got, want)
			}
		}
	}
}

// A lot is drawn only where it decides something.
func TestALotIsSetOnlyWhereItDecided(t *testing.T) {
	const lot = true
	for name, tt := range map[string]struct {
		labels, ask string
		want        bool
	}{
		"a share":                    {"b b@shop\n\thost: app.ex\n\tcanary: 10%\n", "GET app.ex/", lot},
		"a wrong lot":                {"b b@shop\n\thost: app.ex\n\tcanary: 10%\n", "GET app.ex/ Cookie=fairlead_lot=-1", lot},
		"a share of another path":    {"b b@shop\n\thost: app.ex/b\n\tcanary: 10%\nc c@shop\n\thost: app.ex/b\n", "GET app.ex/", !lot},
		"no canary":                  {"b b@shop exited\n\thost: app.ex\n", "GET app.ex/", !lot},
		"nothing":                    {"b b@shop\n\thost: app.ex\n\tcanary: 0%\n", "GET app.ex/", !lot},
		"a header":                   {"b b@shop\n\thost: app.ex\n\tcanary: header:X-Beta\n", "GET app.ex/ X-Beta=1", !lot},
		"a header before a share":    {"b b@shop\n\thost: app.ex\n\tcanary: header:X-Beta\nc c@shop\n\thost: app.ex\n\tcanary: 10%\n", "GET app.ex/ X-Beta=1", !lot},
		"a canary that is away":      {"b b@shop exited\n\thost: app.ex\n\tcanary: 10%\n", "GET app.ex/", !lot},
		"a canary alone":             {"b b@shop\n\thost: b.ex\n\tcanary: 10%\n", "GET b.ex/", !lot},
		"a canary that stands in":    {"b b@shop\n\thost: b.ex\n\tcanary: 10%\nc c@shop exited\n\thost: b.ex\n", "GET b.ex/", !lot},
		"a redirect for a directory": {"b b@shop\n\thost: b.ex\n\tpath: /d/\n\tcanary: 10%\nc c@shop\n\thost: b.ex\n\tpath: /d/\n", "GET b.ex/d", !lot},
		"declared public by a label": {"b b@shop\n\thost: b.ex\n\tcanary: 100%\n\theader.response.Cache-Control: public\nc c@shop\n\thost: b.ex\n", "GET b.ex/", !lot},
	} {
		w := newWorld(t)
		w.serveApps()
		w.read("a a@shop\n\thost: app.ex\n" + tt.labels)
		w.turn()
		if got := w.ask(tt.ask).Header["Set-Cookie"] != nil; got != tt.want {
			t.Errorf("%s: a lot was set: %v, want %v", name, got, tt.want)
		}
	}
}

func TestTheLotCookie(t *testing.T) {
	const plain = "fairlead_lot=7; Path=/; HttpOnly; SameSite=Lax"
	for name, tt := range map[string]struct {
		scheme string
		status int
		header http.Header
		want   []string
	}{
		"plain":              {"http", 200, http.Header{}, []string{plain}},
		"https":              {"https", 200, http.Header{}, []string{"fairlead_lot=7; Path=/; HttpOnly; Secure; SameSite=Lax"}},
		"beside the app's":   {"http", 200, http.Header{"Set-Cookie": {"a=b"}}, []string{"a=b", plain}},
		"an upgrade":         {"http", 101, http.Header{}, []string{plain}},
		"private":            {"http", 200, http.Header{"Cache-Control": {"private, max-age=60"}}, []string{plain}},
		"not public":         {"http", 200, http.Header{"Cache-Control": {`x="republic"`, "max-age=0"}}, []string{plain}},
		"for shared caches":  {"http", 200, http.Header{"Cache-Control": {"max-age=60,PUBLIC"}}, nil},
		"kept by them alone": {"http", 200, http.Header{"Cache-Control": {"max-age=0", " s-maxage=60"}}, nil},
	} {
		rec := httptest.NewRecorder()
		x, _, _ := exchange.Begin(rec, httptest.NewRequest("GET", "/", nil))
		x.Scheme = tt.scheme
		q := Query{Draw: func() int { return 7 }}
		q.lot()
		q.keepLot(x)
		x.Response.Switched(tt.header)
		if got := tt.header["Set-Cookie"]; strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// A path is never refused by chance: other readings of it draw no lot.
func TestALotDecidesNothingAboutReadings(t *testing.T) {
	w := newWorld(t)
	w.read("a a@shop\n\thost: app.ex, app.ex/x\nb b@shop\n\thost: app.ex/x\n\tcanary: 50%\n")
	table := w.turn()
	for range 50 {
		q := Query{Host: "app.ex", Path: "/%78", Draw: drawLot}
		if got := table.Match(&q, nil); got.TwoReadings || got.id() != "shop/a" {
			t.Fatalf("got %s (refused: %v), want shop/a each time", got.id(), got.TwoReadings)
		}
		q = Query{Host: "app.ex", Path: "/x/%79", Draw: drawLot}
		if got := table.Match(&q, nil); got.TwoReadings {
			t.Fatal("the lot that was drawn counts for one reading only")
		}
	}
}

func TestBlueAndGreenOfOnePoolShareIt(t *testing.T) {
	w := newWorld(t)
	w.read("blue blue@shop\n\thost: app.ex\n\tpool: web\ngreen green@shop\n\thost: app.ex\n\tpool: web\n")
	table := w.turn()
	var got []string
	for _, e := range table.Match(&Query{Host: "app.ex", Path: "/"}, nil).route.pool.Endpoints() {
		got = append(got, e.Container)
	}
	if strings.Join(got, " ") != "blue green" {
		t.Errorf("got endpoints of %v, want those of blue and green", got)
	}
	if p := table.Problems(); p != nil {
		t.Errorf("got problems %v, want none", p)
	}
}

// States and reasons, as `fairlead routes` shows them.
func TestCanariesAreShown(t *testing.T) {
	for name, tt := range map[string]struct{ labels, want string }{
		"a share": {"a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 0.5%\n", `
shop/a serving
shop/b serving: canary gets 0.5% of clients, by lot; shop/a serves the rest`},
		"a header and a cookie": {"a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: header:x-beta\nc c@shop\n\thost: app.ex\n\tcanary: cookie:beta\n", `
shop/a serving
shop/b serving: canary gets requests with the header X-Beta; shop/a serves the rest
shop/c serving: canary gets requests with the cookie beta; shop/a serves the rest`},
		"nothing": {"a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 0%\n", `
shop/a serving
shop/b standby: canary gets 0% of clients, by lot; shop/a serves the rest`},
		"nothing left": {"a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 80%\nc c@shop\n\thost: app.ex\n\tcanary: 30%\nd d@shop\n\thost: app.ex\n\tcanary: 1%\n", `
shop/a serving
shop/b serving: canary gets 80% of clients, by lot; shop/a serves the rest
shop/c serving: canary gets 20% of clients, by lot; shop/a serves the rest
shop/d standby: canary gets 0% of clients, by lot; shop/a serves the rest
c: fairlead.canary="30%": gets 20% of app.ex: the canaries before it (shop/b) have 80% already; let its share and those of shop/b come to 100% at most [out-of-range, hint]
d: fairlead.canary="1%": gets 0% of app.ex: the canaries before it (shop/b, shop/c) have 100% already; let its share and those of shop/b, shop/c come to 100% at most [out-of-range, hint]`},
		"stable away": {"a a@shop exited\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 10%\n", `
shop/a standby: shop/b has the same host and path, and serves
shop/b serving: canary 10% serves the rest: no stable route is ready`},
		"both away": {"a a@shop exited\n\thost: app.ex\nb b@shop exited\n\thost: app.ex\n", `
shop/a no-endpoint: a is exited
shop/b standby: shop/a has the same host and path, and comes first while neither is ready`},
		"nothing stable": {"a a@shop\n\thost: app.ex\n\tcanary: 60%\nb b@shop\n\thost: app.ex\n\tcanary: 40%\n", `
shop/a serving: canary 60% serves the rest: no stable route is ready
shop/b serving: canary gets 40% of clients, by lot; shop/a serves the rest`},
		"canary away": {"a a@shop\n\thost: app.ex\nb b@shop exited\n\thost: app.ex\n\tcanary: 10%\n", `
shop/a serving
shop/b no-endpoint: b is exited`},
		"alone": {"a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex/b\n\tcanary: 10%\n", `
shop/a serving
shop/b serving: canary 10% gets everything: no other route matches the same`},
	} {
		w := newWorld(t)
		w.read(tt.labels)
		view := w.turn().View()
		var lines []string
		for _, r := range view.Routes {
			lines = append(lines, strings.TrimSuffix(r.ID+" "+r.State+": "+r.Reason, ": "))
		}
		for _, p := range view.Problems {
			lines = append(lines, p.String())
		}
		if got := "\n" + strings.Join(lines, "\n"); got != tt.want {
			t.Errorf("%s:%s\nwant:%s", name, got, tt.want)
		}
		w.retireAll()
	}
}

func TestCanariesAreExplained(t *testing.T) {
	w := newWorld(t)
	w.read("a a@shop\n\thost: app.ex\nb b@shop\n\thost: app.ex\n\tcanary: 10%\nc c@shop\n\thost: app.ex\n\tcanary: 20%\nd d@shop\n\thost: app.ex\n\tcanary: header:X-Beta\n" +
		"e e@shop exited\n\thost: app.ex\n\tcanary: cookie:beta\nf f@shop exited\n\thost: app.ex\n\tcanary: 1%\ng g@shop exited\n\thost: g.ex\nh h@shop\n\thost: g.ex\n\tcanary: 10%\n")
	table := w.turn()
	for _, tt := range []struct{ host, name, value, want string }{
		{"app.ex", "", "", `
goes to shop/a:80
host: matches app.ex, held by shop
canary shop/d: gets requests with the header X-Beta: this is none
canary shop/e: gets requests with the cookie beta: this is none
canary shop/b: gets 10% of clients, by lot (0 to 999): this request has none yet, and counts among the others
canary shop/c: gets 20% of clients, by lot (1000 to 2999): this request has none yet, and counts among the others
canary shop/f: gets 1% of clients, by lot, but no endpoint is ready
path shop/a: matches /
pool shop/a: shop/a:80: a 10.202.151.129:80 gets it (the only one that is ready)`},
		{"app.ex", "Cookie", "fairlead_lot=1999", `
goes to shop/c:80
host: matches app.ex, held by shop
canary shop/d: gets requests with the header X-Beta: this is none
canary shop/e: gets requests with the cookie beta: this is none
canary shop/b: gets 10% of clients, by lot (0 to 999): this request has 1999
canary shop/c: gets 20% of clients, by lot (1000 to 2999): this request has 1999
path shop/c: matches /
path shop/a: matches / as well, and shares the requests
path shop/f: matches / as well, and shares the requests
pool shop/c: shop/c:80: c 10.46.125.44:80 gets it (the only one that is ready)`},
		{"app.ex", "Cookie", "beta=1;fairlead_lot=9999", `
goes to shop/a:80
host: matches app.ex, held by shop
canary shop/d: gets requests with the header X-Beta: this is none
canary shop/e: gets requests with the cookie beta: this is one, but no endpoint is ready
canary shop/b: gets 10% of clients, by lot (0 to 999): this request has 9999
canary shop/c: gets 20% of clients, by lot (1000 to 2999): this request has 9999
canary shop/f: gets 1% of clients, by lot, but no endpoint is ready
path shop/a: matches /
pool shop/a: shop/a:80: a 10.202.151.129:80 gets it (the only one that is ready)`},
		{"app.ex", "X-Beta", "1", `
goes to shop/d:80
host: matches app.ex, held by shop
canary shop/d: gets requests with the header X-Beta: this is one
path shop/d: matches /
path shop/a: matches / as well, and shares the requests
path shop/b: matches / as well, and shares the requests
path shop/c: matches / as well, and shares the requests
path shop/e: matches / as well, and shares the requests
path shop/f: matches / as well, and shares the requests
pool shop/d: shop/d:80: d 10.24.172.62:80 gets it (the only one that is ready)`},
		{"g.ex", "", "", `
goes to shop/h:80
host: matches g.ex, held by shop
canary shop/h: gets 10% of clients, by lot, and the rest too: no stable route is ready
path shop/h: matches /, and is ready while shop/g, which matches the same, is not
path shop/g: matches / as well, and shares the requests
pool shop/h: shop/h:80: h 10.170.169.64:80 gets it (the only one that is ready)`},
	} {
		q := Query{Host: tt.host, Path: "/", Method: "GET", Header: http.Header{}}
		if tt.name != "" {
			q.Header.Set(tt.name, tt.value)
		}
		e := explained(table, &q)
		if got := told(&e); got != strings.TrimSpace(tt.want) || !e.OK {
			t.Errorf("%s %s %s:\n%s\nwant:%s", tt.host, tt.name, tt.value, got, tt.want)
		}
	}
	w.retireAll()
}
