package routing

import (
	"net/http/httptest"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// What a route has counted survives changes of its labels, and goes with it.
func TestTalliesSurviveChanges(t *testing.T) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: app.ex\n\trespond: 200 hello\n")
	count := func() uint64 {
		x, rw, r := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		x.Host = "app.ex"
		w.live.ServeHTTP(rw, r)
		if x.Tally == nil {
			t.Fatal("the request has no tally of its route")
		}
		x.Tally.Add(0, exchange.Outcome{Status: x.Response.Status}) // as the access log does
		shown := w.live.Table().View().Routes[0].Count
		return shown.Total()
	}
	w.turn()
	if n := count(); n != 1 {
		t.Errorf("%d counted, want 1", n)
	}
	w.change("web", func(c *spec.Workload) { c.Labels["fairlead.respond"] = "404 gone" })
	w.turn()
	if n := count(); n != 2 {
		t.Errorf("%d counted after a change, want 2", n)
	}
	w.remove("web")
	w.turn()
	w.read("web web@shop\n\thost: app.ex\n\trespond: 200 hello\n")
	w.turn()
	if n := count(); n != 1 {
		t.Errorf("%d counted for a route that is new, want 1", n)
	}
}
