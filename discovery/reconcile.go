package discovery

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/docker/docker/api/types/network"
)

// listAnswered compares the engine's list with the model: what events said
// already costs nothing, what they missed is inspected.
func (l *loop) listAnswered(a answer) error {
	l.listing = false
	if a.err != nil {
		return l.listFailed(a.err)
	}
	l.listAt, l.listFails = time.Now().Add(l.timing.Reconcile), 0
	l.status.listed()
	if l.netFails {
		l.strange, l.netFails = true, false
	}
	if l.stale != "" {
		l.stale = ""
		l.changed()
	}
	l.local, l.moved = l.cfg.localAddrs(), true
	l.lists++
	for i := range a.rows {
		if row := &a.rows[i]; row.id != "" {
			l.compare(row, a.asOf)
		}
	}
	for _, it := range l.items {
		if it.listed != l.lists && !it.gone() && it.touched <= a.asOf {
			l.remove(it)
			l.now()
		}
	}
	l.recheck()
	if !l.listed {
		l.listed = true
		l.introduce()
	}
	return nil
}

// introduce is the end of a session's first list: events that waited for it
// are applied, and what is to be inspected is known. The proxy's own container
// and the owners of network namespaces can only be told apart now.
func (l *loop) introduce() {
	l.recognise()
	for id, it := range l.items {
		if !it.gone() && !it.full && l.wanted(it) {
			l.enqueue(id, false)
		}
	}
	held := l.held
	l.held = nil
	for _, c := range held {
		l.apply(c)
	}
	if l.first != nil {
		for _, id := range l.queue {
			l.first[id] = true
		}
		for id := range l.dirty {
			l.first[id] = true
		}
	}
	if len(l.networks) == 0 {
		l.strange = true
	}
	l.changed()
}

// compare takes in one row of a list.
func (l *loop) compare(row *facts, asOf uint64) {
	it := l.items[row.id]
	if it == nil {
		it = &item{facts: *row, listed: l.lists}
		l.set(it, *row)
		if l.listed {
			l.log.Debug().Str("container", row.name).Msg("container found by list")
			l.housed(it)
			if l.wanted(it) {
				l.enqueue(it.id, true)
			}
		}
		l.notice(row.places)
		l.changed()
		return
	}
	it.listed = l.lists
	if it.gone() || it.touched > asOf {
		return
	}
	if !it.full && !l.wanted(it) {
		l.adopt(it, *row)
		return
	}
	if it.full && l.agrees(it, row) || it.seen != nil && alike(it.seen, row) && l.aged(it, row) {
		return
	}
	it.seen, it.doubted = row, !l.aged(it, row)
	l.withdraw(it, row)
	l.enqueue(it.id, true)
}

// withdraw takes away at once what a list says a container no longer has. An
// address may already be another's: the inspect that tells what it has instead
// comes too late.
func (l *loop) withdraw(it *item, row *facts) {
	if !it.run() {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(it.places), func(p place) bool {
		return !row.run() || !slices.ContainsFunc(row.places, func(q place) bool { return samePlace(p, q) })
	})
	if len(kept) == len(it.places) && it.status == row.status {
		return
	}
	l.alter(it)
	it.places = kept
	if row.status != "running" {
		it.status = row.status
	}
	l.now()
}

// adopt takes a row as it is, for a container that is not worth an inspect.
func (l *loop) adopt(it *item, row facts) {
	if it.run() && row.run() {
		row.started = it.started
	}
	if alike(&it.facts, &row) && row.started.Equal(it.started) {
		return
	}
	l.set(it, row)
	l.notice(row.places)
	l.changed()
}

// agrees reports whether a row tells nothing new.
func (l *loop) agrees(it *item, row *facts) bool {
	return alike(&it.facts, row) && l.aged(it, row)
}

// alike compares what lists and inspects both say.
func alike(a, b *facts) bool {
	if a.status != b.status || a.name != b.name || a.mode != b.mode {
		return false
	}
	if a.run() && a.health != b.health {
		return false
	}
	return maps.Equal(a.labels, b.labels) && (!a.run() || slices.EqualFunc(a.places, b.places, samePlace))
}

// samePlace compares two places of one container. Not every engine gives ids
// in lists.
func samePlace(a, b place) bool {
	ids := func(a, b string) bool { return a == b || a == "" || b == "" }
	return a.network == b.network && a.ip4 == b.ip4 && a.ip6 == b.ip6 && ids(a.networkID, b.networkID) && ids(a.endpoint, b.endpoint)
}

// aged reports whether the run is as old as the list says. It finds a restart
// that no event told of and that left the container its address and name.
func (l *loop) aged(it *item, row *facts) bool {
	if it.agreed || it.started.IsZero() || row.status != "running" {
		return true
	}
	return row.age.agrees(time.Now().Add(l.offset).Sub(it.started), 5*time.Second)
}

// listFailed keeps everything: an error is never "no containers". A list that
// gets no answer ends the session, because the stream may be as dead.
func (l *loop) listFailed(err error) error {
	l.listFails++
	err = fmt.Errorf("list containers: %w", explain(l.engine.dialed, err))
	l.status.failed(err)
	if l.engine.dialed.refused() || isTimeout(err) {
		return err
	}
	if l.listFails == 1 {
		l.log.Error().Err(err).Msg("list failed")
	}
	if l.listed && l.stale == "" {
		l.stale = staleText("the engine's lists fail", err)
		l.changed()
	}
	l.listAt = time.Now().Add(backoff(l.timing, l.listFails))
	return nil
}

func (l *loop) networksAnswered(a answer) {
	l.netting = false
	if a.err != nil {
		l.netFails = true
		l.status.failed(a.err)
		l.log.Warn().Err(a.err).Msg("networks failed")
		return
	}
	was := l.networks
	l.networks = make(map[string]netInfo, len(a.networks))
	names := make(map[string]netInfo, len(a.networks))
	for _, n := range a.networks {
		l.networks[n.ID] = fromNetwork(n)
		names[n.Name] = l.networks[n.ID]
	}
	for _, it := range l.items {
		for _, p := range it.places {
			if _, ok := l.networks[p.networkID]; !ok {
				// Podman writes names where Docker writes ids. Asking once is enough.
				l.networks[p.networkID] = names[p.network]
			}
			if old, ok := was[p.networkID]; !ok || !old.alike(l.networks[p.networkID]) {
				l.alter(it)
			}
		}
	}
	l.local, l.moved = l.cfg.localAddrs(), true
	l.changed()
}

func fromNetwork(n network.Summary) netInfo {
	info := netInfo{key: n.Labels[networkLabel], driver: n.Driver, ingress: n.Ingress}
	for _, c := range n.IPAM.Config {
		if gw := addr(c.Gateway); gw.IsValid() {
			info.gateways = append(info.gateways, gw)
		} else if p, err := netip.ParsePrefix(c.Subnet); err == nil {
			info.gateways = append(info.gateways, p.Masked().Addr().Next()) // what the engine takes by default
		}
	}
	return info
}

// backoff is the pause after so many failures in a row: doubling, with jitter,
// so that several proxies do not ask in step.
func backoff(t Timing, fails int) time.Duration {
	d := t.RetryMin << min(fails-1, 10)
	d = min(d, t.RetryMax)
	return d/2 + rand.N(d/2+1)
}

func staleText(what string, err error) string {
	return fmt.Sprintf("%s since %s: %v", what, time.Now().UTC().Format(time.RFC3339), err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
