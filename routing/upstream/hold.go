package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// ErrMoved ends the search of a request for an endpoint, or its wait for one, when
// its route may have changed meanwhile (exchange.Exchange.MayMove): it is to be
// matched anew. Nothing of it was sent, or it may be sent again; its body is as it
// was, or in Exchange.Unsent.
var ErrMoved = errors.New("its route may have changed meanwhile")

const (
	// leftRecently is how long after its last endpoint left a pool is expected
	// to get another.
	leftRecently = 60 * time.Second
	// admitted is how many of those who wait go on at once when an endpoint
	// turns ready, and admittedMore how many more with each of these that is
	// answered: a container that has just come up, with a backlog of perhaps 100
	// connections, is not sent everything at the same moment.
	admitted     = 64
	admittedMore = 2
	// admitEvery is how soon another batch goes on if answers are long in coming.
	admitEvery = 100 * time.Millisecond
)

// wait has call wait for an endpoint: one that is busy, or one that is expected.
// nil means that there may be one now.
func (p *Pool) wait(call *call, busy bool) error {
	now := time.Now()
	if call.holdBy.IsZero() {
		call.holdBy = earlier(now.Add(call.hold), call.limit)
	}
	if !busy && call.rivalled() && !p.Ready() {
		return call.move()
	}
	if call.hold <= 0 || !now.Before(call.holdBy) || !busy && !p.Expects() && !p.turned(call) {
		return p.refuse(call, busy)
	}
	w := p.queue.join(call.waited)
	if w == nil {
		return &Unavailable{Pool: p.key, Reason: fmt.Sprintf("%d requests wait already", maxWaiting)}
	}
	call.waited = true
	defer func() { call.heldFor(time.Since(now)) }()
	if p.shook(call) {
		p.leave(w) // it was before w stood in the queue
		return nil
	}
	if _, busy := p.view.Load().pick(call.r, nil); p.Ready() && !busy {
		p.leave(w) // it came before w stood in the queue
		return nil
	}
	timer := time.NewTimer(call.holdBy.Sub(now))
	defer timer.Stop()
	ctx := call.r.Context()
	select {
	case <-w.called:
		return nil
	case <-timer.C:
		p.leave(w)
		return nil // a last look
	case <-ctx.Done():
		p.leave(w)
		return context.Cause(ctx)
	}
}

// turned reports whether an endpoint has turned ready since call found none:
// such a one is not expected any more, and is there.
func (p *Pool) turned(call *call) bool {
	e, _ := p.view.Load().pick(call.r, call.tried)
	return e != nil
}

// leave takes w out of the queue. If it was its turn at this moment, that is
// the next one's.
func (p *Pool) leave(w *waiter) {
	if !p.queue.remove(w) {
		p.admit(1)
	}
}

// refuse says why call gets no endpoint: because all are busy, because none can
// be had, or because those that were tried took no connection.
func (p *Pool) refuse(call *call, busy bool) error {
	switch {
	case busy:
		return &Unavailable{Pool: p.key, Reason: "its containers work on as many requests as the label max-conns allows"}
	case call.failed != nil && !call.waited:
		return call.failed
	}
	return p.unavailable()
}

// Expects reports whether an endpoint is likely to turn ready soon, which is
// worth waiting for: one is starting, or being replaced.
func (p *Pool) Expects() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expects()
}

// expects is Expects for use under the mutex.
func (p *Pool) expects() bool {
	if p.closed {
		return false
	}
	return time.Since(p.leftAt) < leftRecently || slices.ContainsFunc(p.all, (*endpoint).expected)
}

// expected reports whether e, or what follows it, will probably take requests.
func (e *endpoint) expected() bool {
	if e.id.container == "" || e.spec.Drained != "" || isDown(e.spec.Options) || weightOf(e.spec.Options) == 0 {
		return false
	}
	switch e.spec.State {
	case spec.Created, spec.Restarting, spec.Paused, spec.Draining:
		return true
	}
	return e.state == starting
}

// admit lets the first n of those who wait go on, as far as there is room.
func (p *Pool) admit(n int64) {
	if p.queue.waiting.Load() == 0 {
		return
	}
	v := p.view.Load()
	if v.best == 0 {
		return
	}
	if v.limited {
		n = min(n, v.free())
	}
	p.queue.call(n)
}

// admitBatch lets a batch go on now, and others after it until nobody waits.
func (p *Pool) admitBatch() {
	if p.queue.waiting.Load() == 0 {
		return
	}
	p.admit(admitted)
	p.queue.again(admitEvery, func() {
		if p.Ready() { // else whoever makes it so begins anew
			p.admitBatch()
		}
	})
}

// Shake sends those who wait back to be matched anew: another table has taken
// over, or another pool for the same requests is ready. Those who do not wait yet
// are sent back when they begin to, or look for another endpoint.
func (p *Pool) Shake() {
	p.shakes.Add(1)
	p.queue.call(maxWaiting)
}

// shook reports whether Shake was called since call came to the pool, and call
// may be sent back.
func (p *Pool) shook(call *call) bool { return p.shakes.Load() != call.shakes && call.mayMove() }
