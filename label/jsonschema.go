package label

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// WriteJSONSchema writes a JSON Schema (draft-07) of a compose file's labels,
// for editors: in both forms that compose knows, of services and of deploy. It
// says nothing of what is not ours, so that it can be applied together with the
// schema of compose files.
//
// It refuses only what Read and Decode have a problem with. Words that editors
// know and the standard does not (errorMessage, doNotSuggest) are ignored by
// others.
func (s *Schema) WriteJSONSchema(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(s.jsonSchema())
}

// A node is a JSON schema, as far as it is needed here. What is in Ref's place
// besides it is ignored.
type node struct {
	Draft       string           `json:"$schema,omitempty"`
	Ref         string           `json:"$ref,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Default     string           `json:"default,omitempty"`
	Examples    []string         `json:"examples,omitempty"`
	Type        []string         `json:"type,omitempty"`
	Enum        []any            `json:"enum,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	Min         *int             `json:"minimum,omitempty"`
	Max         *int             `json:"maximum,omitempty"`
	Properties  map[string]*node `json:"properties,omitempty"`
	ByPattern   map[string]*node `json:"patternProperties,omitempty"`
	Others      *node            `json:"additionalProperties,omitempty"`
	Names       *node            `json:"propertyNames,omitempty"`
	Items       *node            `json:"items,omitempty"`
	AnyOf       []*node          `json:"anyOf,omitempty"`
	AllOf       []*node          `json:"allOf,omitempty"`
	Not         *node            `json:"not,omitempty"`
	If          *node            `json:"if,omitempty"`
	Then        *node            `json:"then,omitempty"`
	Error       string           `json:"errorMessage,omitempty"`
	Unsuggested bool             `json:"doNotSuggest,omitempty"`
	Definitions map[string]*node `json:"definitions,omitempty"`
}

// interpolated is in a value that compose puts another in the place of.
const interpolated = `\$[{A-Za-z_]`

// routePattern is routeName with what is around it in a label.
const routePattern = `route\.[a-z0-9][a-z0-9_-]*\.`

func (s *Schema) jsonSchema() *node {
	prefix := literal(s.Prefix) + `\.`
	labels := &node{Properties: map[string]*node{}, ByPattern: map[string]*node{}, Items: &node{}}
	root := &node{
		Draft: "http://json-schema.org/draft-07/schema#",
		Title: "Labels " + s.Prefix + ".* of services in compose files",
		Properties: map[string]*node{"services": {Others: &node{Properties: map[string]*node{
			"labels": {Ref: "#/definitions/labels"},
			"deploy": {Properties: map[string]*node{"labels": {Ref: "#/definitions/labels"}}},
		}}}},
		Definitions: map[string]*node{"labels": labels},
	}
	var known []string
	for _, l := range s.looks() {
		known = append(known, l.key)
		root.Definitions[l.path] = l.value()
		ref := &node{Ref: "#/definitions/" + l.path}
		if l.star {
			labels.ByPattern["^"+prefix+"(?:"+routePattern+")?"+l.key+"$"] = ref
		} else {
			labels.Properties[s.Prefix+"."+l.path] = ref
			labels.ByPattern["^"+prefix+routePattern+l.key+"$"] = ref
		}
		labels.Items.AllOf = append(labels.Items.AllOf, l.item(prefix))
	}
	keys := "^" + prefix + "(?:" + routePattern + ")?(?:" + strings.Join(known, "|") + ")"
	unknown := "is not a label: `" + s.Prefix + ".KEY` or `" + s.Prefix + ".route.NAME.KEY`, NAME of a-z, 0-9, - and _"
	labels.Names = &node{If: &node{Pattern: "^" + prefix}, Then: &node{Pattern: keys + "$", Error: unknown}}
	labels.Items.AllOf = append(labels.Items.AllOf, &node{
		If:   &node{Type: []string{"string"}, Pattern: "^" + prefix},
		Then: &node{Pattern: keys + "=|^[^=]*" + interpolated, Error: unknown},
	})
	return root
}

// A look is what one label looks like to an editor.
type look struct {
	Row
	path string // the row's, or that of a kind without a label of its own
	key  string // pattern of it
	star bool
}

// looks returns all that can be written. A kind without a label of its own can
// be set to off.
func (s *Schema) looks() (all []look) {
	for _, k := range s.Kinds {
		if _, row, _ := s.find(k.Name); row == nil {
			off := Row{Type: "off", Doc: k.Doc + " `off`: all labels " + k.Name + ".… are back at their defaults.", Form: Form{Words: []string{"off"}}}
			all = append(all, look{Row: off, path: k.Name, key: literal(k.Name)})
		}
		for _, r := range k.Rows {
			l := look{Row: r, path: r.Path, key: literal(r.Path)}
			if stem, star := strings.CutSuffix(r.Path, "*"); star {
				l.key, l.star = literal(stem)+`[^=]+`, true
			}
			if r.Later {
				// off takes back what is not there.
				l.Form = Form{Words: []string{"off"}}
			}
			all = append(all, l)
		}
	}
	return all
}

// describe returns what an editor shows beside l.
func (l *look) describe() string {
	var b strings.Builder
	if l.Later {
		b.WriteString("Not yet: ")
	}
	b.WriteString(l.Doc)
	if l.Default != "" {
		b.WriteString("\n\nDefault: `" + l.Default + "`")
	}
	if l.Nginx != "" {
		b.WriteString("\n\nnginx: `" + l.Nginx + "`")
	}
	return b.String()
}

// wrong is the message about a value that cannot be right.
func (l *look) wrong() string {
	f := l.Form
	switch {
	case l.Later:
		return "is planned and does not work yet"
	case f.open():
		return "is empty: give it a value or remove it"
	case f.Pattern == "" && !f.Whole:
		return "is not one of " + strings.Join(f.Words, ", ")
	case f.Range != "":
		return "is not right: want " + l.Type + ", " + f.Range
	}
	return "is not right: want " + l.Type
}

// text returns the pattern of l's text behind the pattern before.
func (l *look) text(before string) string {
	p := l.Form.pattern()
	if p == "" {
		return before + `[\s\S]*\S`
	}
	return before + `\s*(?:` + p + `)\s*$|` + interpolated
}

// value returns the schema of l's value where labels are a map. What YAML reads
// as a number or a bool is a label's text too.
func (l *look) value() *node {
	n := &node{Description: l.describe(), Default: l.Default, Unsuggested: l.Later}
	if l.Example != "" {
		n.Examples = []string{l.Example}
	}
	if l.Form.open() {
		n.Type, n.Pattern, n.Error = []string{"string", "number", "boolean"}, l.text("^"), l.wrong()
		return n
	}
	if len(l.Form.Words) > 0 {
		words := &node{Error: l.wrong()}
		for _, word := range l.Form.Words {
			words.Enum = append(words.Enum, word)
		}
		n.AnyOf = append(n.AnyOf, words)
	}
	n.AnyOf = append(n.AnyOf, &node{Type: []string{"string"}, Pattern: l.text("^"), Error: l.wrong()})
	if l.Form.Whole {
		n.AnyOf = append(n.AnyOf, &node{Type: []string{"integer"}, Min: &l.Form.Min, Max: &l.Form.Max, Error: l.wrong()})
	}
	// Editors offer what an enum has. These are right, and there is a better way
	// to write them: of a double negation nothing is offered.
	n.AnyOf = append(n.AnyOf, &node{Not: &node{Not: &node{Enum: l.unquoted()}}})
	return n
}

// unquoted returns what YAML reads as something else than text, and is right.
func (l *look) unquoted() (all []any) {
	fits := regexp.MustCompile(l.text("^"))
	try := []any{false, true, 0, 1}
	for _, word := range l.Form.Words {
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			try = append(try, f) // 1.2 of tls.min-version
		}
	}
	for _, v := range try {
		if fits.MatchString(fmt.Sprint(v)) {
			all = append(all, v)
		}
	}
	return all
}

// item returns the schema of l where labels are a list: what holds of the items
// that begin with its key.
func (l *look) item(prefix string) *node {
	return &node{
		If:   &node{Type: []string{"string"}, Pattern: "^" + prefix + "(?:" + routePattern + ")?" + l.key + "="},
		Then: &node{Description: l.describe(), Pattern: l.text("^[^=]+="), Error: l.wrong()},
	}
}
