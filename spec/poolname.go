package spec

import (
	"strings"

	"github.com/fairlead/fairlead/label"
)

type poolOptions struct{ Name string }

var _ = register(label.Declare(label.Kind{
	Name: "pool", Section: label.SectionTarget, Slot: label.Target, Level: label.PerRoute, Inherit: label.AsTarget,
	Doc: "The containers that share load.",
}, nil, label.Def[poolOptions]{
	Value:   label.Text(func(o *poolOptions) *string { return &o.Name }, checkPoolName),
	Doc:     "Containers of one project with the same pool, port and scheme share load. `@NAME` is shared across projects, if all members name it. Default: the compose service.",
	Example: "web", Nginx: "upstream",
}))

func checkPoolName(text string) error {
	name := strings.TrimPrefix(text, "@")
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" {
		return &label.ValueError{Msg: "is not a name of letters, digits, - _ and . (with an @ in front to share it across projects)"}
	}
	return nil
}
