package server

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// A Trimmer is an Engine that gives up idle connections when it is asked to:
// clients open another one at no loss, which is more than can be said of those
// who would be refused instead.
type Trimmer interface {
	// Trim closes up to n connections that wait for their next request, those
	// that have waited longest first, and returns how many. It does not wait for
	// them to be closed and may be called at any time.
	Trim(n int) int
}

// trim has the engines give up n idle connections and returns how many there
// were. net/http's engine has none to give.
func (s *Server) trim(n int) (given int) {
	s.mu.Lock()
	engines := slices.Clone(s.engines)
	s.mu.Unlock()
	for _, e := range engines {
		if t, ok := e.(Trimmer); ok && given < n {
			given += t.Trim(n - given)
		}
	}
	s.guests.givenUp.Add(uint64(given))
	return given
}

// When memory is short. The shorter it is, the more often it is collected: at
// 80 percent a fifth of the limit at most is gained each time, which is four
// times the work that the collector's own pace would be.
const (
	shortAt    = 80 // percent of the limit
	memoryTick = time.Second
	trimShare  = 8 // of all connections one eighth is given up at a time
)

// memory is what the last collection knew.
type memory struct {
	needed uint64 // bytes that it could not free
	limit  uint64 // bytes; GOMEMLIMIT
	cycle  uint64 // which collection it was
}

// limitedMemory reports whether the process has a limit of memory.
func limitedMemory() bool { return debug.SetMemoryLimit(-1) != math.MaxInt64 }

// relieve gives up idle connections while memory is short, until ctx ends. What
// that has gained shows in the next collection, so one has to be awaited before
// more are given up. Memory that is merely in use says nothing: whatever the
// need, the collector lets garbage grow up to the limit.
func (s *Server) relieve(ctx context.Context, read func() memory) {
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	var known uint64
	short := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m := read()
		if m.cycle == known {
			continue
		}
		before := short
		known, short = m.cycle, m.needed > m.limit/100*shortAt
		if !short {
			continue
		}
		given := s.trim(s.guests.count()/trimShare + 1)
		if !before {
			s.log("memory is short", fmt.Errorf("%d of %d MiB are needed, %d idle connections were given up", m.needed>>20, m.limit>>20, given))
		}
	}
}

// readMemory asks the runtime. Of what it has from the system, it could give back
// what is free or only touched; objects count as far as the last collection
// found them alive.
func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(s)
	needed := s[0].Value.Uint64() + s[5].Value.Uint64()
	for _, gain := range s[1:5] {
		needed -= gain.Value.Uint64()
	}
	return memory{needed: needed, cycle: s[6].Value.Uint64(), limit: s[7].Value.Uint64()}
}
