package spec

import (
	"slices"

	"github.com/fairlead/fairlead/label"
)

type portOptions struct{ Port int }

var _ = register(label.Declare(label.Kind{
	Name: "port", Section: label.SectionTarget, Slot: label.Target, Level: label.PerEndpoint, Inherit: label.AsTarget,
	Doc: "The container port.",
}, nil, label.Def[portOptions]{
	Value:   label.Int(func(o *portOptions) *int { return &o.Port }, 1, 65535),
	Doc:     "Container port, 1 to 65535. Without it: the only exposed TCP port that is not known for another protocol, of several the first of 80, 8080 and 3000; 80 if none is exposed.",
	Example: "8080", Nginx: "proxy_pass",
}))

// notHTTP are ports of other protocols that images expose: never guessed.
var notHTTP = []int{21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 853, 993, 995, 1433, 1521, 1883, 3306, 5432, 5671, 5672, 6379, 8883, 9092, 11211, 27017}

// usual are the ports that win among several.
var usual = []int{80, 8080, 3000}

// MaybeHTTP returns those of ports that are not known for another protocol.
func MaybeHTTP(ports []int) []int {
	return slices.DeleteFunc(slices.Clone(ports), func(p int) bool { return slices.Contains(notHTTP, p) })
}

// guessPort returns the port requests go to when no label names one, or 0 with
// the ports it could be: the likely ones first.
func guessPort(w *Workload) (port int, could []int) {
	if len(w.Exposed) == 0 {
		return 80, nil
	}
	could = MaybeHTTP(w.Exposed)
	if len(could) == 1 {
		return could[0], nil
	}
	for _, p := range usual {
		if slices.Contains(could, p) {
			return p, nil
		}
	}
	return 0, append(could, slices.DeleteFunc(slices.Clone(w.Exposed), func(p int) bool { return slices.Contains(could, p) })...)
}
