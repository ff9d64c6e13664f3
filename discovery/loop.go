package discovery

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/spec"
)

// maxInspects is how many inspects run at once.
const maxInspects = 8

// loop is the model of the engine and the one goroutine that changes it.
// Everything that waits for the engine runs beside it and comes back as an
// answer, so that an event is never behind a slow call.
type loop struct {
	cfg     *Config
	timing  Timing
	log     zerolog.Logger
	clock   *atomic.Uint64 // advances with each event; says whether an answer is older than an event
	status  *status
	publish func(spec.Snapshot)

	index
	networks map[string]netInfo // by id
	services services
	draining deadlines // told to stop; when to look whether they still run
	retry    deadlines // when to inspect again what failed
	removed  []*item   // those that are gone, the first first
	selfID   string
	selfIDs  []string
	layer    string // the directory that holds what the proxy's own container wrote, "" if unknown
	local    []netip.Addr
	offset   time.Duration // of the engine's clock from ours
	stale    string

	workloads []*spec.Workload // of the last snapshot
	place     spec.Self        // of the last snapshot
	moved     bool             // place may be another
	lists     uint64           // answered so far

	// of the session
	engine   *engine
	listed   bool     // a list of this session was applied
	held     []change // events of unknown containers until then
	listing  bool
	netting  bool
	strange  bool // a container is on a network not known yet
	netFails bool // the networks could not be read: the next list asks again
	inflight map[string]bool
	first    map[string]bool // ids without which the first snapshot is not complete; nil once it was published
	answers  chan answer
	heard    chan answer // from Confirm
	asking   sync.WaitGroup

	dirty            map[string]bool // to be inspected once it is quiet
	quietAt, burstAt time.Time       // the earlier of the two ends the wait; zero while nothing waits
	queue            []string        // to be inspected as soon as one of maxInspects is free
	queued           map[string]bool // what is in queue; the value: because a list differed
	pending          bool            // something to publish
	urgent           bool            // at once
	publishBy        time.Time       // even if inspects are still under way
	listAt           time.Time       // next list
	listFails        int
	last             *spec.Snapshot
}

// An answer is what one engine call brought. asOf is the clock's reading when
// it was asked.
type answer struct {
	id                 string // of the container inspected, "" for the others
	asOf               uint64
	err                error
	inspect            container.InspectResponse
	rows               []facts // of a list
	networks           []network.Summary
	services           []swarm.Service
	isList, isNetworks bool
	isServices         bool
	byList             bool // the inspect was asked for because a list differed
}

// session runs with one engine connection until the stream or a list fails.
func (l *loop) session(ctx context.Context, stream <-chan events.Message, broken func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer l.end(cancel)
	l.listed, l.held, l.listFails = false, nil, 0
	opened := l.clock.Add(1)
	l.listAt = time.Now()
	l.answers = make(chan answer)
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, ok := <-stream:
			if !ok {
				return broken()
			}
			l.take(m)
			l.burst(stream)
		case a := <-l.answers:
			if err := l.answered(a); err != nil {
				return err
			}
		case a := <-l.heard:
			if a.asOf >= opened { // else it may be older than this session's list
				l.inspected(a)
			}
		case <-wake.C:
		}
		l.due(ctx, time.Now())
		wake.Reset(time.Until(l.next()))
	}
}

// end waits for the calls under way; their inspects are asked again by the
// next session.
func (l *loop) end(cancel context.CancelFunc) {
	cancel()
	done := make(chan struct{})
	go func() { l.asking.Wait(); close(done) }()
	for {
		select {
		case <-l.answers:
		case <-done:
			for id := range l.inflight {
				l.enqueue(id, false)
			}
			clear(l.inflight)
			l.listing, l.netting, l.services.asking = false, false, false
			return
		}
	}
}

// burst takes what has arrived meanwhile, so that a burst is published once.
func (l *loop) burst(stream <-chan events.Message) {
	for range cap(stream) + 1 {
		select {
		case m, ok := <-stream:
			if !ok {
				return
			}
			l.take(m)
		default:
			return
		}
	}
}

func (l *loop) take(m events.Message) {
	l.status.event()
	if m.Type == events.ServiceEventType {
		l.recheck()
	} else if c, ok := decode(m); ok {
		l.apply(c)
	}
}

// mark asks for an inspect once it has been quiet, if the container is worth
// one; what changed of the others the next list tells.
func (l *loop) mark(it *item) {
	if l.wanted(it) {
		l.dirty[it.id] = true
	}
	l.later()
}

// later publishes once it has been quiet and what is to be inspected was.
func (l *loop) later() {
	now := time.Now()
	l.quietAt = now.Add(l.timing.Quiet)
	if l.burstAt.IsZero() {
		l.burstAt = now.Add(l.timing.Burst)
	}
	l.changed()
}

// changed publishes when nothing is waited for any more, or a burst later.
func (l *loop) changed() {
	if !l.pending {
		l.pending, l.publishBy = true, time.Now().Add(l.timing.Burst)
	}
}

// now publishes as soon as the events at hand are taken in.
func (l *loop) now() {
	l.changed()
	l.urgent = true
}

// enqueue asks for an inspect.
func (l *loop) enqueue(id string, byList bool) {
	if _, ok := l.queued[id]; !ok {
		l.queue = append(l.queue, id)
		l.queued[id] = byList
	} else if !byList {
		l.queued[id] = false
	}
}

// due does what the time has come for.
func (l *loop) due(ctx context.Context, now time.Time) {
	if !now.Before(l.listAt) && !l.listing {
		l.askList(ctx)
	}
	for _, id := range l.draining.take(now) {
		l.draining.set(id, now.Add(l.timing.DrainGrace))
		l.items[id].overdue = true
		l.enqueue(id, false)
	}
	for _, id := range l.retry.take(now) {
		l.enqueue(id, false)
	}
	if at := l.forgetAt(); !at.IsZero() && !now.Before(at) {
		l.now()
	}
	if l.settled(now) {
		for id := range l.dirty {
			l.enqueue(id, false)
		}
		clear(l.dirty)
		l.quietAt, l.burstAt = time.Time{}, time.Time{}
	}
	l.askInspects(ctx)
	if l.pending && l.complete() && (l.urgent || !l.waiting() || !now.Before(l.publishBy)) {
		l.flush()
	}
}

// settled reports whether additive changes have waited long enough.
func (l *loop) settled(now time.Time) bool {
	return !l.burstAt.IsZero() && (!now.Before(l.quietAt) || !now.Before(l.burstAt))
}

// waiting reports whether something that belongs in the next snapshot is still
// to come.
func (l *loop) waiting() bool {
	return !l.burstAt.IsZero() || len(l.inflight)+len(l.queue) > 0 || l.netting || l.services.asking
}

// complete reports whether a snapshot may be published at all: the first one
// waits for the list and every inspect it gave rise to.
func (l *loop) complete() bool {
	return l.first == nil || l.listed && len(l.first) == 0 && !l.netting && !l.services.asking
}

// forgetAt is when the next removed container's time is over, zero if there is
// none.
func (l *loop) forgetAt() time.Time {
	if len(l.removed) == 0 || !l.complete() {
		return time.Time{}
	}
	return l.removed[0].left.Add(l.timing.Remember)
}

// next is when due has something to do.
func (l *loop) next() time.Time {
	next := time.Now().Add(time.Minute)
	soonest := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if !l.listing {
		soonest(l.listAt)
	}
	soonest(l.draining.soonest)
	soonest(l.retry.soonest)
	soonest(l.forgetAt())
	soonest(l.quietAt)
	soonest(l.burstAt)
	if l.pending && l.complete() {
		soonest(l.publishBy)
	}
	return next
}
