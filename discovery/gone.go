package discovery

import (
	"slices"
	"time"
)

// maxGone bounds how many removed containers are remembered.
const maxGone = 1000

// remove turns an item into one that is gone. It is forgotten when nobody would
// miss it.
func (l *loop) remove(it *item) {
	l.draining.delete(it.id)
	l.retry.delete(it.id)
	delete(l.dirty, it.id)
	delete(l.first, it.id)
	it.left, it.places = time.Now(), nil
	l.removed = append(l.removed, it)
	l.late.add(succession(it), it)
	l.alter(it)
	l.log.Debug().Str("container", it.name).Msg("container removed")
}

// forget drops removed containers whose time is over, whose service has other
// containers, or that had no say in anything. Whether that is so changes only with the
// container itself or one of its kin.
func (l *loop) forget(now time.Time) {
	if len(l.removed) == 0 {
		return
	}
	known, over := len(l.items), len(l.removed)-maxGone
	for i, it := range l.removed { // the first first
		if i >= over && now.Sub(it.left) < l.timing.Remember {
			break
		}
		l.drop(it)
	}
	for before := -1; before != len(l.items); { // one that goes may leave another without a say
		before = len(l.items)
		for i := 0; i < len(l.altered); i++ { // it grows
			l.reconsider(l.altered[i])
		}
	}
	if len(l.items) < known {
		l.removed = slices.DeleteFunc(l.removed, func(it *item) bool { return l.items[it.id] != it })
	}
}

// reconsider forgets a removed container, or those that it followed.
func (l *loop) reconsider(it *item) {
	switch {
	case l.items[it.id] != it:
	case it.stands():
		for _, r := range slices.Clone(l.late[succession(it)]) {
			l.drop(r)
		}
	case it.gone() && (oneOff(it.labels) || !l.wanted(it) || l.followed(it)):
		l.drop(it)
	}
}

// followed reports whether one of its kin is still there.
func (l *loop) followed(r *item) bool {
	return slices.ContainsFunc(l.kin[succession(r)], (*item).stands)
}

// stands reports whether it keeps the routes of its kin, so that one of them
// that is removed need not be remembered for that. A one-off container serves
// nothing.
func (it *item) stands() bool { return !it.gone() && !oneOff(it.labels) }

// succession is what a removed container and its successor have in common: the
// service of the project, else the name.
func succession(it *item) string {
	project, service := it.project(), it.service()
	if project == "" && service == "" {
		return it.name
	}
	return project + "\x00" + service
}
