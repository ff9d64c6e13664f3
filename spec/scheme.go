package spec

import "github.com/fairlead/fairlead/label"

type schemeOptions struct{ Scheme string }

var _ = register(label.Declare(label.Kind{
	Name: "scheme", Section: label.SectionTarget, Slot: label.Target, Level: label.PerEndpoint, Inherit: label.AsTarget,
	Doc: "The protocol to the container.",
}, nil, label.Def[schemeOptions]{
	Value:   label.Choice(func(o *schemeOptions) *string { return &o.Scheme }, []string{"http", "https"}, "h2c", "fastcgi", "uwsgi"),
	Default: "http", Doc: "Protocol spoken to the container.", Example: "https", Nginx: "proxy_pass",
}))
