package backend

import (
	"time"

	"github.com/fairlead/fairlead/label"
)

type holdOptions struct{ For time.Duration }

// defaultHold outlasts a container that ignores its stop signal, which the
// engine kills after 10 s.
const defaultHold = 30 * time.Second

// Hold returns how long requests of a route with opts may wait for an endpoint.
func Hold(opts label.Options) time.Duration {
	if o, ok := label.Get[holdOptions](opts, "hold"); ok {
		return o.For
	}
	return defaultHold
}

var _ = registerForward(forward[holdOptions]{
	Kind: label.Kind{
		Name: "hold", Section: label.SectionLoad, Level: label.PerRoute, Inherit: label.AsTarget,
		Doc: "Requests wait while the service is being replaced.",
	},
	Labels: []label.Def[holdOptions]{{
		Value:   label.Duration(func(o *holdOptions) *time.Duration { return &o.For }, 0, 10*time.Minute),
		Default: "30s", Doc: "How long a request waits while no container of the service is ready but one is being started, replaced, restarted or unpaused; then 503 with Retry-After. 0 does not wait. At most 10m.", Example: "10s",
	}},
	Apply: func(p *Proxy, o holdOptions) { p.Timeouts.Hold = o.For },
})
