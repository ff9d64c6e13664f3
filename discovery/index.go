package discovery

import (
	"iter"
	"slices"
	"strings"
)

// An index holds the items and the ways to find those that a change concerns:
// with ten thousand containers none may walk all of them. It also notes whose
// workloads are to be built anew.
type index struct {
	items   map[string]*item       // by id
	called  multi                  // by name, and by the first digits of the id
	guests  multi                  // that joined a network namespace, by what they call its owner
	kin     multi                  // by succession
	late    multi                  // those of kin that are gone
	tasks   multi                  // of Swarm services, by the service's id
	ignored map[string]ignoredStop // by succession, of those in kin
	altered []*item
}

func newIndex() index {
	return index{items: map[string]*item{}, called: multi{}, guests: multi{}, kin: multi{}, late: multi{}, tasks: multi{}, ignored: map[string]ignoredStop{}}
}

// A multi holds the items that share a key.
type multi map[string][]*item

func (m multi) add(key string, it *item) {
	if key != "" {
		m[key] = append(m[key], it)
	}
}

func (m multi) remove(key string, it *item) {
	kept := slices.DeleteFunc(m[key], func(o *item) bool { return o == it })
	if len(kept) == 0 {
		delete(m, key)
		return
	}
	m[key] = kept
}

// short is as much of an id as names its container.
func short(s string) string { return s[:min(12, len(s))] }

// put replaces what the engine said of a container, which may be new. Nothing
// else changes a name, labels, a mode or the time of creation.
func (x *index) put(it *item, f facts) {
	before := ""
	if x.items[it.id] == it {
		before = succession(it)
		x.alter(it)
		x.each(it, multi.remove)
	}
	it.facts = f
	x.items[it.id] = it
	x.each(it, multi.add)
	x.abandon(before)
	x.alter(it)
}

// drop forgets a container.
func (x *index) drop(it *item) {
	x.alter(it)
	x.each(it, multi.remove)
	x.late.remove(succession(it), it)
	x.abandon(succession(it))
	delete(x.items, it.id)
}

// abandon forgets what was seen of a succession that nobody belongs to any more.
func (x *index) abandon(key string) {
	if len(x.kin[key]) == 0 {
		delete(x.ignored, key)
	}
}

// each does the same with every place an item has in the index.
func (x *index) each(it *item, do func(m multi, key string, it *item)) {
	do(x.called, it.name, it)
	if s := short(it.id); s != it.name {
		do(x.called, s, it)
	}
	for _, key := range keys(it.joins()) {
		do(x.guests, key, it)
	}
	do(x.kin, succession(it), it)
	do(x.tasks, it.labels[taskOf], it)
}

// keys are what called and guests may know a reference by.
func keys(ref string) []string {
	if s := short(ref); s != ref {
		return []string{ref, s}
	}
	return []string{ref}
}

// alter notes that a container's workload is to be built anew, and with it
// those that depend on it: its guests have its addresses, and whether it is
// wanted depends on its guests.
func (x *index) alter(it *item) {
	x.note(it)
	for o := range x.guestsOf(it) {
		x.note(o)
	}
	for o := range x.hostsOf(it) {
		x.note(o)
	}
}

func (x *index) note(it *item) {
	if !it.altered {
		it.altered = true
		x.altered = append(x.altered, it)
	}
}

// guestsOf are the containers that joined the network namespace of o.
func (x *index) guestsOf(o *item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, key := range []string{o.name, short(o.id)} {
			for _, g := range x.guests[key] {
				if g.joined(o) && !yield(g) {
					return
				}
			}
		}
	}
}

// hostsOf are the containers whose network namespace it may have joined: more
// than one only while names change hands.
func (x *index) hostsOf(it *item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, key := range keys(it.joins()) {
			for _, o := range x.called[key] {
				if it.joined(o) && !yield(o) {
					return
				}
			}
		}
	}
}

// owner finds the container whose network namespace it uses, nil if it has its
// own.
func (x *index) owner(it *item) *item {
	if o := x.items[it.joins()]; o != nil {
		return o
	}
	var owner *item
	for o := range x.hostsOf(it) {
		if !o.gone() && (owner == nil || o.id < owner.id) {
			owner = o
		}
	}
	return owner
}

// joins is what f calls the container whose network namespace it uses, "" if
// it has its own.
func (f *facts) joins() string {
	ref, _ := strings.CutPrefix(f.mode, "container:")
	if ref == f.mode {
		return ""
	}
	return ref
}

// joined reports whether f means o. The engine writes the id, others the name
// or the first digits of the id.
func (f *facts) joined(o *item) bool {
	ref := f.joins()
	return ref != "" && (ref == o.name || ref == o.id || len(ref) >= 12 && strings.HasPrefix(o.id, ref))
}
