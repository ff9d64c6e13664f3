package spec

import "github.com/fairlead/fairlead/label"

type priorityOptions struct{ N int }

var _ = register(label.Declare(label.Kind{
	Name: "priority", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Own,
	Doc: "The order where specificity does not decide.",
}, nil, label.Def[priorityOptions]{
	Value: label.Int(func(o *priorityOptions) *int { return &o.N }, -1000, 1000), Default: "0",
	Doc:     "-1000 to 1000, highest first, among routes of the same host, path and number of conditions.",
	Example: "10",
}))
