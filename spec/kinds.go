package spec

import (
	"slices"

	"github.com/fairlead/fairlead/label"
)

var kinds []label.Kind

func register(k label.Kind) bool {
	kinds = append(kinds, k)
	return true
}

// Kinds returns what this package declares: which requests a route is for, and
// where they go. One kind is one file.
func Kinds() []label.Kind { return slices.Clone(kinds) }

// Problem is label.Problem, under the name the rest of the program uses.
type Problem = label.Problem
