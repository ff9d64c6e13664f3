package spec

import (
	"strings"

	"github.com/fairlead/fairlead/label"
)

type listenOptions struct{ Entries []string }

var _ = register(label.Declare(label.Kind{
	Name: "listen", Section: label.SectionMatch, Slot: label.Match, Inherit: label.AsPolicy, FailClosed: true,
	Doc: "The entry points that serve a route.",
}, nil, label.Def[listenOptions]{
	Value:   label.List(func(o *listenOptions) *[]string { return &o.Entries }, parseEntry),
	Doc:     "Names or ports of the listeners that serve the route (`--http lan=192.168.1.2:80`); all public ones without it.",
	Example: "lan, 8448", Nginx: "listen",
}))

func parseEntry(text string) (string, error) {
	if strings.ContainsAny(text, " :/") {
		return "", &label.ValueError{Msg: "is neither the name nor the port of a listener"}
	}
	return text, nil
}
