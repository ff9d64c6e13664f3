package spec

import "github.com/fairlead/fairlead/label"

type enableOptions struct{ On bool }

var _ = register(label.Declare(label.Kind{
	Name: "enable", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Container, FailClosed: true,
	Doc: "Switches a container on with a default host, or off.",
}, nil, label.Def[enableOptions]{
	Value:   label.Bool(func(o *enableOptions) *bool { return &o.On }),
	Doc:     "`true`: the route has the host `SERVICE.DOMAIN` (`--domain`, default `localhost`), and `SERVICE.PROJECT.DOMAIN` where another owner holds that. `false` switches the container off, whatever else is set.",
	Example: "true",
}))
