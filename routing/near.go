package routing

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// near returns what comes close to a host that has no route, or the paths of
// one that has.
func (t *Table) near(host string) []string {
	var out []string
	if h := t.exact[shardOf(host)][host]; h != nil {
		for _, l := range h.claims {
			out = append(out, host+l.path.String())
		}
		return out
	}
	names := func(yield func(string) bool) {
		for _, shard := range t.exact {
			for name := range shard {
				if !yield(name) {
					return
				}
			}
		}
	}
	if near := label.Nearest(host, names); near != "" {
		out = append(out, near)
	}
	return out
}

// problemsAbout collects the problems that may explain what host gets: those of
// r, those of the host, and refused labels that mention it.
func (t *Table) problemsAbout(host string, r *route) []spec.Problem {
	var out []spec.Problem
	for _, p := range t.Problems() {
		mine := r != nil && (p.Route == r.spec.ID || p.Container == r.spec.Container && p.Route == "")
		if mine || strings.Contains(p.Value, host) || strings.Contains(p.Message, host) || r == nil && p.Code == "misspelt-prefix" {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b spec.Problem) int { return cmp.Compare(a.Container, b.Container) })
	return out
}
