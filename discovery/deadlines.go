package discovery

import (
	"slices"
	"time"
)

// deadlines are moments by container. Whether one has come is known without
// looking at all of them.
type deadlines struct {
	at map[string]time.Time
	// none of them is earlier; zero if there is none. What was deleted may
	// leave it too early, which costs one look.
	soonest time.Time
}

func (d *deadlines) set(id string, t time.Time) {
	if d.at == nil {
		d.at = make(map[string]time.Time)
	}
	d.at[id] = t
	if d.soonest.IsZero() || t.Before(d.soonest) {
		d.soonest = t
	}
}

func (d *deadlines) has(id string) bool {
	_, ok := d.at[id]
	return ok
}

func (d *deadlines) delete(id string) { delete(d.at, id) }

// take removes those that have come and returns their containers, sorted.
func (d *deadlines) take(now time.Time) []string {
	if d.soonest.IsZero() || now.Before(d.soonest) {
		return nil
	}
	var come []string
	d.soonest = time.Time{}
	for id, t := range d.at {
		switch {
		case !now.Before(t):
			come = append(come, id)
			delete(d.at, id)
		case d.soonest.IsZero() || t.Before(d.soonest):
			d.soonest = t
		}
	}
	slices.Sort(come)
	return come
}
