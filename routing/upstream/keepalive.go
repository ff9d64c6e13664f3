package upstream

import "github.com/fairlead/fairlead/label"

type keepaliveOptions struct{ N int }

var defaultKeepalive = keepaliveOptions{64}

var _ = register(label.Kind{
	Name: "keepalive", Level: label.PerPool,
	Doc: "Connections kept open between requests.",
}, nil, label.Def[keepaliveOptions]{
	Value:   label.Int(func(o *keepaliveOptions) *int { return &o.N }, 0, 10_000),
	Default: "64", Doc: "How many idle connections are kept per container, for a minute each; 0 keeps none.", Example: "16", Nginx: "keepalive",
})
