// Package h1 is an engine for HTTP/1.1 that costs what a request costs and little
// more: the request, its header, URL and writer are used again for the next one,
// nothing is allocated for it but one string, no timer is set and no goroutine
// started. On Linux connections are served from within the callback that
// waits for them (fast_linux.go).
//
// What handlers are given is theirs until they return, and not longer.
package h1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
)

// Config says how an Engine serves. Handler is all it needs.
type Config struct {
	Handler      http.Handler
	HeadTimeout  time.Duration // for the head of a request, from accept or its first byte on; 0 means 10 s
	IdleTimeout  time.Duration // between requests; 0 means 75 s
	MaxHeadBytes int           // of a request line with its fields; 0 means 64 KiB
	MaxFields    int           // of a head; 0 means http1.MaxFields, which is also the most
	MaxRequests  int           // of a connection; 0 is no limit
	// MinBodyRate is how slowly, in bytes a second, the body of a request may
	// come for longer than BodyGrace; 0 means 1 KiB/s, less turns it off.
	MinBodyRate int
	BodyGrace   time.Duration // 0 means 20 s
	// ErrorLog is told of handlers that panicked; nil discards it.
	ErrorLog func(line string)
	// Poison overwrites what will be used again as soon as the handler has
	// returned, and makes late use of a writer panic, so that tests show who keeps
	// what is not his.
	Poison bool
}

// Engine serves HTTP/1.1 on connections it is given. It is a server.Engine.
type Engine struct {
	cfg   Config
	tick  time.Duration // of the janitor
	epoch time.Time     // zero of all clocks below
	clock atomic.Int64  // milliseconds, as of the last tick
	date  atomic.Pointer[string]
	tally tally

	desks sync.Pool // not those of other engines: a kept request is known to the handler

	leaving atomic.Bool // Shutdown or Close was called

	mu      sync.Mutex    // guards all below
	first   *conn         // of the list of all connections but hijacked ones
	open    int           // its length
	sweeps  bool          // the janitor runs
	stop    chan struct{} // ends it
	emptied chan struct{} // closed when the list has become empty while leaving
	watcher *watcher      // of clients, nil as long as nobody wants to know of one
}

// New returns an engine.
func New(c Config) *Engine {
	c.HeadTimeout = orDefault(c.HeadTimeout, 10*time.Second)
	c.IdleTimeout = orDefault(c.IdleTimeout, 75*time.Second)
	c.BodyGrace = orDefault(c.BodyGrace, 20*time.Second)
	if c.MaxHeadBytes <= 0 {
		c.MaxHeadBytes = 64 << 10
	}
	if c.MaxFields <= 0 || c.MaxFields > http1.MaxFields {
		c.MaxFields = http1.MaxFields
	}
	if c.MinBodyRate == 0 {
		c.MinBodyRate = 1 << 10
	}
	shortest := min(c.HeadTimeout, c.IdleTimeout, c.BodyGrace)
	return &Engine{cfg: c, epoch: time.Now(), tick: max(min(shortest/8, time.Second), 5*time.Millisecond)}
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// ServeConn serves nc on a goroutine of its own and returns at once. A
// connection that has CloseRead, CloseWrite and SyscallConn is taken for a
// stream socket, and may be read by its descriptor.
func (e *Engine) ServeConn(nc net.Conn) {
	c := newConn(e, nc)
	if !e.admit(c) {
		nc.Close()
		return
	}
	go c.run()
}

// Shutdown closes idle connections, lets requests in flight finish, and returns
// when none is left or, with its error, when ctx has ended. A connection that
// has not asked anything yet has freshGrace for it, since its request may be on
// its way.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.leaving.Store(true)
	e.mu.Lock()
	if e.open == 0 {
		e.halt()
		e.mu.Unlock()
		return nil
	}
	if e.emptied == nil {
		e.emptied = make(chan struct{})
	}
	emptied := e.emptied
	for c := e.first; c != nil; c = c.next {
		c.claim(idle)
	}
	e.mu.Unlock()
	select {
	case <-emptied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cuts all connections that were not hijacked. It does not wait for their
// handlers, whose contexts end.
func (e *Engine) Close() error {
	e.leaving.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := e.first; c != nil; c = c.next {
		c.abort()
	}
	if e.open == 0 {
		e.halt()
	}
	return nil
}

// Trim closes up to n idle connections, those first that are idle for longest,
// and returns how many. It is for when memory runs out.
func (e *Engine) Trim(n int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	trimmed := 0
	for _, c := range e.idlest(n) {
		if c.claim(idle) {
			trimmed++
		}
	}
	e.tally.trimmed.Add(uint64(trimmed))
	return trimmed
}

// admit puts c on the list, unless the engine is leaving.
func (e *Engine) admit(c *conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaving.Load() {
		return false
	}
	if !e.sweeps {
		e.sweeps, e.stop = true, make(chan struct{})
		e.wind(time.Now())
		go e.sweep(e.stop)
	}
	c.state.Store(stamped(fresh, e.clock.Load()))
	c.next = e.first
	if c.next != nil {
		c.next.prev = c
	}
	e.first = c
	e.open++
	return true
}

// forget takes c off the list.
func (e *Engine) forget(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tally.requests.Add(c.served.Load())
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		e.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
	e.open--
	if e.open > 0 || !e.leaving.Load() {
		return
	}
	e.halt()
	if e.emptied != nil {
		close(e.emptied)
		e.emptied = nil
	}
}

func (e *Engine) log(line string) {
	if e.cfg.ErrorLog != nil {
		e.cfg.ErrorLog(line)
	}
}
