package discovery

import (
	"sync"
	"time"
)

// Status is what a Docker is doing, as plain data for people and dashboards.
type Status struct {
	Host        string
	Connected   bool      // the event stream is open and a list was answered
	Since       time.Time // of Connected, either way
	Engine      string    // its version, "28.5.2"; "" if it hides it
	API         string    // version of the API spoken with it
	LastList    time.Time // when a list was last answered
	LastEvent   time.Time
	LastPublish time.Time
	Reconnects  uint64            // connections after the first
	Calls       map[string]uint64 // engine calls so far, by kind
	Containers  int               // in the last snapshot
	Stale       string            // as in the last snapshot
	LastError   string            // the last that happened, also if it is over
	LastErrorAt time.Time
}

type status struct {
	mu sync.Mutex // guards s
	s  Status
}

func (s *status) update(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.s)
}

func (s *status) event() { s.update(func(s *Status) { s.LastEvent = time.Now() }) }

func (s *status) listed() {
	s.update(func(s *Status) {
		s.LastList = time.Now()
		if !s.Connected {
			s.Connected, s.Since = true, time.Now()
		}
	})
}

func (s *status) lost() {
	s.update(func(s *Status) {
		if s.Connected {
			s.Connected, s.Since = false, time.Now()
		}
	})
}

func (s *status) failed(err error) {
	s.update(func(s *Status) { s.LastError, s.LastErrorAt = err.Error(), time.Now() })
}

func (s *status) published(containers int, stale string) {
	s.update(func(s *Status) { s.Containers, s.Stale, s.LastPublish = containers, stale, time.Now() })
}
