package middleware

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

// logOptions is the share of requests that the access log has: 0 to 1.
type logOptions struct{ Share float64 }

var _ = Register(Kind[logOptions]{
	Kind: label.Kind{
		Name: "log", Section: label.SectionPolicy, Order: OrderObserve, Inherit: label.AsPolicy,
		Doc: "The access log of a route.",
	},
	Labels: []label.Def[logOptions]{{
		Value: label.Value[logOptions]{Type: "on, off or percent", Off: true, Form: label.Form{Words: []string{"on", "off"}, Pattern: label.BoolPattern + `|.*[0-9].*%`, Range: "0% to 100%"}, Set: func(o *logOptions, _, text string) error {
			if on, ok := label.ParseBool(text); ok {
				if o.Share = 0; on {
					o.Share = 1
				}
				return nil
			}
			percent, ok := strings.CutSuffix(text, "%")
			n, err := strconv.ParseFloat(percent, 64)
			if !ok || err != nil || !(n >= 0 && n <= 100) {
				return &label.ValueError{Msg: "is neither on, off nor a share such as 10%"}
			}
			o.Share = n / 100
			return nil
		}},
		Default: "on", Doc: "Whether requests are in the access log, or which share of them. Refusals by the proxy always are.", Example: "10%", Nginx: "access_log",
	}},
	Build: func(_ *build.Build, o logOptions, next http.Handler) (http.Handler, error) {
		if o.Share == 1 {
			return next, nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			exchange.Of(r).Quiet = rand.Float64() >= o.Share
			next.ServeHTTP(w, r)
		}), nil
	},
})
