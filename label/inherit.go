package label

import (
	"maps"
	"strings"
)

// For returns the settings of the route called name ("" is the main one):
// defaults, then what it inherits from the main labels, then its own.
func (s *Schema) For(l Labels, name string, defaults []Setting) map[string]Setting {
	out := map[string]Setting{}
	for _, d := range defaults {
		out[d.Key] = d
	}
	if name == "" {
		s.overlay(out, l.Main)
		return out
	}
	own := l.Routes[name]
	inherited := map[string]Setting{}
	for key, set := range l.Main {
		if s.inherits(set, own) {
			inherited[key] = set
		}
	}
	s.overlay(out, inherited)
	s.overlay(out, own)
	return out
}

// inherits reports whether a named route with its own settings takes over set
// of the main labels. An unknown key goes where its nearest relative would, so
// that a misspelt `allow` refuses the same routes that `allow` would narrow.
func (s *Schema) inherits(set Setting, own map[string]Setting) bool {
	at := s.resolve(set)
	k := at.kind
	if k == nil {
		k = at.nearKind
	}
	switch {
	case k == nil:
		return false
	case k.Name == "host":
		_, host := own["host"]
		_, tcp := own["tcp"]
		return !host && !tcp
	}
	return k.Inherit == AsTarget || k.Inherit == AsPolicy
}

// overlay puts over on top of out. A kind set to off takes away what was below
// it, a label set to off is back at its default. Names of headers have no case:
// header.response.server takes the place of header.response.Server.
func (s *Schema) overlay(out, over map[string]Setting) {
	off, folded := map[string]bool{}, map[string]bool{}
	for key, set := range over {
		at := s.resolve(set)
		switch {
		case at.kind == nil || set.stray != nil:
		case at.kind.Name == key && isOff(set.Text):
			off[key] = true
		case at.arg != "":
			folded[strings.ToLower(key)] = true
		}
	}
	maps.DeleteFunc(out, func(key string, _ Setting) bool {
		name, _, _ := strings.Cut(key, ".")
		return off[name] || len(folded) > 0 && folded[strings.ToLower(key)]
	})
	for key, set := range over {
		at := s.resolve(set)
		if at.kind != nil && set.stray == nil && isOff(set.Text) && (at.row == nil && at.kind.Name == key || at.row != nil && !at.row.off) {
			delete(out, key)
			continue
		}
		out[key] = set
	}
}

// isOff reads off, and False, which YAML loaders make of it.
func isOff(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	return text == "off" || text == "false"
}
