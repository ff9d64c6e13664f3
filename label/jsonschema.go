package label

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// object is a JSON object. Its keys are written in order.
type object = map[string]any

// WriteJSONSchema writes a JSON Schema (draft 7, which editors know best) of
// compose files. It says what our labels may be, and nothing of the rest, so that
// it goes beside the schema of Compose.
func (s *Schema) WriteJSONSchema(w io.Writer) error {
	labels := object{"$ref": "#/definitions/labels"}
	service := object{"properties": object{
		"labels": labels,
		"deploy": object{"properties": object{"labels": labels}},
	}}
	definitions := object{"labels": object{"anyOf": []object{s.mapForm(), s.listForm()}}}
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			definitions[r.Path] = s.valueSchema(&k, &r)
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(object{
		"$schema": "http://json-schema.org/draft-07/schema#", "title": s.Prefix + " labels in a compose file",
		"properties":  object{"services": object{"additionalProperties": service}},
		"definitions": definitions,
	})
}

// namedRoute is how a key of a named route begins, behind the prefix.
const namedRoute = `route\.[a-z0-9][a-z0-9_-]*\.`

// mapForm: labels as a map.
func (s *Schema) mapForm() object {
	plain, patterns, keys, routed := object{}, object{}, []string{}, []string{}
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			ref := object{"$ref": "#/definitions/" + r.Path}
			expr := keyExpr(r.Path)
			keys = append(keys, expr)
			if k.Inherit != Container {
				routed = append(routed, expr)
				patterns["^"+regexp.QuoteMeta(s.Prefix)+`\.`+namedRoute+expr+"$"] = ref
			}
			if strings.Contains(r.Path, "*") {
				patterns["^"+regexp.QuoteMeta(s.Prefix)+`\.`+expr+"$"] = ref
			} else {
				plain[s.Prefix+"."+r.Path] = ref // by which editors complete
			}
		}
	}
	return object{
		"type": "object", "properties": plain, "patternProperties": patterns,
		"propertyNames": s.ours("$", keys, routed),
	}
}

// listForm: labels as a list of name=value.
func (s *Schema) listForm() object {
	var keys, routed []string
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			value := r.expr()
			if value == "" {
				value = `[\s\S]*`
			}
			keys = append(keys, keyExpr(r.Path)+"=(?:"+value+")")
			if k.Inherit != Container {
				routed = append(routed, keys[len(keys)-1])
			}
		}
	}
	return object{"type": "array", "items": s.ours("$", keys, routed)}
}

// ours allows strings that are none of ours, and those of ours that go on as one
// of main says, or of routed below a named route.
func (s *Schema) ours(end string, main, routed []string) object {
	prefix := "^" + regexp.QuoteMeta(s.Prefix) + `\.`
	return object{"anyOf": []object{
		{"not": object{"pattern": prefix}},
		{"pattern": prefix + "(?:" + strings.Join(main, "|") + ")" + end},
		{"pattern": prefix + namedRoute + "(?:" + strings.Join(routed, "|") + ")" + end},
	}}
}

func keyExpr(path string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(path), `\*`, `[^=]+`)
}

// expr returns an expression of what stands for r in a file, "" for anything: a
// value, perhaps with variables of Compose in it, or off.
func (r *Row) expr() string {
	if r.form.Pattern == "" {
		return ""
	}
	return `\s*(?:` + r.form.Pattern + "|" + anyCase("off", "false") + `)\s*|[\s\S]*\$[\s\S]*`
}

// valueSchema returns the schema of one label.
func (s *Schema) valueSchema(k *Kind, r *Row) object {
	out := object{"description": s.words(k, r)}
	if r.Default != "" {
		out["default"] = r.Default
	}
	if r.Example != "" {
		out["examples"] = []string{r.Example}
	}
	expr := r.expr()
	if expr == "" {
		// YAML makes numbers and truth of some texts, and Compose texts of them.
		out["type"] = []string{"string", "number", "boolean"}
		return out
	}
	any := []object{{"type": "string", "pattern": "^(?:" + expr + ")$"}}
	if r.form.Choices != nil {
		any = append([]object{{"enum": r.form.Choices}}, any...)
	}
	if r.form.Lo != r.form.Hi {
		any = append(any, object{"type": "integer", "minimum": r.form.Lo, "maximum": r.form.Hi})
	}
	any = append(any, object{"type": "boolean"}) // true and false, and off by way of them
	out["anyOf"] = any
	return out
}

// words describes a label in one paragraph.
func (s *Schema) words(k *Kind, r *Row) string {
	out := r.Doc
	if r.Later {
		return "Not yet: " + out
	}
	if r.Default != "" {
		out += fmt.Sprintf(" Default: %s.", r.Default)
	}
	if r.Nginx != "" {
		out += fmt.Sprintf(" In nginx: %s.", r.Nginx)
	}
	if k.FailClosed {
		out += " A mistake refuses the route."
	}
	return out
}
