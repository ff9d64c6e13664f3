package h1

import "sync/atomic"

// Stats says what an engine did.
type Stats struct {
	Conns        int    `json:"conns"`         // open now; hijacked ones are not among them
	Requests     uint64 `json:"requests"`      // given to the handler
	Malformed    uint64 `json:"malformed"`     // heads that were answered 400
	TooLarge     uint64 `json:"too_large"`     // heads that were answered 414 or 431
	Unsupported  uint64 `json:"unsupported"`   // heads that were answered 417, 501 or 505
	HeadTimeouts uint64 `json:"head_timeouts"` // connections closed because no head came, or not all of it
	IdleTimeouts uint64 `json:"idle_timeouts"` // connections closed between requests
	SlowBodies   uint64 `json:"slow_bodies"`   // bodies below the minimum rate
	Trimmed      uint64 `json:"trimmed"`       // connections given up by Trim
	Hijacked     uint64 `json:"hijacked"`      // connections taken over
	Panics       uint64 `json:"panics"`        // handlers that panicked, other than to abort
}

// Add adds those of another engine.
func (s *Stats) Add(o Stats) {
	s.Conns += o.Conns
	s.Requests += o.Requests
	s.Malformed += o.Malformed
	s.TooLarge += o.TooLarge
	s.Unsupported += o.Unsupported
	s.HeadTimeouts += o.HeadTimeouts
	s.IdleTimeouts += o.IdleTimeouts
	s.SlowBodies += o.SlowBodies
	s.Trimmed += o.Trimmed
	s.Hijacked += o.Hijacked
	s.Panics += o.Panics
}

// tally is what Stats is made of. The requests of open connections are counted
// there.
type tally struct {
	requests, malformed, tooLarge, unsupported atomic.Uint64
	headTimeouts, idleTimeouts, slow, trimmed  atomic.Uint64
	hijacked, panics                           atomic.Uint64
}

// Stats returns the state of this moment.
func (e *Engine) Stats() Stats {
	t := &e.tally
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Stats{
		Conns: e.open, Requests: t.requests.Load(),
		Malformed: t.malformed.Load(), TooLarge: t.tooLarge.Load(), Unsupported: t.unsupported.Load(),
		HeadTimeouts: t.headTimeouts.Load(), IdleTimeouts: t.idleTimeouts.Load(), SlowBodies: t.slow.Load(),
		Trimmed: t.trimmed.Load(), Hijacked: t.hijacked.Load(), Panics: t.panics.Load(),
	}
	for c := e.first; c != nil; c = c.next {
		s.Requests += c.served.Load()
	}
	return s
}
