package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairlead/fairlead/internal/statefile"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// An orderBook has what the operator ordered at run time, and outlives the
// process. Commands write it down, and so does the start of the process; orders
// that end do not, for until it has drained a process that was replaced has an
// older book on the same directory.
type orderBook struct {
	file statefile.File
	log  zerolog.Logger

	mu  sync.Mutex // guards now
	now *spec.Control

	saving sync.Mutex // held while the file is written; before mu
	saved  *spec.Control
}

// load reads the book. One that cannot be read is set aside under the name it
// returns, and the book is empty.
func (b *orderBook) load() (setAside string, err error) {
	read := &spec.Control{}
	if setAside, err = b.file.Load(read); err != nil {
		read = &spec.Control{}
	}
	b.now, b.saved = read, read
	return setAside, err
}

// loadAgain is load for a book in use, which it leaves as it is if the file
// cannot be read.
func (b *orderBook) loadAgain() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	read := &spec.Control{}
	if _, err := b.file.Load(read); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.saved = read, read
	return nil
}

// save writes the book down if it changed.
func (b *orderBook) save() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	now := b.current()
	if now == b.saved {
		return nil
	}
	if err := b.file.Save(now); err != nil {
		return err
	}
	b.saved = now
	return nil
}

// current returns the orders as they are. Nobody may change them.
func (b *orderBook) current() *spec.Control {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// The two sorts of orders, as give and take name them.
func drains(c *spec.Control) map[string]spec.Order { return c.Drained }

func maintenances(c *spec.Control) map[string]spec.Order { return c.Maintenance }

// give notes o for id, and returns the order that it replaces. One with the same
// end is left as it is.
func (b *orderBook) give(sort func(*spec.Control) map[string]spec.Order, id string, o spec.Order) (before spec.Order, had bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, had = sort(b.now)[id]; had && before.Until.Equal(o.Until) {
		return before, had
	}
	b.now = copied(b.now)
	sort(b.now)[id] = o
	return before, had
}

// take forgets the order for id, and reports whether there was one.
func (b *orderBook) take(sort func(*spec.Control) map[string]spec.Order, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, had := sort(b.now)[id]; !had {
		return false
	}
	b.now = copied(b.now)
	delete(sort(b.now), id)
	return true
}

func copied(c *spec.Control) *spec.Control {
	next := &spec.Control{Drained: map[string]spec.Order{}, Maintenance: map[string]spec.Order{}}
	maps.Copy(next.Drained, c.Drained)
	maps.Copy(next.Maintenance, c.Maintenance)
	return next
}

// end returns the orders that hold at now, and forgets the others: those whose
// time is up, and those of containers that the engine has no more. A list that
// may be out of date does not tell.
func (b *orderBook) end(now time.Time, engine *spec.Snapshot) *spec.Control {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := copied(b.now)
	for _, id := range slices.Sorted(maps.Keys(b.now.Drained)) {
		w := engine.Workload(id)
		switch {
		case over(b.now.Drained[id], now):
			b.log.Info().Str("container", nameOf(w, id)).Msg("drain expired")
		case engine.Stale == "" && (w == nil || w.State == spec.Gone):
			b.log.Info().Str("container", nameOf(w, id)).Msg("drain ended, its container was removed")
		default:
			continue
		}
		delete(next.Drained, id)
	}
	for _, id := range slices.Sorted(maps.Keys(b.now.Maintenance)) {
		if over(b.now.Maintenance[id], now) {
			b.log.Info().Str("route", id).Msg("maintenance expired")
			delete(next.Maintenance, id)
		}
	}
	if len(next.Drained) < len(b.now.Drained) || len(next.Maintenance) < len(b.now.Maintenance) {
		b.now = next
	}
	return b.now
}

func over(o spec.Order, now time.Time) bool { return !o.Until.IsZero() && !now.Before(o.Until) }

// nameOf returns what people call w, or the id as docker ps shows it.
func nameOf(w *spec.Workload, id string) string {
	if w != nil {
		return w.Name
	}
	return id[:min(len(id), 12)]
}

// due returns when the next order ends; zero if none does by itself.
func (b *orderBook) due() time.Time {
	now := b.current()
	var first time.Time
	for _, orders := range []map[string]spec.Order{now.Drained, now.Maintenance} {
		for _, o := range orders {
			if !o.Until.IsZero() && (first.IsZero() || o.Until.Before(first)) {
				first = o.Until
			}
		}
	}
	return first
}
