package public

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
)

// Run orders and renews until ctx ends, and returns nil.
func (c *Certificates) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		work, next := c.next()
		for _, h := range work {
			running.Go(func() { c.attempt(ctx, h) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-time.After(next):
		}
	}
}

// next returns the hosts whose turn it is, marked busy, and how long nobody
// else's will be.
func (c *Certificates) next() (work []*host, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	type turn struct {
		*host
		at time.Time
	}
	var due []turn
	wait = time.Hour
	for _, h := range c.hosts {
		if h.busy {
			continue
		}
		if at, _ := c.due(h, now); at.After(now) {
			wait = min(wait, at.Sub(now))
		} else {
			due = append(due, turn{h, at})
		}
	}
	slices.SortFunc(due, func(a, b turn) int { // those without any certificate first
		return cmp.Or(cmp.Compare(has(a.host), has(b.host)), a.at.Compare(b.at), cmp.Compare(a.name, b.name))
	})
	for _, t := range due[:min(len(due), workers-c.busy)] {
		t.busy = true
		c.busy++
		work = append(work, t.host)
	}
	return work, max(wait, time.Millisecond)
}

func has(h *host) int {
	if h.cert != nil && !h.forced {
		return 1
	}
	return 0
}

// due returns when something is to be done for h, and what is in its way.
func (c *Certificates) due(h *host, now time.Time) (at time.Time, why acme.Fault) {
	r := c.book.Hosts[h.name]
	if h.cert != nil {
		at = c.renewal(h, r, now)
	}
	if h.forced {
		return now, why
	}
	later := func(t time.Time, f acme.Fault) {
		if t.After(at) && t.After(now) {
			at, why = t, f
		}
	}
	if r.Failures > 0 {
		why = acme.Fault{Message: r.Error, Fix: r.Fix} // shown also while it is tried again
	}
	if h.fault.Message != "" {
		why = h.fault
	}
	later(h.check, h.fault)
	later(r.Next, acme.Fault{Message: r.Error, Fix: r.Fix})
	if p := c.book.Pause; p.Count > 0 {
		later(p.Until, acme.Fault{Message: p.Error, Fix: p.Fix})
	}
	if !at.After(now) {
		later(c.limit(h.name, h.cert != nil, now))
	}
	return at, why
}

// renewal returns when h's certificate is renewed: when a third of its life is
// left, of a long one 30 days before its end, and a little later so that hosts
// that came together part. Whatever the clock says, a certificate is not followed
// by another before a third of its life has passed: with a clock a year ahead
// each new one is expired at once.
func (c *Certificates) renewal(h *host, r record, now time.Time) time.Time {
	leaf := h.cert.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	early := min(life/3, renewEarly)
	at := leaf.NotAfter.Add(-early + jitter(h, early/10))
	if !h.ordered.IsZero() {
		at = latest(at, now.Add(life/3-time.Since(h.ordered)))
	}
	if n := len(r.Issued); n > 0 && !r.Issued[n-1].After(now) {
		at = latest(at, r.Issued[n-1].Add(life/3))
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// jitter is less than limit and the same at every start.
func jitter(h *host, limit time.Duration) time.Duration {
	sum := fnv.New64a()
	sum.Write([]byte(h.name))
	sum.Write(h.cert.Leaf.SerialNumber.Bytes())
	return time.Duration(sum.Sum64() % uint64(max(limit, 1)))
}

// attempt does what is due for h.
func (c *Certificates) attempt(ctx context.Context, h *host) {
	forced := c.begin(h)
	defer c.end(h)
	if c.arrived(h, forced) {
		return
	}
	by, unchecked, ok := c.preflight(ctx, h, forced)
	if !ok {
		return
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return
	}
	unlock, err := c.cfg.Store.Lock(ctx, c.cfg.Dir+"/orders/"+h.name) // two processes may share the directory
	if err != nil {
		return
	}
	defer unlock()
	if c.arrived(h, forced) || !c.reserve(h, forced) {
		return
	}
	c.order(ctx, h, by, unchecked)
}

func (c *Certificates) begin(h *host) (forced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	forced, h.forced = h.forced, false
	return forced
}

func (c *Certificates) end(h *host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.busy = false
	c.busy--
	c.poke()
}

// arrived reports whether nothing is left to do: another process has got the
// certificate, or nobody wants it any more.
func (c *Certificates) arrived(h *host, forced bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts[h.name] != h {
		return true
	}
	before := h.cert
	c.adopt(h)
	if h.cert == nil || forced && h.cert == before {
		return false
	}
	now := c.cfg.Now()
	return c.renewal(h, c.book.Hosts[h.name], now).After(now)
}

// preflight finds out by which challenge to order, and whether the order is made
// though it says that the host cannot be reached.
func (c *Certificates) preflight(ctx context.Context, h *host, forced bool) (by acme.Challenge, unchecked, ok bool) {
	by, err := c.cfg.Preflight(ctx, h.name)
	if err == nil {
		return by, false, true
	}
	if ctx.Err() != nil {
		return "", false, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if forced || c.book.Hosts[h.name].Unchecked {
		return cmp.Or(by, acme.HTTP01), true, true
	}
	f := faultOf(err)
	if f.Message != h.fault.Message {
		c.cfg.Log.Warn().Str("host", h.name).Str("fix", f.Fix).Str("err", f.Message).Msg("no certificate was ordered: the host cannot be reached")
	}
	h.fault = *f
	h.check = c.cfg.Now().Add(checkAgain + time.Duration(len(h.name))*50*time.Millisecond) // a little apart
	return "", false, false
}

func faultOf(err error) *acme.Fault {
	if f, ok := errors.AsType[*acme.Fault](err); ok {
		return f
	}
	return &acme.Fault{Message: err.Error(), Err: err}
}

// reserve notes the order, unless a limit is in the way.
func (c *Certificates) reserve(h *host, forced bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.fault, h.check = acme.Fault{}, time.Time{}
	now := c.cfg.Now()
	if until, why := c.limit(h.name, h.cert != nil, now); !until.IsZero() && !forced {
		h.fault, h.check = why, until
		return false
	}
	if !c.made(h.name) {
		c.change(func(l *ledger) { l.begun(h.name, h.cert != nil, now) })
	}
	return true
}

func (c *Certificates) made(host string) bool { return c.cfg.Made != nil && c.cfg.Made(host) }

// order orders and keeps what comes of it.
func (c *Certificates) order(ctx context.Context, h *host, by acme.Challenge, unchecked bool) {
	data, err := c.cfg.Order(ctx, h.name, by)
	var cert *tls.Certificate
	if err == nil {
		cert, err = parse(h.name, data)
	}
	if ctx.Err() != nil && err != nil {
		return // the order is taken up by the next process
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	if err != nil {
		f := faultOf(err)
		known := c.book.Hosts[h.name].Error
		if f.Scope == acme.OfAuthority {
			known = c.book.Pause.Error
		}
		c.change(func(l *ledger) { l.failed(h.name, h.cert != nil, f, now) })
		if f.Over {
			c.cfg.Done(h.name)
		}
		if f.Message != known {
			next, _ := c.due(h, now)
			c.cfg.Log.Error().Str("host", h.name).Str("fix", f.Fix).Time("next", next).Str("err", f.Message).Msg("certificate was not obtained")
		}
		return
	}
	if c.cfg.Store.Put(c.file(h.name), data) == nil {
		c.cfg.Done(h.name) // else the order is what a restart gets it back by
	}
	h.ordered = time.Now()
	c.serve(h, cert)
	c.change(func(l *ledger) { l.issued(h.name, unchecked, now) })
	c.cfg.Log.Info().Str("host", h.name).Str("authority", c.cfg.Authority).Time("until", cert.Leaf.NotAfter).Msg("certificate obtained")
}
