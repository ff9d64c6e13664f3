package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxWaiting bounds the requests that wait for one pool.
const maxWaiting = 10_000

// queue is who waits for an endpoint, first come, first served. Its zero value
// is empty.
type queue struct {
	waiting    atomic.Int64
	turnedAway atomic.Int64

	mu          sync.Mutex // guards all below, and the links of waiters
	first, last *waiter
	pace        *time.Timer // nil unless more are to be called
}

// waiter is one request in the queue.
type waiter struct {
	called     chan struct{} // holds one
	next, prev *waiter
	in         bool
}

// join returns a new waiter at the end, or in front if it had its turn before
// and got nothing; nil if too many wait.
func (q *queue) join(front bool) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.Load() >= maxWaiting {
		q.turnedAway.Add(1)
		return nil
	}
	w := &waiter{called: make(chan struct{}, 1), in: true}
	switch {
	case q.first == nil:
		q.first, q.last = w, w
	case front:
		w.next, q.first.prev = q.first, w
		q.first = w
	default:
		w.prev, q.last.next = q.last, w
		q.last = w
	}
	q.waiting.Add(1)
	return w
}

// remove takes w out, and reports whether it was still in.
func (q *queue) remove(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.unlink(w)
}

func (q *queue) unlink(w *waiter) bool {
	if !w.in {
		return false
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.next, w.prev, w.in = nil, nil, false
	q.waiting.Add(-1)
	return true
}

// call takes the first n out and tells them.
func (q *queue) call(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; n > 0 && q.first != nil; n-- {
		w := q.first
		q.unlink(w)
		w.called <- struct{}{}
	}
}

// again has f called in d, unless that is so already.
func (q *queue) again(d time.Duration, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pace != nil || q.first == nil {
		return
	}
	q.pace = time.AfterFunc(d, func() {
		q.mu.Lock()
		q.pace = nil
		q.mu.Unlock()
		f()
	})
}

// end calls everybody, and calls nobody later.
func (q *queue) end() {
	q.call(maxWaiting)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pace != nil {
		q.pace.Stop()
		q.pace = nil
	}
}
