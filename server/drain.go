package server

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// parting is how long upgraded connections have after their farewell.
	parting = 3 * time.Second
	// hurried is how long idle connections are still kept when a process that
	// has handed over is told to stop.
	hurried = time.Second
)

// HandOver makes Serve take no more connections, because another process takes
// them from the same sockets, and drain at leisure: for HandedDrain, or Drain
// once Serve's context has ended. It returns at once.
func (s *Server) HandOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leaving.Swap(true) && s.handed != nil {
		close(s.handed)
	}
}

// Leaving reports whether answers should be the last of their connections.
func (s *Server) Leaving() bool { return s.leaving.Load() }

// drain ends what goes on. cutHandshakes ends handshakes in progress.
//
// After HandOver nothing is closed under a client that may be sending its next
// request: a connection that is used says with the next answer that it was the
// last, one that is not used runs into the idle timeout as on any day. Only then
// are engines shut down. Connections that were taken over, of which no engine
// knows, go on until the time is nearly up, else until the requests have ended.
func (s *Server) drain(ctx context.Context, handed bool, cutHandshakes func()) {
	s.guests.leave()
	short := orDefault(s.Drain, 30*time.Second)
	long := short
	if handed {
		long = orDefault(s.HandedDrain, 10*time.Minute)
	}
	all, cancel := within(ctx, long, short)
	defer cancel()
	most, cancel := within(ctx, long-partingOf(long), short-partingOf(short))
	defer cancel()

	if handed {
		courtesy, cancel := within(ctx, min(orDefault(s.Courtesy, 75*time.Second), long-partingOf(long)), min(hurried, short-partingOf(short)))
		s.guests.gone(courtesy)
		cancel()
	}
	cutHandshakes()
	ended := make(chan struct{})
	go s.shutdown(all, ended)
	select {
	case <-ended:
	case <-most.Done():
	}
	if handed {
		s.guests.gone(most)
	}
	s.guests.farewell()
	bye, cancel := context.WithTimeout(all, parting)
	defer cancel()
	<-ended
	if !s.guests.gone(bye) {
		s.log("connections cut", fmt.Errorf("%d were still in use when the drain ended", s.guests.cutAll()))
	}
}

// partingOf returns how much of a drain is left when upgraded connections are
// told that it ends.
func partingOf(drain time.Duration) time.Duration { return min(parting, drain/4) }

// within returns a context that ends after long, or earlier: short after ctx.
func within(ctx context.Context, long, short time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), long)
	hurry := context.AfterFunc(ctx, func() { time.AfterFunc(short, cancel) })
	return out, func() { hurry(); cancel() }
}

// shutdown shuts all engines down at once and closes ended.
func (s *Server) shutdown(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	var engines sync.WaitGroup
	for _, e := range s.engines {
		engines.Go(func() {
			if e.Shutdown(ctx) != nil {
				e.Close()
			}
		})
	}
	engines.Wait()
}
