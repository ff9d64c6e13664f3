package upstream

import (
	"context"
	"slices"
	"time"
)

const (
	// tick is how often the sweeper comes while requests are under way. A client
	// that leaves ends its exchange that much later at most.
	tick = 250 * time.Millisecond
	// together is how much later it may come in order to do several things at once.
	together = 5 * time.Millisecond
	// quick is how old an exchange may be before its client is watched: that costs
	// more than many an answer, and an engine does not use a request again whose
	// context it had to watch.
	quick = 10 * time.Millisecond
)

// What an exchange waits for. Each has a stamp in its conn: until when.
const (
	forAnswer = iota // the first byte of it
	forMore          // bytes of the answer
	forRoom          // to write more of the request
	awaited
)

// waits says which timeout each of them is.
var waits = [awaited]Phase{forAnswer: Responding, forMore: Idling, forRoom: Sending}

var epoch = time.Now()

// now is a clock that is cheap to read and to compare, in nanoseconds. It is
// positive even where the clock was turned back by some decades, as it is in a
// testing/synctest bubble.
func now() int64 { return int64(time.Since(epoch)) + 1<<61 }

// await stamps c with how long it may wait for what from now on; 0 is no limit.
// There is no timer behind a stamp: the sweeper finds it.
func (c *conn) await(what int, d time.Duration) {
	if d > 0 {
		c.awaitFrom(now(), what, d)
	}
}

func (c *conn) awaitFrom(at int64, what int, d time.Duration) {
	due := at + int64(d)
	c.stamps[what].Store(due)
	if d < tick {
		c.t.mu.Lock()
		c.t.wake(due)
		c.t.mu.Unlock()
	}
}

// came takes the stamp back.
func (c *conn) came(what int) {
	if c.stamps[what].Load() != 0 {
		c.stamps[what].Store(0)
	}
}

// begin puts c under the sweeper's eyes for the exchange of call. It is for use
// under the mutex, as are unsweep, watch, blink, wake, check and dropOld.
func (t *transport) begin(c *conn, call *call, at int64) {
	c.began, c.limit, c.ctx = at, 0, call.r.Context()
	if !call.limit.IsZero() {
		c.limit = at + int64(time.Until(call.limit))
	}
	c.place = len(t.busy)
	t.busy = append(t.busy, c)
	t.used = true
	due := at + int64(tick)
	if c.limit != 0 {
		due = min(due, c.limit)
	}
	t.wake(due)
}

// unsweep takes c from under them. An exchange that goes on all the same, as a
// tunnel does, is ended by its context alone.
func (t *transport) unsweep(c *conn) {
	if c.place < 0 {
		return
	}
	last := len(t.busy) - 1
	moved := t.busy[last]
	t.busy[c.place], moved.place = moved, c.place
	t.busy[last] = nil
	t.busy = t.busy[:last]
	c.place = -1
}

// leaveTo leaves c, on which a tunnel begins, to those at its ends.
func (t *transport) leaveTo(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsweep(c)
	c.watch()
}

// watch has the exchange on c end with its context.
func (c *conn) watch() {
	if c.unwatch == nil {
		ctx := c.ctx
		c.unwatch = context.AfterFunc(ctx, func() { c.gone(ctx) })
	}
}

// blink ends that watch, and reports whether the context had not ended.
func (c *conn) blink() bool {
	stop := c.unwatch
	c.unwatch, c.ctx = nil, nil
	return stop == nil || stop()
}

// wake has the sweeper come at a moment, unless it comes before.
func (t *transport) wake(at int64) {
	if t.next != 0 && t.next <= at {
		return
	}
	t.next = at
	in := time.Duration(at - now())
	if t.timer == nil {
		t.timer = time.AfterFunc(in, t.sweep)
	} else {
		t.timer.Reset(in)
	}
}

// sweep ends exchanges whose time is up, has those that last watched over, and
// closes connections that were idle too long. It is the one timer of the
// transport, and comes again while there is anything to come for.
func (t *transport) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now()
	t.next = 0
	t.dropOld(at)
	var next int64
	if len(t.idle) > 0 {
		next = t.idle[0].idleAt + int64(idleFor)
	}
	if t.used || len(t.busy) > 0 {
		next = at + int64(tick)
	}
	for _, c := range t.busy {
		if due := c.check(at); due > 0 {
			next = min(next, max(due, at+int64(together)))
		}
	}
	t.used = false
	if next > 0 {
		t.wake(next)
	}
}

// check ends the exchange on c if its time is up. It returns when that will be,
// as far as it is known, or 0.
func (c *conn) check(at int64) (next int64) {
	if c.cause.Load() != nil {
		return 0
	}
	if at-c.began >= int64(quick) {
		c.watch()
	}
	for what := range c.stamps {
		due := c.stamps[what].Load()
		if due != 0 && due <= at {
			c.abort(c.t.timeout(waits[what]))
			return 0
		}
		next = sooner(next, due)
	}
	if c.limit != 0 && c.limit <= at {
		c.abort(c.t.timeout(Requesting))
		return 0
	}
	return sooner(next, c.limit)
}

// sooner returns the earlier of two stamps, of which 0 means none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// dropOld closes what was idle too long.
func (t *transport) dropOld(at int64) {
	old := 0
	for old < len(t.idle) && at-t.idle[old].idleAt >= int64(idleFor) {
		delete(t.conns, t.idle[old])
		t.idle[old].sock.Close()
		old++
	}
	t.idle = slices.Delete(t.idle, 0, old)
}
