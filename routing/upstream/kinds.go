package upstream

import (
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/balance"
)

var kinds []label.Kind

// register makes a label of a pool or its endpoints known. Each is declared
// beside what it does.
func register[T any](k label.Kind, check func(*T) error, labels ...label.Def[T]) bool {
	k.Section, k.Slot, k.Inherit = label.SectionLoad, label.Pool, label.AsTarget
	kinds = append(kinds, label.Declare(k, check, labels...))
	return true
}

// Kinds returns the labels that say how load is shared.
func Kinds() []label.Kind { return append(slices.Clone(kinds), balance.Kind()) }

// option returns what opts say of the kind called name, and otherwise what it
// is without a label.
func option[T any](opts label.Options, name string, otherwise T) T {
	if o, ok := label.Get[T](opts, name); ok {
		return o
	}
	return otherwise
}
