package middleware

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/spec"
)

func TestMaintenanceByLabel(t *testing.T) {
	for text, down := range map[string]bool{"true": true, "On": true, "false": false, "off": false, "0": false} {
		reached := false
		resp, x := run(t, map[string]string{"maintenance": text}, func(http.ResponseWriter, *http.Request) { reached = true })
		if !down {
			if !reached || resp.StatusCode != 200 {
				t.Errorf("maintenance=%s: the app was reached: %v, %d; want it to answer", text, reached, resp.StatusCode)
			}
			continue
		}
		if reached || resp.StatusCode != 503 || x.Code != "maintenance" || resp.Header.Get("Retry-After") != "60" {
			t.Errorf("maintenance=%s: the app was reached: %v, %d %s, Retry-After %q; want 503, maintenance, 60", text, reached, resp.StatusCode, x.Code, resp.Header.Get("Retry-After"))
		}
	}
}

func TestMaintenanceThatIsNoBoolRefusesTheRoute(t *testing.T) {
	s := label.NewSchema("fairlead", Kinds()...)
	for text, suggest := range map[string]string{"ture": "true", "soon": "", "10m": "", "": ""} {
		_, problems := s.Decode("c", map[string]label.Setting{"maintenance": {Key: "maintenance", Text: text, Label: "fairlead.maintenance"}})
		if len(problems) != 1 || problems[0].Effect != label.Refused || problems[0].Suggest != suggest {
			t.Errorf("maintenance=%q: %v, want one problem that refuses the route and suggests %q", text, problems, suggest)
		}
	}
}

func TestMaintenanceByOrderSaysWhenToComeBack(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		-time.Minute: 1, 0: 1, time.Millisecond: 1, time.Second: 1, 1500 * time.Millisecond: 2, 10 * time.Minute: 600,
		time.Hour: 3600, time.Hour + time.Second: 3600, 365 * 24 * time.Hour: 3600,
	} {
		b := &build.Build{Keeper: &build.Keeper{}, Now: func() time.Time { return now }, Route: &spec.Route{Maintenance: spec.Order{Since: now, Until: now.Add(left)}}}
		h, problems := Chain(b, label.Options{"maintenance": maintenanceOptions{On: true}}, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		rec := httptest.NewRecorder()
		_, w, r := exchange.Begin(rec, httptest.NewRequest("POST", "/", nil))
		h.ServeHTTP(w, r)
		if got := rec.Header().Get("Retry-After"); got != strconv.Itoa(want) {
			t.Errorf("%s before its end: Retry-After %q, want %d", left, got, want)
		}
	}
}

func TestUnderMaintenance(t *testing.T) {
	on, off := label.Options{"maintenance": maintenanceOptions{On: true}}, label.Options{"maintenance": maintenanceOptions{}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		route    spec.Route
		by, want string
	}{
		{spec.Route{}, "", ""},
		{spec.Route{Options: off}, "", ""},
		{spec.Route{Options: on}, ByLabel, "under maintenance: fairlead.maintenance is true"},
		{spec.Route{ID: "shop/web", Options: on, Maintenance: spec.Order{Since: now}}, ByOrder, "under maintenance by order until fairlead maintenance shop/web off"},
		{spec.Route{Options: on, Maintenance: spec.Order{Since: now, Until: now.Add(time.Minute)}}, ByOrder, "under maintenance by order until 2026-01-01 00:01:00 UTC"},
	} {
		if by, got := UnderMaintenance(&tt.route, "fairlead"); by != tt.by || got != tt.want {
			t.Errorf("%+v: by %q, %q; want by %q, %q", tt.route, by, got, tt.by, tt.want)
		}
	}
}
