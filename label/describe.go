package label

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Lookup returns the labels that word is about, which may have our prefix or be
// of a named route: the one called so, else those below it, else those that do
// what the directive of nginx does. nearest is what word was probably meant to
// be if there are none.
func (s *Schema) Lookup(word string) (found []Entry, nearest string) {
	key := strings.TrimPrefix(word, s.Prefix+".")
	if rest, named := strings.CutPrefix(key, "route."); named {
		if _, below, ok := strings.Cut(rest, "."); ok {
			key = below
		}
	}
	key = strings.TrimSuffix(key, ".")
	if k, r, arg := s.find(key); r != nil {
		return []Entry{{Kind: k, Row: r, Arg: arg}}, ""
	}
	for _, is := range []func(*Row) bool{
		func(r *Row) bool { return strings.HasPrefix(r.Path, key+".") || r.Path == key },
		func(r *Row) bool { return strings.HasPrefix(r.Path, key) },
		func(r *Row) bool { return slices.Contains(strings.FieldsFunc(r.Nginx, notWord), key) },
	} {
		for i := range s.Kinds {
			for j := range s.Kinds[i].Rows {
				if r := &s.Kinds[i].Rows[j]; is(r) {
					found = append(found, Entry{Kind: &s.Kinds[i], Row: r})
				}
			}
		}
		if len(found) > 0 {
			return found, ""
		}
	}
	nearest, _ = s.nearest(key)
	return nil, nearest
}

func notWord(r rune) bool {
	return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
}

// An Entry is one label of the schema.
type Entry struct {
	*Kind
	*Row
	Arg string // what stands for the row's "*", "" if that is not said
}

// Name returns the label's name with NAME, or what was asked for, in the place of
// what the user chooses.
func (e Entry) Name(prefix string) string {
	arg := e.Arg
	if arg == "" {
		arg = "NAME"
	}
	return prefix + "." + strings.Replace(e.Path, "*", arg, 1)
}

// Line returns the label as it is written in a compose file.
func (e Entry) Line(prefix string) string {
	key := e.Arg
	if key == "" {
		key = e.Key
	}
	return prefix + "." + strings.Replace(e.Path, "*", key, 1) + `: "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "$", "$$").Replace(e.Example) + `"`
}

// Describe writes all there is to know of e.
func (s *Schema) Describe(w io.Writer, e Entry) error {
	var b strings.Builder
	b.WriteString(e.Name(s.Prefix) + "\n\n")
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", name, text)
		}
	}
	b.WriteString("  " + e.Row.Doc + "\n\n")
	if e.Later() {
		b.WriteString("  It is not built yet: used, it is Problem not-yet.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	line("values", e.Type)
	if e.Default == "" {
		line("default", "none")
	} else {
		line("default", strings.ReplaceAll(e.Default, "\n", ", "))
	}
	line("example", e.Line(s.Prefix))
	line("in nginx", e.Nginx)
	line("scope", e.scope())
	line("inherit", e.inherited())
	if e.FailClosed {
		line("mistakes", "refuse the route: it narrows or protects")
	} else {
		line("mistakes", "cost the label, which is then as if it were not there")
	}
	if others := e.siblings(s.Prefix); others != "" {
		line("see also", others)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Later reports whether the label is known and not built yet.
func (e Entry) Later() bool { return e.Row.Later || e.Kind.Later }

func (e Entry) scope() string {
	switch e.Level {
	case PerEndpoint:
		return "each container of a service has its own"
	case PerPool:
		return "one for all containers that share the load, from those made last"
	}
	return "one for all containers of a service, from those made last"
}

// inheritance says who has a label from elsewhere.
var inheritance = map[Inherit]string{
	Own:       "a named route does not take it over from the main labels",
	AsTarget:  "a named route takes it over from the main labels",
	AsPolicy:  "a named route takes it over from the main labels, and --default sets it for all routes",
	Container: "it is about the container, not about a route",
}

func (e Entry) inherited() string {
	if e.Kind.Name == "host" {
		return "a named route takes it over from the main labels, unless it has hosts of its own"
	}
	return inheritance[e.Inherit]
}

// siblings lists the other labels of e's kind.
func (e Entry) siblings(prefix string) string {
	var out []string
	for i := range e.Rows {
		if r := &e.Rows[i]; r.Path != e.Path {
			out = append(out, prefix+"."+strings.Replace(r.Path, "*", "NAME", 1))
		}
	}
	return strings.Join(out, ", ")
}
