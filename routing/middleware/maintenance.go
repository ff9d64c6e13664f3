package middleware

import (
	"net/http"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/spec"
)

type maintenanceOptions struct{ On bool }

var _ = Register(Kind[maintenanceOptions]{
	Kind: label.Kind{
		Name: "maintenance", Section: label.SectionPolicy, Order: OrderMaintenance, Inherit: label.AsPolicy, FailClosed: true,
		Doc: "A page instead of the app, while that is worked on.",
	},
	Labels: []label.Def[maintenanceOptions]{{
		Value:   label.Bool(func(o *maintenanceOptions) *bool { return &o.On }),
		Default: "false", Doc: "`true` answers every request with 503 and Retry-After. `fairlead maintenance ROUTE on` does the same without a label.", Example: "true", Nginx: "return 503",
	}},
	Build: func(b *build.Build, o maintenanceOptions, next http.Handler) (http.Handler, error) {
		if !o.On {
			return next, nil
		}
		until, clock := b.Route.Maintenance.Until, b.Now
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			exchange.Refuse(w, r, exchange.Refusal{
				Status: http.StatusServiceUnavailable, Code: "maintenance", RetryAfter: retryAfter(until, clock),
				Message: "This site is being worked on and will be back soon. Please try again a little later.",
			})
		}), nil
	},
})

// retryAfter returns the seconds from now until then: 1 to 3600, and 60 where
// nobody knows.
func retryAfter(then time.Time, now func() time.Time) int {
	if then.IsZero() {
		return 60
	}
	left := then.Sub(now())
	return int(min(max(left+time.Second-1, time.Second), time.Hour) / time.Second)
}

// Who has a route answer every request with the page of this kind.
const (
	ByLabel = "label"
	ByOrder = "order"
)

// UnderMaintenance says by whom r answers every request with the page of this
// kind, and why in words; both are "" if it does not.
func UnderMaintenance(r *spec.Route, prefix string) (by, reason string) {
	o, _ := label.Get[maintenanceOptions](r.Options, "maintenance")
	switch {
	case !o.On:
		return "", ""
	case r.Maintenance == (spec.Order{}):
		return ByLabel, "under maintenance: " + prefix + ".maintenance is true"
	}
	return ByOrder, "under maintenance by order until " + r.Maintenance.End("fairlead maintenance "+r.ID+" off")
}
