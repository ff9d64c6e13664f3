package discovery

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// flush publishes if anything is different from the last time.
func (l *loop) flush() {
	l.pending, l.urgent = false, false
	s := l.snapshot()
	if l.last != nil && same(*l.last, s) {
		return
	}
	l.last, l.first = &s, nil
	l.status.published(len(s.Workloads), s.Stale)
	l.publish(s)
}

func same(a, b spec.Snapshot) bool {
	return a.Stale == b.Stale && slices.Equal(a.Workloads, b.Workloads) && reflect.DeepEqual(a.Self, b.Self)
}

// snapshot is the model as the rest of the program sees it. Workloads that did
// not change keep their pointer. It costs what was altered since the last one,
// and a copy of the list of pointers.
func (l *loop) snapshot() spec.Snapshot {
	l.forget(time.Now())
	l.workloads = l.patched(l.workloads)
	if l.moved {
		l.place, l.moved = l.self(), false
	}
	return spec.Snapshot{Workloads: l.workloads, Self: l.place, Stale: l.stale}
}

// patched is old, which others hold and which stays as it is, with the altered
// items' workloads built anew.
func (l *loop) patched(old []*spec.Workload) []*spec.Workload {
	ids := l.takeAltered()
	if len(ids) == 0 {
		return old
	}
	out := make([]*spec.Workload, 0, len(old)+len(ids))
	for _, id := range ids {
		i, found := slices.BinarySearchFunc(old, id, func(w *spec.Workload, id string) int { return strings.Compare(w.ID, id) })
		out, old = append(out, old[:i]...), old[i:]
		if found {
			old = old[1:]
		}
		if it := l.items[id]; it != nil && l.shown(it) {
			out = append(out, l.rebuilt(it))
		}
		l.moved = l.moved || id == l.selfID
	}
	return append(out, old...)
}

// takeAltered returns the ids of the altered items, sorted.
func (l *loop) takeAltered() []string {
	ids := make([]string, len(l.altered))
	for i, it := range l.altered {
		ids[i], it.altered = it.id, false
	}
	clear(l.altered)
	l.altered = l.altered[:0]
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (l *loop) rebuilt(it *item) *spec.Workload {
	if w := l.workload(it); it.w == nil || !reflect.DeepEqual(it.w, w) {
		it.w = w
	}
	return it.w
}

// workload puts the facts into the form the rest of the program reads. What it
// reads beside the item must be followed by alter when it changes.
func (l *loop) workload(it *item) *spec.Workload {
	known := l.known(it)
	w := &spec.Workload{
		ID: it.id, Name: it.name, Labels: it.all,
		Project: it.project(), Service: it.service(), OneOff: oneOff(it.labels),
		Created: it.created, StartedAt: it.started,
		State: it.state(l.draining.has(it.id), known), Health: it.health,
		Exposed: it.exposed, Published: it.published,
		HostNet: it.mode == "host", Mounts: it.mounts, MountsUnknown: !it.full,
	}
	w.Reason = it.reason(w.State)
	// Swarm keeps a service's stop_grace_period to itself.
	if it.full && (it.stopTimeout != engineDefault || it.labels[taskOf] == "") {
		w.StopTimeout = l.grace(it)
	}
	if seen, ok := l.ignored[succession(it)]; ok && seen.launch == it.launch {
		w.IgnoredStop = seen.IgnoredStop
	}
	if it.id == l.selfID {
		w.Source = spec.FromSelf
	}
	home := it
	if ref := it.joins(); ref != "" {
		w.NetworkOf = ref
		home = l.owner(it)
		if home != nil {
			w.NetworkOf, w.HostNet = home.name, home.mode == "host"
			if len(w.Published) == 0 {
				w.Published = home.published
			}
		}
	}
	if known && it.run() && home != nil && home.run() && !home.started.After(it.started) {
		// Where the owner has started again since, the namespace that was joined
		// is no more, and nothing reaches this container until it restarts too.
		w.Networks = l.attachments(home.places)
	}
	return w
}

// known reports whether enough is known of a running container to send it
// requests. Without its start time a run has no name, and its address may have
// been handed on since the list; without its service's labels it may lack the
// one that protects it.
func (l *loop) known(it *item) bool {
	return !it.unserved && (it.full || it.meagre || !l.wanted(it))
}

func (l *loop) attachments(places []place) []spec.Attachment {
	var out []spec.Attachment
	for _, p := range places {
		n, ok := l.networks[p.networkID]
		if n.ingress || !ok && p.network == ingress {
			continue
		}
		out = append(out, spec.Attachment{Network: p.network, Key: n.key, Driver: n.driver, IPv4: p.ip4, IPv6: p.ip6})
	}
	return out
}

// shown reports whether a container belongs in the snapshot.
func (l *loop) shown(it *item) bool {
	return it.id == l.selfID || l.inProjects(it)
}

func (l *loop) inProjects(it *item) bool {
	return len(l.cfg.Projects) == 0 || slices.Contains(l.cfg.Projects, it.project())
}

// wanted reports whether a container is worth an inspect: by its labels, or
// because it holds the addresses of one that is.
func (l *loop) wanted(it *item) bool {
	if l.asked(it) {
		return true
	}
	for g := range l.guestsOf(it) {
		if l.asked(g) {
			return true
		}
	}
	return false
}

func (l *loop) asked(it *item) bool {
	if it.id == l.selfID || l.maybeSelf(it) {
		return true
	}
	if !l.inProjects(it) {
		return false
	}
	return l.cfg.Wants == nil || l.cfg.Wants(it.all)
}
