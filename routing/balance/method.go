package balance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/fairlead/fairlead/label"
)

// A method is a way to pick as users name it. Each registers itself from its file.
type method struct {
	name   string
	arg    string // what NAME in "name:NAME" is the name of: "header"; "" if nothing may follow
	doc    string // what it does, as the rest of a sentence
	picker func(arg string, turns *Turns) Picker
}

// methods are all there are, in the order of their files.
var methods []method

func register(m method) bool {
	methods = append(methods, m)
	return true
}

// Options are what the label `balance` says. The zero value is round robin.
type Options struct {
	Name string // of the method
	Arg  string // the name of its header or cookie, "" for methods that have none
}

// New returns a picker as o says; turns are the pool's own. A name that the
// label would have refused stands for round robin too.
func New(o Options, turns *Turns) Picker {
	if m := find(o.Name); m != nil {
		return m.picker(o.Arg, turns)
	}
	return turns
}

func find(name string) *method {
	for i := range methods {
		if methods[i].name == name {
			return &methods[i]
		}
	}
	return nil
}

// usage returns how m is written: "header-hash:NAME".
func (m *method) usage() string { return m.with("NAME") }

func (m *method) with(arg string) string {
	if m.arg == "" {
		return m.name
	}
	return m.name + ":" + arg
}

// Kind declares the label `balance`. It is a function, for what it lists is
// complete only when every method has registered itself.
func Kind() label.Kind {
	byName := slices.SortedFunc(slices.Values(methods), func(a, b method) int { return cmp.Compare(a.name, b.name) })
	var usages, docs []string
	var form label.Form
	for _, m := range byName {
		usages = append(usages, m.usage())
		if m.arg == "" {
			form.Words = append(form.Words, m.name)
		} else {
			form.Pattern = strings.TrimPrefix(form.Pattern+"|"+m.name+` *: *\S+`, "|")
		}
		docs = append(docs, "`"+m.usage()+"` "+m.doc)
	}
	return label.Declare(label.Kind{
		Name: "balance", Section: label.SectionLoad, Slot: label.Pool, Level: label.PerPool, Inherit: label.AsTarget,
		Doc: "How an endpoint is picked.",
	}, nil, label.Def[Options]{
		Value: label.Value[Options]{Type: strings.Join(usages, " | "), Form: form, Set: func(o *Options, _, text string) (err error) {
			*o, err = parse(text, usages)
			return err
		}},
		Default: "round-robin", Doc: "How an endpoint is picked: " + strings.Join(docs, "; ") + ".", Example: "least-conn", Nginx: "upstream method",
	})
}

// parse reads the value of the label; usages are the right ones.
func parse(text string, usages []string) (Options, error) {
	name, arg, colon := strings.Cut(text, ":")
	name, arg = strings.TrimSpace(name), strings.TrimSpace(arg)
	m := find(name)
	switch {
	case m == nil:
		return Options{}, &label.ValueError{Msg: "is not one of " + strings.Join(usages, ", "), Suggest: suggest(name, arg)}
	case m.arg == "" && colon:
		return Options{}, &label.ValueError{Msg: "has something behind " + name + ", which takes no name", Suggest: name}
	case m.arg != "" && arg == "":
		return Options{}, &label.ValueError{Msg: "does not say which " + m.arg + ": write " + m.usage()}
	case m.arg != "" && !httpguts.ValidHeaderFieldName(arg): // a token, as names of cookies are too (RFC 6265 4.1.1)
		return Options{}, &label.ValueError{Msg: fmt.Sprintf("names no %s: %q has characters that no name has", m.arg, label.Shown(arg))}
	}
	return Options{name, arg}, nil
}

// suggest returns what somebody who wrote name and arg most likely meant.
func suggest(name, arg string) string {
	var names []string
	for _, m := range methods {
		names = append(names, m.name)
	}
	near := find(label.Nearest(name, slices.Values(names)))
	if near == nil {
		return ""
	}
	return near.with(cmp.Or(arg, "NAME"))
}
