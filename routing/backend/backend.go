// Package backend holds what ends a route: the forwarder to a pool, and the
// answers the proxy gives itself. One kind is one file, and registers itself.
package backend

import (
	"net/http"
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

// A terminal ends a route instead of a target.
type terminal[T any] struct {
	label.Kind
	Check  func(*T) error
	Labels []label.Def[T]
	Build  func(b *build.Build, o T) (http.Handler, error)
}

// A forward kind says how the forwarder of a route does its work.
type forward[T any] struct {
	label.Kind
	Check  func(*T) error
	Labels []label.Def[T]
	Apply  func(p *Proxy, o T)
}

var (
	kinds     []label.Kind
	terminals = map[string]func(b *build.Build, o any) (http.Handler, error){}
	forwards  = map[string]func(p *Proxy, o any){}
)

func registerTerminal[T any](t terminal[T]) bool {
	t.Kind.Slot = label.Terminal
	kinds = append(kinds, label.Declare(t.Kind, t.Check, t.Labels...))
	terminals[t.Name] = func(b *build.Build, o any) (http.Handler, error) { return t.Build(b, o.(T)) }
	return true
}

func registerForward[T any](f forward[T]) bool {
	f.Kind.Slot = label.Forward
	kinds = append(kinds, label.Declare(f.Kind, f.Check, f.Labels...))
	forwards[f.Name] = func(p *Proxy, o any) { f.Apply(p, o.(T)) }
	return true
}

// Kinds returns the labels of everything in this package.
func Kinds() []label.Kind { return slices.Clone(kinds) }

// New returns the handler at the end of b's route: what a terminal kind makes,
// else a forwarder to pool, with the files of the route before it. Pool is nil
// for a route that answers by itself.
func New(b *build.Build, pool http.RoundTripper) (http.Handler, error) {
	for name, build := range terminals {
		if o, ok := b.Route.Options[name]; ok {
			b.Kind = name
			return build(b, o)
		}
	}
	switch {
	case b.Route.Files == nil:
		return forwarder(b, pool), nil
	case pool == nil:
		return newStatic(b, nil), nil
	}
	return newStatic(b, forwarder(b, pool)), nil
}

func forwarder(b *build.Build, pool http.RoundTripper) *Proxy {
	p := &Proxy{Transport: pool, Timeouts: defaultTimeouts, Further: defaultRetry}
	for name, apply := range forwards {
		if o, ok := b.Route.Options[name]; ok {
			apply(p, o)
		}
	}
	return p
}
