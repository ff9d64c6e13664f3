package spec

import (
	"strings"

	"github.com/fairlead/fairlead/label"
)

type rootOptions struct{ Dir string }

var _ = register(label.Declare(label.Kind{
	Name: "root", Section: label.SectionTarget, Slot: label.Match, Inherit: label.Own,
	Doc: "A document root inside the container.",
}, nil, label.Def[rootOptions]{
	Value: label.Value[rootOptions]{Type: "path in the container", Form: label.Form{Pattern: `/.*`}, Set: func(o *rootOptions, _, text string) (err error) {
		if prefix, dir, ok := strings.Cut(text, ":/"); ok && strings.HasPrefix(prefix, "/") {
			return &label.ValueError{Msg: "has a URL prefix, as an item of static does; a root is a path alone", Suggest: "/" + dir}
		}
		if strings.Contains(text, "\n") {
			return &label.ValueError{Msg: "is more than one line"}
		}
		o.Dir, err = containerDir(text)
		return err
	}},
	Doc:     "A directory of the app's container whose files answer the requests of the route, by their path. With an app (a label such as `port`, or a port that the container exposes) the file if it exists, else the app; without one the route is files alone. The labels `static.…` hold for it.",
	Example: "/site", Nginx: "root, try_files",
}))
