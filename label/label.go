// Package label declares configuration labels once, and derives from that one
// declaration how they are read, checked, suggested, inherited and documented.
// It knows nothing of HTTP or Docker.
package label

import (
	"fmt"
	"strings"
)

// A Def is all there is to know about one label that fills a T.
type Def[T any] struct {
	// Name is the label below its kind: "connect" for timeout.connect, "" for
	// the kind's own key, "request.*" where the rest of the key, dots and all,
	// is an argument (a header's name).
	Name    string
	Value   Value[T]
	Default string // as a user would write it; "" if none
	Doc     string // one sentence, values and ranges included
	Example string // a value, as a user would write it
	Key     string // of the example where Name ends in "*": "X-Frame-Options"
	Nginx   string // the directive nginx has for it, "" if none
	// Later: known, and not built yet. Using it is Problem "not-yet". Of the other
	// fields it needs Name, Doc and Value.Type alone.
	Later bool
}

// A Value reads the text of a label into a field of T.
type Value[T any] struct {
	Type string // as the reference shows it: "duration", "list"
	// Off says that "off" is a value like any other here. Elsewhere it puts the
	// label back at its default.
	Off bool
	// Form is what the text looks like; the zero Form is any.
	Form Form
	// Set reads text; arg is what stands for "*" in the label's name. Its error
	// is worded for the one who wrote the label; *ValueError and *Hint say more.
	// It may append to a slice of o, and changes no element of one.
	Set func(o *T, arg, text string) error
}

// Slot is where in the life of a route a kind has its say.
type Slot uint8

const (
	Match      Slot = iota // which requests
	Target                 // which containers, and where in them
	Pool                   // how load is shared
	Middleware             // what happens to a request or answer on its way
	Forward                // how the proxy talks to the target
	Terminal               // ends the route instead of a target
	TLS                    // certificates and TLS settings
)

// Level says which containers of a service have a say.
type Level uint8

const (
	PerRoute    Level = iota // the newest generation's labels hold for all
	PerPool                  // likewise
	PerEndpoint              // each container its own
)

// Inherit says what a named route takes over from its container's main labels,
// and what --default may set.
type Inherit uint8

const (
	Own       Inherit = iota // never inherited: what matches or ends a route
	AsTarget                 // inherited: where requests go
	AsPolicy                 // inherited, and --default may set it
	Container                // belongs to the container, not to a route: enable
)

// A Kind is a group of labels below one key that fill one options struct.
type Kind struct {
	Name    string // its key: "timeout"
	Section string // of the reference
	Doc     string
	Slot    Slot
	Level   Level
	Inherit Inherit
	Order   int // among middlewares: lowest is outermost
	// FailClosed: it narrows or protects, so that a mistake in it refuses the
	// route instead of being left out.
	FailClosed bool
	// Later: known, and not built yet. Using it is Problem "not-yet".
	Later bool
	Rows  []Row

	fresh func() any        // *T with defaults
	copy  func(p any) any   // *T → another *T
	value func(p any) any   // *T → T
	check func(p any) error // nil-able
}

// A Row is a Def with its options type erased. The reference is made of rows.
type Row struct {
	Path                                    string // "timeout.connect", "header.request.*"
	Type, Default, Doc, Example, Key, Nginx string

	Form  Form
	Later bool // known, and not built yet

	off bool
	set func(p any, arg, text string) error
}

// Declare completes k with the labels that fill a T and an optional check of
// them together. It panics on a wrong declaration, a default or an example that
// its own Value refuses, so that no such thing can be committed.
func Declare[T any](k Kind, check func(*T) error, defs ...Def[T]) Kind {
	for _, d := range defs {
		k.Rows = append(k.Rows, row(k.Name, d))
	}
	var defaults T
	for _, d := range defs {
		if d.Default != "" && !d.Later {
			d.Value.Set(&defaults, "", d.Default)
		}
	}
	k.fresh = func() any { o := defaults; return &o }
	k.copy = func(p any) any { o := *p.(*T); return &o }
	k.value = func(p any) any { return *p.(*T) }
	if check != nil {
		k.check = func(p any) error { return check(p.(*T)) }
	}
	return k
}

// row erases T from d, and panics if d is wrong.
func row[T any](kind string, d Def[T]) Row {
	r := Row{
		Path: strings.TrimSuffix(kind+"."+d.Name, "."), Type: d.Value.Type, Default: d.Default,
		Doc: d.Doc, Example: d.Example, Key: d.Key, Nginx: d.Nginx, Later: d.Later, Form: d.Value.Form, off: d.Value.Off,
		set: func(p any, arg, text string) error { return d.Value.Set(p.(*T), arg, text) },
	}
	switch {
	case d.Doc == "" || d.Value.Type == "":
		panic("label: " + r.Path + " needs Doc and Type")
	case d.Later:
		return r
	case d.Example == "" || strings.HasSuffix(d.Name, "*") != (d.Key != ""):
		panic("label: " + r.Path + " needs Example and, with *, Key")
	}
	for _, text := range []string{d.Default, d.Example} {
		if text == "" || text == "off" && !d.Value.Off {
			continue // off is no value there: the label is back at its default
		}
		if err := d.Value.Set(new(T), d.Key, text); err != nil {
			panic(fmt.Sprintf("label: %s: %q: %v", r.Path, text, err))
		}
	}
	return r
}

// DeclareLater returns a kind that is known and not built yet: its rows are
// documented, and using one is Problem "not-yet".
func DeclareLater(k Kind, rows ...Row) Kind {
	k.Later = true
	for _, r := range rows {
		r.Path, r.Later = strings.TrimSuffix(k.Name+"."+r.Path, "."), true
		k.Rows = append(k.Rows, r)
	}
	return k
}
