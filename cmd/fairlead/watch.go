package main

import (
	"context"
	"fmt"
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
	orders *orderBook
	env    *routing.Env
	live   *routing.Live
	log    zerolog.Logger

	wake  chan struct{} // holds one
	first chan struct{} // closed when the first table is live

	pen   *pen
	asked chan chan<- *routing.Ledger // for the ledger as it is

	swapped func() // told of each new table; nil without anybody to tell

	gateways  atomic.Pointer[[]netip.Addr]
	published atomic.Pointer[[]spec.Published] // ports of the proxy's own container
	stale     atomic.Pointer[string]

	mu       sync.Mutex // guards what is below
	engine   *spec.Snapshot
	routes   *spec.Snapshot  // of the routes file; empty and not nil where there is none
	newReady []spec.Endpoint // runs of containers found ready since the last turn
	waiting  []chan struct{} // closed after the next turn
}

func (w *watch) fromEngine(s spec.Snapshot) { w.tell(func() { w.engine = &s }) }

func (w *watch) fromRoutes(s spec.Snapshot) { w.tell(func() { w.routes = &s }) }

func (w *watch) onReady(e spec.Endpoint) { w.tell(func() { w.newReady = append(w.newReady, e) }) }

func (w *watch) tell(note func()) {
	w.mu.Lock()
	note()
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// turned waits until what was told before has taken effect. Its error is ctx's.
func (w *watch) turned(ctx context.Context) error {
	done := make(chan struct{})
	w.tell(func() { w.waiting = append(w.waiting, done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// containers returns those of the engine that have not been removed.
func (w *watch) containers() (all []*spec.Workload) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.engine == nil {
		return nil
	}
	for _, c := range w.engine.Workloads {
		if c.State != spec.Gone {
			all = append(all, c)
		}
	}
	return all
}

// known returns everything that is known, and whether the engine and the routes
// file have both been read.
func (w *watch) known() (snap spec.Snapshot, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.engine == nil || w.routes == nil {
		return snap, false
	}
	snap = *w.engine
	snap.Workloads = slices.Concat(snap.Workloads, w.routes.Workloads)
	return snap, true
}

// ledger returns who holds which host. Its error is ctx's.
func (w *watch) ledger(ctx context.Context) (*routing.Ledger, error) {
	reply := make(chan *routing.Ledger, 1)
	select {
	case w.asked <- reply:
		return <-reply, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the claims: %w", ctx.Err())
	}
}

// Run compiles until ctx ends.
func (w *watch) Run(ctx context.Context) error {
	keeper := ledgerKeeper{log: w.log, pen: w.pen, ledgers: make(chan *routing.Ledger)}
	var writing sync.WaitGroup
	writing.Go(keeper.run)
	defer writing.Wait()
	defer func() { keeper.end(w.claims) }()
	var due <-chan time.Time // something ends by itself
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
		case reply := <-w.asked:
			reply <- w.claims.Ledger()
			continue
		case <-w.wake:
		case <-due:
		}
		snap, ok, waiting := w.merged()
		if ok {
			w.turn(snap)
			w.live.Shake() // what woke us may be that a pool is ready
		}
		for _, done := range waiting {
			close(done)
		}
		keeper.changed()
		due = w.due()
	}
}

// due returns a channel that is sent to when the next claim or order ends, nil
// if none does.
func (w *watch) due() <-chan time.Time {
	_, next := w.claims.Due(time.Now())
	if w.live.Table() != nil { // before the first one no order is ended, and each that is over would be due for ever
		if order := w.orders.due(); next.IsZero() || !order.IsZero() && order.Before(next) {
			next = order
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// holdLedger has the ledger written as it is now, and then not any more until
// the pen is released. Only where that fails is the pen not held.
func (w *watch) holdLedger(ctx context.Context) (unwritten, err error) {
	select {
	case <-w.pen.free:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the claims to be written: %w", ctx.Err())
	}
	l, err := w.ledger(ctx)
	if err != nil {
		w.pen.release()
		return nil, err
	}
	if l != nil {
		unwritten = l.Save()
	}
	return unwritten, nil
}

// merged returns everything that is known, once the engine and the routes file
// have both been read, and who waits for it to take effect.
func (w *watch) merged() (snap spec.Snapshot, ok bool, waiting []chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting, w.waiting = w.waiting, nil
	for _, e := range w.newReady {
		w.parser.Ready(e.ID, e.StartedAt)
	}
	w.newReady = nil
	if w.engine == nil || w.routes == nil {
		return snap, false, waiting
	}
	snap = *w.engine
	snap.Control = w.orders.end(time.Now(), &snap)
	if w.routes.Stale != "" {
		snap.Stale = strings.TrimPrefix(snap.Stale+"; "+w.routes.Stale, "; ")
	}
	if len(w.routes.Workloads) > 0 {
		// Still by ID: those of containers are hexadecimal, and come before "routes:".
		snap.Workloads = slices.Concat(snap.Workloads, w.routes.Workloads)
	}
	return snap, true, waiting
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
	own := snap.Workload(snap.Self.ID)
	if own == nil {
		return nil
	}
	return &own.Published
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
