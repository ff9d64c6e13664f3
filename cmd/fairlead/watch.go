package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// A watch turns what discovery finds into the live table: snapshots → spec →
// table → swap. One goroutine does it; what it is told of meanwhile is taken in
// with the next turn.
type watch struct {
	parser *spec.Parser
	claims *routing.Claims
	env    *routing.Env
	live   *routing.Live
	log    zerolog.Logger

	wake  chan struct{} // holds one
	first chan struct{} // closed when the first table is live

	swapped func() // told of each new table; nil without anybody to tell

	gateways  atomic.Pointer[[]netip.Addr]
	published atomic.Pointer[[]spec.Published] // ports of the proxy's own container
	stale     atomic.Pointer[string]

	mu       sync.Mutex // guards what is below
	engine   *spec.Snapshot
	routes   *spec.Snapshot // of the routes file; empty and not nil where there is none
	newReady []string       // ids of containers found ready since the last turn
}

func (w *watch) fromEngine(s spec.Snapshot) { w.tell(func() { w.engine = &s }) }

func (w *watch) fromRoutes(s spec.Snapshot) { w.tell(func() { w.routes = &s }) }

func (w *watch) onReady(e spec.Endpoint) { w.tell(func() { w.newReady = append(w.newReady, e.ID) }) }

func (w *watch) tell(note func()) {
	w.mu.Lock()
	note()
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run compiles until ctx ends.
func (w *watch) Run(ctx context.Context) error {
	keeper := ledgerKeeper{log: w.log, ledgers: make(chan *routing.Ledger)}
	var writing sync.WaitGroup
	writing.Go(keeper.run)
	defer writing.Wait()
	defer func() { keeper.end(w.claims) }()
	var grace <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case keeper.hand() <- keeper.next:
			keeper.handed()
			continue
		case <-keeper.gather:
			keeper.take(w.claims)
			continue
		case <-w.wake:
		case <-grace:
		}
		if snap, ok := w.merged(); ok {
			w.turn(snap)
		}
		keeper.changed()
		grace = nil
		if _, next := w.claims.Due(time.Now()); !next.IsZero() {
			grace = time.After(time.Until(next))
		}
	}
}

// merged returns everything that is known, once the engine and the routes file
// have both been read.
func (w *watch) merged() (spec.Snapshot, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.newReady {
		w.parser.Ready(id)
	}
	w.newReady = nil
	if w.engine == nil || w.routes == nil {
		return spec.Snapshot{}, false
	}
	snap := *w.engine
	if w.routes.Stale != "" {
		snap.Stale = strings.TrimPrefix(snap.Stale+"; "+w.routes.Stale, "; ")
	}
	if len(w.routes.Workloads) > 0 {
		// Still by ID: those of containers are hexadecimal, and come before "routes:".
		snap.Workloads = slices.Concat(snap.Workloads, w.routes.Workloads)
	}
	return snap, true
}

func (w *watch) turn(snap spec.Snapshot) {
	began := time.Now()
	w.gateways.Store(&snap.Self.Gateways)
	w.published.Store(ownPorts(snap))
	w.stale.Store(&snap.Stale)
	prev := w.live.Table()
	next := routing.Compile(prev, w.parser.Parse(snap), w.claims, w.env, began)
	w.live.Swap(next)
	if w.swapped != nil {
		w.swapped()
	}
	w.report(next, time.Since(began))
	if prev == nil {
		close(w.first)
	}
}

// ownPorts returns how the ports of the proxy's own container are published.
func ownPorts(snap spec.Snapshot) *[]spec.Published {
	i, found := slices.BinarySearchFunc(snap.Workloads, snap.Self.ID, func(w *spec.Workload, id string) int { return strings.Compare(w.ID, id) })
	if !found {
		return nil
	}
	return &snap.Workloads[i].Published
}

// report logs what the table changed.
func (w *watch) report(t *routing.Table, took time.Duration) {
	messages := map[string]string{"+": "route added", "-": "route removed", "~": "route changed"}
	for _, c := range t.Changes {
		w.log.Info().Str("route", c.Route).Str("change", c.Sign+" "+c.Detail).Dur("duration", took).Msg(messages[c.Sign])
	}
	for _, p := range t.Appeared {
		level := zerolog.WarnLevel
		if p.Effect == label.Refused || p.Effect == label.ContainerRefused {
			level = zerolog.ErrorLevel
		}
		w.log.WithLevel(level).Str("code", p.Code).Str("container", p.Container).Str("route", p.Route).
			Str("label", p.Label).Str("effect", string(p.Effect)).Msg(p.String())
	}
	for _, p := range t.Cleared {
		w.log.Info().Str("code", p.Code).Str("container", p.Container).Str("label", p.Label).Msg("problem cleared")
	}
}

// hidden returns the gateways of our own networks. Requests call it.
func (w *watch) hidden() []netip.Addr {
	if g := w.gateways.Load(); g != nil {
		return *g
	}
	return nil
}
