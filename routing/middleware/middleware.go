// Package middleware holds what a route does to a request or an answer on its
// way, one kind to a file. A file declares its labels and its handler and
// registers both; nothing else lists it.
package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

// Where in the chain a kind runs, outermost first. The order belongs to the
// kind: routes do not choose.
const (
	OrderObserve = (iota + 1) * 100 // sees every request as it came
	OrderMaintenance
	OrderLimit
	OrderAuth
	OrderCORS
	OrderHeader
	OrderRewrite
)

// A Kind is one middleware: the labels that fill a T, and the handler a T makes.
// An error of Build refuses the route if the kind is FailClosed, and otherwise
// leaves the kind out with a Problem. A handler that takes something from other
// requests (a token of a rate limit), or remembers this one, leaves that if
// exchange.Exchange.Dry: `fairlead explain` has a request take its way without
// being one.
type Kind[T any] struct {
	label.Kind // Name, Section, Doc, Order, Inherit, FailClosed
	Check      func(*T) error
	Labels     []label.Def[T]
	Build      func(b *build.Build, o T, next http.Handler) (http.Handler, error)
}

type entry struct {
	kind label.Kind
	wrap func(b *build.Build, o any, next http.Handler) (http.Handler, error)
}

var entries = map[string]entry{}

// Register makes k known. It is called when a package is initialised, and
// panics on a name taken.
func Register[T any](k Kind[T]) bool {
	if _, taken := entries[k.Name]; taken {
		panic("middleware: registered twice: " + k.Name)
	}
	k.Kind.Slot = label.Middleware
	entries[k.Name] = entry{
		kind: label.Declare(k.Kind, k.Check, k.Labels...),
		wrap: func(b *build.Build, o any, next http.Handler) (http.Handler, error) { return k.Build(b, o.(T), next) },
	}
	return true
}

// Kinds returns the labels of every middleware, by name.
func Kinds() (kinds []label.Kind) {
	for _, e := range entries {
		kinds = append(kinds, e.kind)
	}
	slices.SortFunc(kinds, func(a, b label.Kind) int { return cmp.Compare(a.Name, b.Name) })
	return kinds
}

// Chain returns next behind the middlewares that opts asks for, in the kinds'
// order. Problems with Effect Refused mean that the route must not be served.
func Chain(b *build.Build, opts label.Options, next http.Handler) (http.Handler, []label.Problem) {
	var problems []label.Problem
	for _, k := range inOrder(opts) {
		b.Kind = k.Name
		h, err := entries[k.Name].wrap(b, opts[k.Name], next)
		if err != nil {
			problems = append(problems, Fault(b, k, err))
			continue
		}
		next = h
	}
	return next, problems
}

// inOrder returns the kinds that opts asks for, innermost first.
func inOrder(opts label.Options) (own []label.Kind) {
	for name := range opts {
		if e, ok := entries[name]; ok {
			own = append(own, e.kind)
		}
	}
	slices.SortFunc(own, func(a, b label.Kind) int {
		return cmp.Or(cmp.Compare(b.Order, a.Order), cmp.Compare(a.Name, b.Name))
	})
	return own
}

// Names returns the middlewares that opts asks for, in the order in which requests
// meet them.
func Names(opts label.Options) (names []string) {
	for _, k := range slices.Backward(inOrder(opts)) {
		names = append(names, k.Name)
	}
	return names
}

// CannotBuild is the code of a problem that is not the label's alone: what it
// names may be there another time.
const CannotBuild = "cannot-build"

// Fault words an error of building kind k for the one who wrote the label.
func Fault(b *build.Build, k label.Kind, err error) label.Problem {
	p := label.Problem{
		Code: CannotBuild, Container: b.Route.Container, Route: b.Route.ID,
		Label: b.Prefix + "." + k.Name, Message: fmt.Sprint(err), Effect: label.Ignored,
	}
	if ve, ok := errors.AsType[*label.ValueError](err); ok {
		p.Suggest = ve.Suggest
		p.Code = cmp.Or(ve.Code, "wrong-value")
	}
	if k.FailClosed {
		p.Effect = label.Refused
	}
	return p
}
