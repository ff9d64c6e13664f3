package upstream

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/spec"
)

const (
	probesAtOnce   = 64
	firstWait      = 5 * time.Millisecond // between probes, growing
	longestWait    = 250 * time.Millisecond
	probeTimeout   = time.Second
	confirmTimeout = 250 * time.Millisecond
)

// A Prober finds out which starting endpoints listen, for all pools: a
// container that was started does not accept connections yet. The fields are
// set before the first Set of a pool; zero ones stand for what is said below.
type Prober struct {
	// Confirm asks the engine for one container, after a doubt: a connect that
	// failed may mean that its address is another's by now. nil: never in doubt.
	Confirm func(ctx context.Context, id string) (spec.Confirmation, error)
	// Away reports whether an error of Confirm means that the engine is not
	// there, besides ErrEngineAway.
	Away func(err error) bool
	Dial Dial // nil: net.Dialer
	// OnReady is called when a container's endpoint was seen listening.
	OnReady func(e spec.Endpoint)
	Log     zerolog.Logger

	mu    sync.Mutex // guards all below
	due   probes
	wake  chan struct{}
	ready map[identity]int // pools in which an endpoint is ready
}

// probe is the search for one endpoint until it listens or leaves.
type probe struct {
	e        *endpoint
	ctx      context.Context // ended when the endpoint leaves
	began    time.Time
	at       time.Time
	wait     time.Duration
	doubtful bool // the engine has to be asked first
	farewell bool // only to find out what becomes of requests in flight
}

// Run probes until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, probesAtOnce)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	wake := p.waker()
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		pr, wait := p.next()
		if pr != nil {
			running.Go(func() {
				defer func() { <-slots }()
				p.probe(ctx, pr)
			})
			continue
		}
		<-slots
		timer.Reset(wait)
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// waker returns the channel by which Run hears of new probes.
func (p *Prober) waker() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wake == nil {
		p.wake = make(chan struct{}, 1)
	}
	return p.wake
}

// add plans the next attempt of pr.
func (p *Prober) add(pr *probe) {
	wake := p.waker()
	p.mu.Lock()
	now := time.Now()
	if pr.began.IsZero() {
		pr.began = now
	}
	pr.at = now.Add(pr.wait)
	heap.Push(&p.due, pr)
	p.mu.Unlock()
	select {
	case wake <- struct{}{}:
	default:
	}
}

// next returns the probe that is due, or nil and how long none will be.
func (p *Prober) next() (*probe, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.due) > 0 {
		pr := p.due[0]
		if wait := time.Until(pr.at); wait > 0 && pr.ctx.Err() == nil {
			return nil, wait
		}
		heap.Pop(&p.due)
		if pr.ctx.Err() == nil {
			return pr, 0
		}
	}
	return nil, time.Hour
}

// probe makes one attempt and plans the next if that was not the last.
func (p *Prober) probe(ctx context.Context, pr *probe) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(pr.ctx, cancel)()

	asked, err := p.confirm(ctx, pr)
	if pr.farewell {
		if !asked || err != nil {
			pr.e.transport.abort(errVanished)
		}
		return
	}
	var moved *movedError
	switch {
	case pr.ctx.Err() != nil:
		return
	case errors.As(err, &moved):
		pr.e.moved(pr, moved.reason)
		return
	case err == nil:
		if err = p.connect(ctx, pr.e.transport); err == nil {
			p.found(pr)
			return
		}
		err = errors.New(explain(err, pr.e.transport.target.Load()))
		pr.doubtful = pr.doubtful && !asked
	}
	if pr.ctx.Err() != nil || ctx.Err() != nil {
		return
	}
	pr.e.silent(pr, err.Error())
	// An app that took long to come up is found at most a quarter later.
	pr.wait = min(max(time.Since(pr.began)/4, firstWait), longestWait)
	p.add(pr)
}

func (p *Prober) found(pr *probe) {
	if !pr.e.listens(pr) {
		return
	}
	p.Log.Debug().Str("container", pr.e.transport.container()).Str("endpoint", pr.e.transport.addr).Msg("endpoint listened")
	if p.OnReady != nil {
		p.OnReady(*pr.e.transport.target.Load())
	}
}

// movedError says that the engine contradicts what an endpoint stands for.
type movedError struct{ reason string }

func (e *movedError) Error() string { return e.reason }

// knows reports whether an endpoint is ready in some pool: another need not
// probe it. So a pool that is built anew for other options serves at once.
func (p *Prober) knows(id identity) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready[id] > 0
}

// count keeps book of the pools in which an endpoint is ready.
func (p *Prober) count(id identity, is, was bool) {
	if p == nil || is == was {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready == nil {
		p.ready = make(map[identity]int)
	}
	if is {
		p.ready[id]++
	} else if p.ready[id]--; p.ready[id] == 0 {
		delete(p.ready, id)
	}
}

// confirm asks the engine whether a doubtful endpoint still is what it was.
// asked is false if nobody had to be or could be asked.
func (p *Prober) confirm(ctx context.Context, pr *probe) (asked bool, err error) {
	if !pr.doubtful || p.Confirm == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	target := pr.e.transport.target.Load()
	c, err := p.Confirm(ctx, target.ID)
	switch {
	case err != nil && (errors.Is(err, ErrEngineAway) || p.Away != nil && p.Away(err)):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("the engine could not say whether the address is still its own: %w", err)
	case !c.Running:
		return true, &movedError{"it does not run any more"}
	case !c.StartedAt.Equal(target.StartedAt):
		return true, &movedError{"it was restarted"}
	case target.Addr.IsValid() && !target.OnHost && !slices.Contains(c.Addrs, target.Addr.Addr()):
		return true, &movedError{"it does not have the address " + target.Addr.Addr().String() + " any more"}
	}
	return true, nil
}

func (p *Prober) connect(ctx context.Context, t *transport) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	c, err := dial(ctx, t.network, t.addr)
	if err == nil {
		c.Close()
	}
	return err
}

// probes is a heap, the next due first.
type probes []*probe

func (q probes) Len() int           { return len(q) }
func (q probes) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q probes) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *probes) Push(x any)        { *q = append(*q, x.(*probe)) }
func (q *probes) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return x
}
