package upstream

import (
	"time"

	"github.com/fairlead/fairlead/label"
)

type slowStartOptions struct{ For time.Duration }

var _ = register(label.Kind{
	Name: "slow-start", Level: label.PerEndpoint,
	Doc: "A new container's share grows slowly.",
}, nil, label.Def[slowStartOptions]{
	Value:   label.Duration(func(o *slowStartOptions) *time.Duration { return &o.For }, 0, time.Hour),
	Default: "0", Doc: "How long the share of a container takes to grow to its weight after it became ready, at most 1h. Hashes and stickiness do not wait for it.", Example: "30s", Nginx: "server slow_start=",
})

// warmUp has e begin with a small share if it is new or was away. One that ran
// for longer than the proxy has known it begins with all of it.
func (e *endpoint) warmUp(now time.Time) {
	d := option(e.spec.Options, "slow-start", slowStartOptions{}).For
	if d > 0 && (e.wasReady || now.Sub(e.spec.StartedAt) < d) {
		e.SlowStart(now, d)
	}
}
