package label

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Sections of the reference, in its order.
const (
	SectionMatch  = "Which requests"
	SectionTarget = "Where they go"
	SectionLoad   = "How load is shared"
	SectionURL    = "What happens to the URL"
	SectionStatic = "Static assets"
	SectionPolicy = "Edge policy"
	SectionTLS    = "TLS"
	SectionTCP    = "TCP"
)

var sections = []string{SectionMatch, SectionTarget, SectionLoad, SectionURL, SectionStatic, SectionPolicy, SectionTLS, SectionTCP}

// A Schema is every label the program knows.
type Schema struct {
	Prefix string // "fairlead"
	Kinds  []Kind // by section, then as given

	byName map[string]*Kind
}

// NewSchema returns the schema of kinds. It panics on a key declared twice or
// a section that is none.
func NewSchema(prefix string, kinds ...Kind) *Schema {
	s := &Schema{Prefix: prefix, Kinds: slices.Clone(kinds), byName: map[string]*Kind{}}
	slices.SortStableFunc(s.Kinds, func(a, b Kind) int {
		return slices.Index(sections, a.Section) - slices.Index(sections, b.Section)
	})
	for i := range s.Kinds {
		k := &s.Kinds[i]
		if s.byName[k.Name] != nil || strings.Contains(k.Name, ".") || k.Name == "route" || !slices.Contains(sections, k.Section) {
			panic("label: wrong or repeated kind " + k.Name)
		}
		s.byName[k.Name] = k
	}
	return s
}

// Kind returns the kind called name, nil if there is none.
func (s *Schema) Kind(name string) *Kind { return s.byName[name] }

// Mentions reports whether any of labels is ours or looks like a misspelling
// of ours: whether the container is worth a closer look.
func (s *Schema) Mentions(labels map[string]string) bool {
	for name := range labels {
		if first, _, ok := s.cut(name); ok && (first == s.Prefix || s.misspelt(first)) {
			return true
		}
	}
	return false
}

// cut splits a label's name behind as many segments as the prefix has.
func (s *Schema) cut(name string) (first, key string, ok bool) {
	end := 0
	for range strings.Count(s.Prefix, ".") + 1 {
		dot := strings.IndexByte(name[end:], '.')
		if dot < 0 {
			return name, "", false
		}
		end += dot + 1
	}
	return name[:end-1], name[end:], true
}

// misspelt reports whether first was probably meant to be the prefix: two
// slips at most, and one where the prefix is short. A number or a word behind
// the prefix is no slip: fairlead2 and fairlead-lan are other proxies.
func (s *Schema) misspelt(first string) bool {
	slips := min(2, len(s.Prefix)/4)
	if first == s.Prefix || len(first) > 2*len(s.Prefix) {
		return false
	}
	if more, ok := strings.CutPrefix(first, s.Prefix); ok && strings.ContainsAny(more[:1], "0123456789-_") {
		return false
	}
	a, b := fold(first), fold(s.Prefix)
	// Most labels of others are seen to be none of ours by their length.
	return len(a)-len(b) <= slips && len(b)-len(a) <= slips && distance(a, b) <= slips
}

// found is what the schema knows about a key.
type found struct {
	kind *Kind // nil if there is none
	row  *Row  // nil if the kind has no such label
	arg  string
	// Of a key without row: what it was most likely meant to be.
	near     string
	nearKind *Kind
}

// resolve looks up what set's key means, once for all routes that inherit it.
func (s *Schema) resolve(set Setting) found {
	if set.at != nil {
		return *set.at
	}
	var at found
	if at.kind, at.row, at.arg = s.find(set.Key); at.row == nil {
		at.near, at.nearKind = s.nearest(set.Key)
	}
	return at
}

// find returns the kind and row of key, with what stands for the row's "*".
// row is nil where the kind has no such label, kind too where there is none.
func (s *Schema) find(key string) (k *Kind, r *Row, arg string) {
	name, _, _ := strings.Cut(key, ".")
	k = s.byName[name]
	if k == nil {
		return nil, nil, ""
	}
	for i := range k.Rows {
		stem, star := strings.CutSuffix(k.Rows[i].Path, "*")
		switch {
		case !star && stem == key:
			return k, &k.Rows[i], ""
		case star && len(key) > len(stem) && strings.HasPrefix(key, stem):
			return k, &k.Rows[i], key[len(stem):]
		}
	}
	return k, nil, ""
}

func (s *Schema) has(key string) bool { _, r, _ := s.find(key); return r != nil }

func (s *Schema) keys() iter.Seq[string] { return maps.Keys(s.byName) }

// below lists the labels of k, for a message about an incomplete one.
func (k *Kind) below() string {
	var names []string
	for _, r := range k.Rows {
		names = append(names, strings.ReplaceAll(r.Path, "*", "NAME"))
	}
	return strings.Join(names, ", ")
}

// CheckDefault reports what is wrong with text as the operator's default for key.
func (s *Schema) CheckDefault(key, text string) error {
	k, r, arg := s.find(key)
	switch {
	case r == nil:
		if near, _ := s.nearest(key); near != "" {
			return fmt.Errorf("unknown label %q, did you mean %q?", key, near)
		}
		return fmt.Errorf("unknown label %q", key)
	case k.Inherit != AsPolicy:
		return fmt.Errorf("%s is not a policy that a default could set", key)
	case r.Later:
		return fmt.Errorf("%s is planned and does not work yet", key)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return fmt.Errorf("%s is empty", key)
	}
	o := k.fresh()
	err := r.set(o, arg, text)
	if err == nil && k.check != nil {
		err = k.check(o)
	}
	if err != nil && !isHint(err) {
		return fmt.Errorf("%s=%s %w", key, text, err)
	}
	return nil
}
