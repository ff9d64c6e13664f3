package telemetry

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

const (
	flushEvery = 200 * time.Millisecond
	flushBytes = 64 << 10  // of one shard
	limitBytes = 512 << 10 // of one shard: beyond it lines are dropped
)

// Batch gathers lines and writes them in large pieces from Run, so that a
// request pays for an append and never waits for a slow disk or a full pipe:
// what a destination that is stuck cannot take is dropped and counted.
// Lines of one moment may come out in another order.
type Batch struct {
	dst     io.Writer
	shards  []shard
	full    chan struct{}
	flush   sync.Mutex // one flush at a time; guards spare
	spare   []byte
	dropped atomic.Uint64
}

type shard struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
	_   [64]byte
}

var _ io.Writer = (*Batch)(nil)

// NewBatch returns a batch for dst. Nothing is written before Run or Flush.
func NewBatch(dst io.Writer) *Batch {
	return &Batch{dst: dst, shards: make([]shard, runtime.GOMAXPROCS(0)), full: make(chan struct{}, 1)}
}

// Write appends one line. It never fails.
func (b *Batch) Write(line []byte) (int, error) {
	s := b.shard()
	before := len(s.buf)
	if before+len(line) > limitBytes {
		s.mu.Unlock()
		b.dropped.Add(1)
		return len(line), nil
	}
	s.buf = append(s.buf, line...)
	s.mu.Unlock()
	if before < flushBytes && before+len(line) >= flushBytes {
		select {
		case b.full <- struct{}{}:
		default: // Run knows already
		}
	}
	return len(line), nil
}

// shard returns a shard, locked: that of the processor, or the next that is free.
func (b *Batch) shard() *shard {
	n := len(b.shards)
	at := int(exchange.PickLane() % exchange.Lane(n))
	for range n {
		if s := &b.shards[at]; s.mu.TryLock() {
			return s
		}
		at = (at + 1) % n
	}
	s := &b.shards[at]
	s.mu.Lock()
	return s
}

// Run writes every 200 ms, and as soon as a shard holds 64 KiB, until ctx ends;
// then it writes what is left. The destination's errors do not end it.
func (b *Batch) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.full:
		case <-ctx.Done():
			return b.Flush()
		}
		b.Flush()
	}
}

// Flush writes what was gathered so far.
func (b *Batch) Flush() error {
	b.flush.Lock()
	defer b.flush.Unlock()
	var errs []error
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		lines := s.buf
		s.buf = b.spare[:0]
		s.mu.Unlock()
		if len(lines) > 0 {
			if _, err := b.dst.Write(lines); err != nil {
				errs = append(errs, err)
			}
		}
		if b.spare = lines; cap(lines) > 2*flushBytes {
			b.spare = nil // a burst does not keep its memory
		}
	}
	return errors.Join(errs...)
}

// Dropped returns how many lines were lost because the destination was stuck.
func (b *Batch) Dropped() uint64 { return b.dropped.Load() }
