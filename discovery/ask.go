package discovery

import (
	"context"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

// askList lists all containers beside the loop.
func (l *loop) askList(ctx context.Context) {
	l.listing = true
	asOf := l.clock.Load()
	l.asking.Add(1)
	go l.fetchList(ctx, asOf)
}

func (l *loop) fetchList(ctx context.Context, asOf uint64) {
	defer l.asking.Done()
	list, err := l.engine.list(ctx)
	rows := make([]facts, len(list))
	for i, c := range list {
		rows[i] = fromList(c)
	}
	l.answer(ctx, answer{isList: true, asOf: asOf, rows: rows, err: err})
}

// askNetworks reads drivers, compose keys and gateways of all networks.
func (l *loop) askNetworks(ctx context.Context) {
	l.netting, l.strange = true, false
	l.asking.Add(1)
	go l.fetchNetworks(ctx)
}

func (l *loop) fetchNetworks(ctx context.Context) {
	defer l.asking.Done()
	list, err := l.engine.networks(ctx)
	l.answer(ctx, answer{isNetworks: true, networks: list, err: err})
}

// askInspects starts inspects from the queue while there is room.
func (l *loop) askInspects(ctx context.Context) {
	if l.strange && !l.netting {
		l.askNetworks(ctx)
	}
	if l.services.due && !l.services.asking {
		l.askServices(ctx)
	}
	if len(l.inflight) >= maxInspects {
		return
	}
	kept := l.queue[:0]
	for i, id := range l.queue {
		if len(l.inflight) >= maxInspects {
			kept = append(kept, l.queue[i:]...)
			break
		}
		if l.inflight[id] {
			kept = append(kept, id)
			continue
		}
		byList := l.queued[id]
		delete(l.queued, id)
		if it := l.items[id]; it == nil || it.gone() {
			delete(l.first, id)
			continue
		}
		l.inflight[id] = true
		l.asking.Add(1)
		go l.fetchInspect(ctx, answer{id: id, asOf: l.clock.Load(), byList: byList})
	}
	l.queue = kept
}

func (l *loop) fetchInspect(ctx context.Context, a answer) {
	defer l.asking.Done()
	a.inspect, a.err = l.engine.inspect(ctx, a.id)
	l.answer(ctx, a)
}

// answer hands an answer to the loop, unless its session is over: then the
// error is only that of a cancelled call.
func (l *loop) answer(ctx context.Context, a answer) {
	select {
	case l.answers <- a:
	case <-ctx.Done():
	}
}

// answered takes an answer in. An error ends the session.
func (l *loop) answered(a answer) error {
	switch {
	case a.isList:
		return l.listAnswered(a)
	case a.isNetworks:
		l.networksAnswered(a)
	case a.isServices:
		l.servicesAnswered(a)
	default:
		delete(l.inflight, a.id)
		l.inspected(a)
	}
	return nil
}

// inspected takes in what an inspect brought. Answers older than an event of
// that container are asked for again: they may show the run before or, after
// die, the next one.
func (l *loop) inspected(a answer) {
	it := l.items[a.id]
	if it == nil || it.gone() {
		delete(l.first, a.id)
		return
	}
	switch {
	case cerrdefs.IsNotFound(a.err):
		l.remove(it)
		l.now()
	case a.err != nil:
		l.failed(it, a.err)
		return
	case it.touched > a.asOf:
		l.mark(it)
		return
	default:
		f, ok := fromInspect(a.inspect)
		if !ok || f.id != it.id {
			l.failed(it, fmt.Errorf("inspect %s: the answer is no container", a.id))
			return
		}
		l.learn(it, f, a.byList)
	}
	it.fails, it.meagre = 0, false
	delete(l.first, a.id)
	l.retry.delete(a.id)
}

// learn puts an inspect's facts into the model.
func (l *loop) learn(it *item, f facts, byList bool) {
	if !byList {
		it.seen = nil
	}
	if it.doubted && f.started.Equal(it.started) {
		it.agreed = true
	}
	it.doubted = false
	if !f.started.Equal(it.started) || !f.run() {
		l.draining.delete(it.id)
	}
	if it.overdue && l.draining.has(it.id) {
		l.log.Info().Str("container", it.name).Str("signal", signalName(it.signal)).
			Msg("container ignored its stop signal and was taken back")
		l.draining.delete(it.id)
		it.parting = parting{}
	}
	if !it.full || it.status != f.status || !f.started.Equal(it.started) {
		l.log.Debug().Str("container", f.name).Str("state", f.status).Time("started", f.started).Msg("container inspected")
	}
	l.know(it, f)
	if it.early.kind == onKill && f.run() && it.early.at.After(f.started) {
		l.told(it, it.early)
	}
	it.early = change{}
	l.unmask(it)
	l.housed(it)
	l.notice(it.places)
	l.changed()
}

// housed sees to it that the container whose network namespace this one joined
// is inspected as well.
func (l *loop) housed(it *item) {
	if o := l.owner(it); o != nil && !o.full && !o.gone() && l.asked(it) {
		l.enqueue(o.id, false)
	}
}

// notice asks for the networks if a container is on one not known yet.
func (l *loop) notice(places []place) {
	for _, p := range places {
		if _, ok := l.networks[p.networkID]; !ok {
			l.strange = true
		}
	}
}

// failed keeps what is known and asks again.
func (l *loop) failed(it *item, err error) {
	it.fails++
	l.status.failed(err)
	l.log.Warn().Str("container", it.name).Err(err).Msg("inspect failed")
	l.retry.set(it.id, time.Now().Add(backoff(l.timing, it.fails)))
	// One container the engine cannot show must not keep all others from being
	// served: after some tries the list's row stands in for it.
	if it.fails >= 3 || cerrdefs.IsInternal(err) && it.fails >= 2 {
		it.meagre = true
		l.alter(it)
		delete(l.first, it.id)
	}
	l.changed()
}
