package spec

import "github.com/fairlead/fairlead/label"

type redirectFromOptions struct{ Hosts []Host }

var _ = register(label.Declare(label.Kind{
	Name: "redirect-from", Section: label.SectionURL, Slot: label.Match, Inherit: label.Own,
	Doc: "Other hosts of a route.",
}, nil, label.Def[redirectFromOptions]{
	Value:   label.List(func(o *redirectFromOptions) *[]Host { return &o.Hosts }, ParseHostPattern),
	Doc:     "Hosts that are redirected (308) to the route's first host, path and query kept.",
	Example: "www.example.com", Nginx: "return 301",
}))
