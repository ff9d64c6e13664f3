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
	probesAtOnce   = 256
	firstWait      = 5 * time.Millisecond // between probes, growing
	longestWait    = 250 * time.Millisecond
	probeTimeout   = time.Second
	confirmTimeout = 250 * time.Millisecond
)

// A Prober finds out which starting endpoints listen, for all pools: a
// container that was started does not accept connections yet. Where labels ask
// for health checks it makes them, as long as the endpoint stays. The fields are
// set before the first Set of a pool; zero ones stand for what is said below.
type Prober struct {
	// Confirm asks the engine for one container, after a doubt: a connect that
	// failed may mean that its address is another's by now. nil: never in doubt.
	Confirm func(ctx context.Context, id string) (spec.Confirmation, error)
	// Away reports whether an error of Confirm means that the engine is not
	// there, besides ErrEngineAway.
	Away func(err error) bool
	Dial Dial // nil: net.Dialer
	// OnReady is called when a container's endpoint turns ready, again after each
	// time that it was not. It must not call the pool.
	OnReady func(e spec.Endpoint)
	Log     zerolog.Logger

	mu    sync.Mutex // guards all below
	due   probes
	wake  chan struct{}
	known map[identity]int // pools in which an endpoint was seen listening
}

// probe looks after one endpoint until it listens, or, where it is checked,
// until it leaves.
type probe struct {
	e        *endpoint
	ctx      context.Context // ended when the endpoint leaves
	began    time.Time
	at       time.Time
	wait     time.Duration
	doubtful bool // the engine has to be asked first
	farewell bool // only to find out what becomes of requests in flight
	heard    bool // it listens
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
	case err == nil && !pr.heard:
		if err = p.connect(ctx, pr.e.transport); err == nil {
			pr.heard, pr.doubtful = pr.e.listens(pr), false
			break
		}
		err = errors.New(explain(err, pr.e.transport.target.Load()))
		pr.doubtful = pr.doubtful && !asked
	}
	switch {
	case pr.ctx.Err() != nil || ctx.Err() != nil:
	case err == nil:
		p.check(ctx, pr)
	default:
		pr.e.silent(pr, err.Error())
		// An app that took long to come up is found at most a quarter later.
		pr.wait = min(max(time.Since(pr.began)/4, firstWait), longestWait)
		p.add(pr)
	}
}

// check makes the health check of pr's endpoint, if it has one, and plans the
// next.
func (p *Prober) check(ctx context.Context, pr *probe) {
	c := pr.e.healthCheck()
	if c == nil {
		pr.e.unwatched(pr)
		return
	}
	err := c.run(ctx)
	if pr.ctx.Err() != nil || ctx.Err() != nil {
		return
	}
	if pr.wait = pr.e.checked(pr, err); pr.wait > 0 {
		p.add(pr)
	}
}

// movedError says that the engine contradicts what an endpoint stands for.
type movedError struct{ reason string }

func (e *movedError) Error() string { return e.reason }

// knows reports whether an endpoint listens in some pool: another need not
// find that out. So a pool that is built anew for other options serves at once.
func (p *Prober) knows(id identity) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id] > 0
}

// count keeps book of the pools in which an endpoint listens.
func (p *Prober) count(id identity, by int) {
	if p == nil || id.container == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[identity]int)
	}
	if p.known[id] += by; p.known[id] == 0 {
		delete(p.known, id)
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
