package upstream

import "github.com/fairlead/fairlead/label"

type weightOptions struct{ N int }

var _ = register(label.Kind{
	Name: "weight", Level: label.PerEndpoint,
	Doc: "A container's share of the load.",
}, nil, label.Def[weightOptions]{
	Value:   label.Int(func(o *weightOptions) *int { return &o.N }, 0, 1000),
	Default: "1", Doc: "The container's share of the requests relative to the others of its pool, 0 to 1000. 0 takes no new requests.", Example: "3", Nginx: "server weight=",
})

// weightOf returns the weight of an endpoint with these labels.
func weightOf(opts label.Options) int { return option(opts, "weight", weightOptions{1}).N }
