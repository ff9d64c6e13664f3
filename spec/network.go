package spec

import "github.com/fairlead/fairlead/label"

type networkOptions struct{ Name string }

var _ = register(label.Declare(label.Kind{
	Name: "network", Section: label.SectionTarget, Slot: label.Target, Level: label.PerEndpoint, Inherit: label.AsTarget,
	Doc: "The network whose address is used.",
}, nil, label.Def[networkOptions]{
	Value:   label.Text(func(o *networkOptions) *string { return &o.Name }, nil),
	Doc:     "The network over which the container is reached: its key in the compose file or its real name. Without it one shared with the proxy, bridge and overlay before macvlan and ipvlan, then by name.",
	Example: "backend",
}))
