package routing

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/spec"
)

func TestMaintenanceOfARouteTouchesNoOther(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web web@shop\n\thost: app.ex\n\troute.api.path: /api\nother\n\thost: other.ex\n")
	w.turn()
	others := []*route{w.live.Table().units[0].routes[0], w.live.Table().units[1].routes[1]}
	w.maintain("shop/web", w.now.Add(time.Hour))
	table := w.turn()
	w.wants(`
		GET app.ex/ => 503 shop/web maintenance
		POST app.ex/x => 503 shop/web maintenance
		GET app.ex/api => 200 shop/web.api /api
		GET other.ex/ => 200 other /`)
	if now := []*route{table.units[0].routes[0], table.units[1].routes[1]}; now[0] != others[0] || now[1] != others[1] {
		t.Error("routes without an order were built anew")
	}
	if len(table.Changes) != 1 || table.Changes[0].Sign != "~" || table.Changes[0].Route != "shop/web" {
		t.Errorf("logged %v, want a change of shop/web", table.Changes)
	}
	w.maintain("shop/web", time.Time{})
	w.turn()
	w.wants("GET app.ex/ => 200 shop/web /")
}

// An order that is given again for another time takes effect with nothing else
// changed.
func TestANewEndOfAnOrderIsTakenIn(t *testing.T) {
	w := newWorld(t)
	w.env.Build.Now = func() time.Time { return w.now }
	w.read("web\n\thost: app.ex\n")
	for _, tt := range []struct {
		until time.Time
		want  string
	}{{w.now.Add(time.Minute), "60"}, {w.now.Add(10 * time.Minute), "600"}, {time.Time{}, "60"}} {
		w.control = &spec.Control{} // at once replaced: the order itself changes
		w.maintain("web", tt.until)
		w.turn()
		if got := w.ask("GET app.ex/").Header.Get("Retry-After"); got != tt.want {
			t.Errorf("until %v: Retry-After %s, want %s", tt.until, got, tt.want)
		}
	}
}

func TestWhatAnOrderLooksLike(t *testing.T) {
	w := newWorld(t)
	w.read(`
first web@shop
	host: app.ex
second web2@shop
	host: app.ex
labelled
	host: label.ex
	maintenance: true
refused
	host: refused.ex
	allow: x
gone exited
	host: gone.ex
`)
	for _, route := range []string{"shop/web", "shop/web2", "labelled", "refused", "gone"} {
		w.maintain(route, time.Time{})
	}
	w.drain("second", w.now)
	table := w.turn()
	views := map[string]RouteView{}
	for _, v := range table.View().Routes {
		views[v.ID] = v
	}
	for id, want := range map[string]string{
		"shop/web":  "maintenance: under maintenance by order until fairlead maintenance shop/web off",
		"shop/web2": "standby: shop/web has the same host and path, and serves; under maintenance by order until fairlead maintenance shop/web2 off",
		"labelled":  "maintenance: under maintenance: fairlead.maintenance is true",
		"gone":      "maintenance: under maintenance by order until fairlead maintenance gone off",
	} {
		if got := views[id].State + ": " + views[id].Reason; got != want {
			t.Errorf("%s is shown as %q, want %q", id, got, want)
		}
		by := middleware.ByOrder
		if id == "labelled" {
			by = middleware.ByLabel
		}
		if got := views[id].Maintenance; got != by {
			t.Errorf("%s is under maintenance by %q, want %q", id, got, by)
		}
	}
	if v := views["refused"]; v.State != "refused" || !strings.HasSuffix(v.Reason, "; under maintenance by order until fairlead maintenance refused off") {
		t.Errorf("a refused route is shown as %s: %s, want refused, and the order", v.State, v.Reason)
	}
	if e := views["shop/web2"].Endpoints[0]; e.State != "drained" || e.Reason != "drained by fairlead drain until 2026-01-02 00:00:00 UTC" {
		t.Errorf("the drained endpoint is shown as %s: %s", e.State, e.Reason)
	}
	e := explained(table, &Query{Host: "app.ex", Path: "/", Method: "GET"})
	if want := "503 with Retry-After: under maintenance by order until fairlead maintenance shop/web off"; e.OK || e.Answer != want {
		t.Errorf("explained as %q, ok %v; want %q", e.Answer, e.OK, want)
	}
}

// Of two services with the same match the one whose containers are not drained
// serves.
func TestADrainedServiceStandsBack(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("blue blue@shop\n\thost: app.ex\ngreen green@shop\n\thost: app.ex\n")
	w.turn()
	w.wants("GET app.ex/ => 200 shop/blue /")
	w.drain("blue", time.Time{})
	w.turn()
	w.wants("GET app.ex/ => 200 shop/green /")
	w.drain("green", time.Time{})
	w.turn()
	w.wants("GET app.ex/ => 503 shop/blue no-endpoint")
	w.control = &spec.Control{}
	w.turn()
	w.wants("GET app.ex/ => 200 shop/blue /")
}

func TestMaintenanceIsRedirectedToHTTPSFirst(t *testing.T) {
	w, _ := secure(t, "443")
	w.read("web\n\thost: app.ex\n\thttp: redirect\n\tmaintenance: true\n")
	w.turn()
	if got := outcome(w.ask("GET app.ex/")); !strings.HasPrefix(got, "30") {
		t.Errorf("plain HTTP got %s, want the redirect", got)
	}
	if got := outcome(w.ask("GET app.ex/ sni=app.ex")); got != "503 web maintenance" {
		t.Errorf("HTTPS got %s, want the page", got)
	}
}
