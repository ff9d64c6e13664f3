package spec

import "github.com/fairlead/fairlead/label"

type shareOptions struct{ Owners []string }

var _ = register(label.Declare(label.Kind{
	Name: "share", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Own,
	Doc: "Who else may add routes to a host.",
}, nil, label.Def[shareOptions]{
	Value:   label.List(func(o *shareOptions) *[]string { return &o.Owners }, func(s string) (string, error) { return s, nil }),
	Doc:     "Compose projects (or container names) that may add paths to the hosts of this route, or `any`. They never take away what matches already.",
	Example: "blog, shop",
}))
