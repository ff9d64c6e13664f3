package routing

import (
	"net/http"
	"sync/atomic"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/middleware"
)

// A middleware with state is one file. This one counts the requests of a route
// or a pool, and is known to the schema, the reference, `--default` and the
// chain because it is registered here.

type counterOptions struct{ Of string }

// A counter is what survives table swaps.
type counter struct {
	requests atomic.Int64
	closed   atomic.Int64
}

func (c *counter) Close() error {
	c.closed.Add(1)
	return nil
}

// counters are those made, for tests to look at.
var counters = make(chan *counter, 1000)

var _ = middleware.Register(middleware.Kind[counterOptions]{
	Kind: label.Kind{
		Name: "test-counter", Section: label.SectionPolicy, Order: middleware.OrderLimit, Inherit: label.AsPolicy,
		Doc: "Counts requests.",
	},
	Labels: []label.Def[counterOptions]{{
		Value: label.Choice(func(o *counterOptions) *string { return &o.Of }, []string{"route", "pool", "host", "all"}),
		Doc:   "Whose requests are counted together.", Example: "route",
	}},
	Build: func(b *build.Build, o counterOptions, next http.Handler) (http.Handler, error) {
		scope := map[string]build.Scope{"route": build.Route, "pool": build.Pool, "host": build.Host, "all": build.Global}[o.Of]
		c := build.Keep(b, scope, "", func() *counter {
			c := new(counter)
			counters <- c
			return c
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.requests.Add(1)
			next.ServeHTTP(w, r)
		}), nil
	},
})
