package upstream

import "github.com/fairlead/fairlead/label"

type downOptions struct{ On bool }

var _ = register(label.Kind{
	Name: "down", Level: label.PerEndpoint,
	Doc: "A container that takes no requests.",
}, nil, label.Def[downOptions]{
	Value:   label.Bool(func(o *downOptions) *bool { return &o.On }),
	Default: "false", Doc: "Takes the container out of its pool while it runs. `fairlead drain` does so without a new container.", Example: "true", Nginx: "server down",
})

func isDown(opts label.Options) bool { return option(opts, "down", downOptions{}).On }
