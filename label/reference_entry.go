package label

import (
	"slices"
	"strings"
)

// An Entry is all that is to be known of one label, for people and tools.
type Entry struct {
	Label   string `json:"label"` // NAME in it stands for what the user names
	Key     string `json:"key"`   // without the prefix
	Kind    string `json:"kind"`  // "timeout" of timeout.connect
	Section string `json:"section"`
	Doc     string `json:"doc"`
	Type    string `json:"type"` // "duration"
	// Words are values to choose from; all there are unless Type names more.
	Words   []string `json:"words,omitempty"`
	NotYet  []string `json:"not_yet,omitempty"` // words that are known and not built yet
	Range   string   `json:"range,omitempty"`   // "1ms to 1m"
	Default string   `json:"default,omitempty"` // "" if there is none
	Example string   `json:"example,omitempty"` // a line of a compose file; "" if the label is not built yet
	Nginx   string   `json:"nginx,omitempty"`   // what nginx calls it
	// Inherited: a named route has it from the main labels, unless it has its own.
	Inherited bool `json:"inherited"`
	// OfContainer: it belongs to the container, and is no label of a route.
	OfContainer bool `json:"of_container"`
	// Policy: --default may set it for all routes.
	Policy bool `json:"policy"`
	// FailClosed: a mistake in it refuses the route. Others cost themselves alone.
	FailClosed bool `json:"fail_closed"`
	// PerEndpoint: each container of a service has its own. Elsewhere the newest
	// generation's holds for all.
	PerEndpoint bool `json:"per_endpoint"`
	// OffIsValue: "off" is a value here. Elsewhere it means the default.
	OffIsValue bool `json:"off_is_value"`
	Later      bool `json:"later"` // known, and not built yet
}

// Entries returns every label, in the order of the reference.
func (s *Schema) Entries() (all []Entry) {
	for i := range s.Kinds {
		all = append(all, s.entries(&s.Kinds[i])...)
	}
	return all
}

func (s *Schema) entries(k *Kind) (all []Entry) {
	for i := range k.Rows {
		all = append(all, s.entry(k, &k.Rows[i]))
	}
	return all
}

func (s *Schema) entry(k *Kind, r *Row) Entry {
	key := strings.Replace(r.Path, "*", "NAME", 1)
	e := Entry{
		Label: s.Prefix + "." + key, Key: key, Kind: k.Name, Section: k.Section, Doc: r.Doc, Type: r.Type, Words: r.Form.Words, NotYet: r.Form.Later, Range: r.Form.Range, Default: r.Default, Nginx: r.Nginx,
		Inherited: k.inherited(), OfContainer: k.Inherit == Container, Policy: k.Inherit == AsPolicy && !r.Later,
		FailClosed: k.FailClosed, PerEndpoint: k.Level == PerEndpoint, OffIsValue: r.off, Later: r.Later,
	}
	if !r.Later {
		e.Example = s.Prefix + "." + strings.Replace(r.Path, "*", r.Key, 1) + ": " + composeText(r.Example)
	}
	return e
}

// inherited reports whether named routes take k over. Hosts are inherited too,
// by those that have none.
func (k *Kind) inherited() bool {
	return k.Inherit == AsTarget || k.Inherit == AsPolicy || k.Name == "host"
}

// composeText writes a value as a compose file has it: quoted, for YAML reads
// off, 0600 and *.x as something else, and with a dollar doubled, for compose
// puts variables in the place of single ones.
func composeText(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "$", "$$").Replace(text) + `"`
}

// An Answer is what the reference has to say to a key.
type Answer struct {
	// Entry is the label that was asked for, nil if there is more than one.
	Entry *Entry `json:"label,omitempty"`
	// Others are further labels of its kind, or those that were asked for.
	Others []Entry `json:"others,omitempty"`
	// Kind is that of all of them, "" if there are several; Doc is what it is for.
	Kind string `json:"kind,omitempty"`
	Doc  string `json:"doc,omitempty"`
	// Near is the label that was most likely meant, where there is none.
	Near string `json:"near,omitempty"`
	// Wrong is what is the matter with the name in front of the key.
	Wrong string `json:"wrong,omitempty"`
}

// Ask looks up what a user calls a label: its key or the beginning of one, with
// or without the prefix and the name of a route, or nginx's word for it.
func (s *Schema) Ask(word string) Answer {
	key := strings.TrimSuffix(strings.TrimPrefix(word, s.Prefix+"."), ".")
	if name, _, _ := strings.Cut(strings.TrimPrefix(key, "route."), "."); key == "route" || key == "route."+name {
		return Answer{Doc: s.ofRoutes()}
	}
	route, below, wrong := s.place(strings.ReplaceAll(key, "*", "NAME"))
	if rest, ok := strings.CutPrefix(key, "route.NAME."); ok {
		route, below, wrong = "NAME", rest, nil // as the reference itself writes it
	}
	if wrong == nil && below != "" {
		if a, ok := s.exact(below); ok {
			return a.of(route, s.Prefix)
		}
		if a, ok := s.likely(below); ok {
			return a.of(route, s.Prefix)
		}
	}
	if wrong != nil {
		return Answer{Near: wrong.Suggest, Wrong: wrong.Message}
	}
	return Answer{Near: s.meant(route, below)}
}

func (s *Schema) ofRoutes() string {
	return "`" + s.Prefix + ".route.NAME.KEY` is the label KEY of one more route of the container; NAME is of a-z, 0-9, - and _. " +
		"It has from the main labels the host, unless it has its own, and what says where requests go and what policies hold; never what else it matches, or what ends a route."
}

// exact answers for the label or kind called key.
func (s *Schema) exact(key string) (a Answer, ok bool) {
	k, row, _ := s.find(key)
	if row == nil {
		k, row, _ = s.find(key + ".NAME") // header.response
	}
	switch {
	case row != nil:
		e := s.entry(k, row)
		a.Entry = &e
	case k == nil || k.Name != key:
		return a, false
	}
	a.Kind, a.Doc = k.Name, k.Doc
	for _, e := range s.entries(k) {
		if a.Entry == nil || e.Label != a.Entry.Label {
			a.Others = append(a.Others, e)
		}
	}
	return a, true
}

// likely answers for the labels whose key begins with word or which nginx calls
// so; failing that, for those whose nginx word begins so, as proxy_ does.
func (s *Schema) likely(word string) (a Answer, ok bool) {
	a, ok = s.these(func(e Entry) bool { return strings.HasPrefix(e.Key, word) || slices.Contains(e.Directives(), word) })
	if ok || !strings.Contains(word, "_") {
		return a, ok
	}
	return s.these(func(e Entry) bool {
		return slices.ContainsFunc(e.Directives(), func(d string) bool { return strings.HasPrefix(d, word) })
	})
}

// Directives returns nginx's words: "server" and "max_conns" of "server max_conns=".
func (e *Entry) Directives() (all []string) {
	for part := range strings.SplitSeq(e.Nginx, ",") {
		part = strings.TrimSpace(part)
		name, more, _ := strings.Cut(part, " ")
		all = append(all, part, name)
		if more != "" && name == "server" {
			all = append(all, strings.TrimSuffix(more, "="))
		}
	}
	return all
}

// these answers for the labels for which want holds.
func (s *Schema) these(want func(Entry) bool) (Answer, bool) {
	all := slices.DeleteFunc(s.Entries(), func(e Entry) bool { return !want(e) })
	switch len(all) {
	case 0:
		return Answer{}, false
	case 1:
		return s.exact(strings.Replace(all[0].Key, "NAME", "*", 1))
	}
	return Answer{Others: all}, true
}

// of returns a as it holds for the route called name, "" for the main one.
func (a Answer) of(name, prefix string) Answer {
	if name != "" && a.Entry != nil {
		e := *a.Entry
		e.Key = "route." + name + "." + e.Key
		e.Label = prefix + "." + e.Key
		if e.Example != "" {
			e.Example = prefix + ".route." + name + strings.TrimPrefix(e.Example, prefix)
		}
		a.Entry = &e
	}
	return a
}

// meant returns the label that key of the route called name was most likely
// meant to be, "" if nothing is near.
func (s *Schema) meant(name, key string) string {
	near, _ := s.nearest(key)
	switch {
	case near == "":
		return ""
	case name != "":
		near = "route." + name + "." + near
	}
	return s.Prefix + "." + near
}
