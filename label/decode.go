package label

import (
	"maps"
	"slices"
	"strings"
)

// Options are the decoded settings of one route: a T by value under the name
// of the kind that declared it, for every kind a usable setting mentions.
type Options map[string]any

// Get returns the T of the kind called name in o, and whether a label mentions it.
func Get[T any](o Options, name string) (T, bool) {
	v, ok := o[name].(T)
	return v, ok
}

// Decode reads settings. A bad one costs itself; one with Effect Refused costs
// the route. Of a bad one that says what the route matches the good part is
// kept: that is where the refused route answers. Problems come sorted by label.
func (s *Schema) Decode(container string, settings map[string]Setting) (Options, []Problem) {
	d := decoder{schema: s, container: container, into: map[string]any{}, first: map[string]Setting{}}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		d.setting(settings[key])
	}
	out := Options{}
	for _, name := range slices.Sorted(maps.Keys(d.into)) {
		if d.together(s.byName[name]) {
			out[name] = s.byName[name].value(d.into[name])
		}
	}
	return out, d.problems
}

type decoder struct {
	schema    *Schema
	container string
	into      map[string]any
	first     map[string]Setting // by kind: the first that counts
	problems  []Problem
	refused   bool // by one of them
}

// maxProblems bounds what is told of one route.
const maxProblems = 100

func (d *decoder) setting(set Setting) {
	at := d.schema.resolve(set)
	text := strings.TrimSpace(set.Text)
	var err error
	if set.stray == nil && at.row != nil && !at.row.Later && text != "" {
		if err = d.set(set, at, text); err == nil {
			return
		}
	}
	p := d.problem(set, at)
	if len(d.problems) >= maxProblems && (d.refused || p.Effect != Refused) {
		return
	}
	switch {
	case set.stray != nil:
		p.Code, p.Message, p.Suggest = set.stray.Code, set.stray.Message, set.stray.Suggest
	case at.row == nil:
		d.unknown(&p, set, at)
	case at.row.Later:
		p.Code, p.Message = "not-yet", "is planned and does not work yet"
	case text == "":
		p.Code, p.Message = "empty-value", "is empty, as an unset ${VARIABLE} leaves it: give it a value or remove it"
	default:
		p.explain(err)
		if inner, quoted := unquoted(text); quoted && p.Effect != Hinted {
			p.Message, p.Suggest = "has quotes that are part of it: YAML takes them off around a whole item only (\"- NAME=VALUE\")", Shown(inner)
		}
	}
	d.add(p)
}

// unquoted returns what is within the quotes around text. In the list form of
// labels, - NAME="VALUE", they belong to the value.
func unquoted(text string) (inner string, quoted bool) {
	for _, quote := range []string{`"`, `'`} {
		if inner, begun := strings.CutPrefix(text, quote); begun {
			return strings.CutSuffix(inner, quote)
		}
	}
	return text, false
}

func (d *decoder) add(p Problem) {
	p.Value = Shown(p.Value)
	d.refused = d.refused || p.Effect == Refused
	d.problems = append(d.problems, p)
}

// set reads text into a copy, so that a value refused half-way leaves nothing
// behind.
func (d *decoder) set(set Setting, at found, text string) error {
	k := at.kind
	into := d.into[k.Name]
	if into == nil {
		into = k.fresh()
	} else {
		into = k.copy(into)
	}
	err := at.row.set(into, at.arg, text)
	if err != nil && !isHint(err) && !(k.FailClosed && k.Slot == Match) {
		return err
	}
	d.into[k.Name] = into
	if _, ok := d.first[k.Name]; !ok {
		d.first[k.Name] = set
	}
	return err
}

// together runs the check of all labels of k and reports whether they count.
func (d *decoder) together(k *Kind) bool {
	if k.check == nil {
		return true
	}
	err := k.check(d.into[k.Name])
	if err == nil {
		return true
	}
	p := d.problem(Setting{Label: d.first[k.Name].Label}, found{kind: k})
	usable := p.explain(err)
	d.add(p)
	return usable
}

// problem returns a problem of set with the effect that its kind calls for.
func (d *decoder) problem(set Setting, at found) Problem {
	p := Problem{Container: d.container, Label: set.Label, Value: set.Text, Effect: Ignored}
	k := at.kind
	if at.row == nil && at.nearKind != nil {
		k = at.nearKind
	}
	if k != nil {
		p.Kind = k.Name
		if k.FailClosed {
			p.Effect = Refused
		}
	}
	return p
}

func (d *decoder) unknown(p *Problem, set Setting, at found) {
	p.Code, p.Message = "unknown-label", "is not a label"
	switch {
	case at.kind != nil && at.kind.Name == set.Key:
		p.Message = "is incomplete: there are " + at.kind.below()
	case at.near != "":
		p.Suggest = Shown(strings.TrimSuffix(set.Label, set.Key) + at.near)
	case at.kind != nil:
		p.Message = "is not a label: there are " + at.kind.below()
	}
}
