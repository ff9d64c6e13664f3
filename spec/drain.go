package spec

import (
	"fmt"
	"time"

	"github.com/fairlead/fairlead/label"
)

// DefaultDrain is the drain of a route whose labels do not set one.
const DefaultDrain = 30 * time.Second

// DrainOptions says how long running requests may finish after their container
// was told to stop, 0 to 1 h.
type DrainOptions struct{ For time.Duration }

var _ = register(label.Declare(label.Kind{
	Name: "drain", Section: label.SectionLoad, Slot: label.Pool, Level: label.PerPool, Inherit: label.AsTarget,
	Doc: "How long running requests may finish.",
}, nil, label.Def[DrainOptions]{
	Value:   label.Duration(func(o *DrainOptions) *time.Duration { return &o.For }, 0, time.Hour),
	Default: DefaultDrain.String(),
	Doc: "How long running requests may finish after their container was told to stop, 0 to 1h. " +
		"Docker kills the container after its `stop_grace_period` (10s if the compose file names none): to set more than that, raise it too.",
	Example: "45s",
}))

// drainHint warns of a drain that is cut short because Docker kills the
// container before. The default is not meant for any one container, and warns
// of nothing.
func (p *Parser) drainHint(c *container, d *draft) {
	o, set := label.Get[DrainOptions](d.opts, "drain")
	grace := c.w.StopTimeout
	if !set || grace == 0 || o.For <= grace || !dialled(*d) {
		return
	}
	enough := (o.For + time.Second - 1).Truncate(time.Second) // the engine knows whole seconds
	c.problems = append(c.problems, Problem{
		Code: "drain-too-long", Container: c.w.Name, Route: routeID(c.w, d.name), Kind: "drain",
		Label: d.label("drain", p.cfg.Schema.Prefix), Value: label.Shown(d.settings["drain"].Text),
		Message: fmt.Sprintf("is longer than the %s after which Docker kills the container", grace),
		Fix:     fmt.Sprintf("add to its service  stop_grace_period: %s", enough), Effect: label.Hinted,
	})
}
