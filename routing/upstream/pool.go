// Package upstream sends requests to containers. A Pool is an
// http.RoundTripper over the endpoints that share load for one service: it
// knows which of them may be asked, asks one, and turns to another if no
// connection came about. A Prober finds out which endpoints listen. Below them
// is an HTTP/1.1 transport of our own: net/http's can neither send a path byte
// for byte nor be kept from reusing a connection on which bytes wait that
// nobody asked for.
package upstream

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/routing/balance"
	"github.com/fairlead/fairlead/spec"
)

// Config says what a pool is made of besides its endpoints.
type Config struct {
	Key string
	TLS spec.UpstreamTLS // for https endpoints; what it names is read once, by New
	// Secret reads what TLS names: file:PATH or env:NAME.
	Secret func(ref string) ([]byte, error)
	Picker balance.Picker // nil: round robin
	Prober *Prober        // nil: running containers count as ready
	Dial   Dial           // nil: net.Dialer with TCP keep-alive
	Log    zerolog.Logger
}

// A Pool picks an endpoint for every request and sends it there. What requests
// read is immutable and swapped whole; what changes under them are atomics in
// each endpoint. It has no goroutine.
type Pool struct {
	key    string
	tls    *tls.Config
	picker balance.Picker
	prober *Prober
	dial   Dial
	log    zerolog.Logger

	view atomic.Pointer[view]

	mu     sync.Mutex // guards closed and the state of all endpoints
	closed bool
	all    []*endpoint // as in the spec
}

// view is what requests see of a pool.
type view struct {
	ready []*endpoint
	picks []*balance.Endpoint // of ready, index by index
}

var _ http.RoundTripper = (*Pool)(nil)

// New returns a pool without endpoints. It fails if a file that c.TLS names
// cannot be used.
func New(c Config) (*Pool, error) {
	cfg, err := loadTLS(c.TLS, c.Secret)
	if err != nil {
		return nil, err
	}
	p := &Pool{key: c.Key, tls: cfg, picker: c.Picker, prober: c.Prober, dial: c.Dial, log: c.Log.With().Str("pool", c.Key).Logger()}
	if p.picker == nil {
		p.picker = &balance.RoundRobin{}
	}
	if p.dial == nil {
		p.dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	p.view.Store(&view{})
	return p, nil
}

// Set replaces the endpoints. Those that stay keep their state, connections
// and counters. When it returns, no endpoint that left or drains gets another
// request.
func (p *Pool) Set(s spec.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	old := make(map[identity]*endpoint, len(p.all))
	for _, e := range p.all {
		old[e.id] = e
	}
	p.all = make([]*endpoint, 0, len(s.Endpoints))
	for i := range s.Endpoints {
		se := s.Endpoints[i]
		id := identityOf(&se)
		e := old[id]
		if e == nil {
			e = newEndpoint(p, id, &se)
		}
		delete(old, id)
		p.all = append(p.all, e)
		e.update(&se)
	}
	for _, e := range old {
		e.remove(p.all)
	}
	p.publish()
}

// publish makes the state of the endpoints what requests see.
func (p *Pool) publish() {
	v := &view{}
	for _, e := range p.all {
		if e.state == ready {
			v.ready = append(v.ready, e)
			v.picks = append(v.picks, &e.Endpoint)
		}
	}
	p.view.Store(v)
}

// Ready reports whether any endpoint can take a request. It takes no lock.
func (p *Pool) Ready() bool { return len(p.view.Load().ready) > 0 }

// Close retires the pool: no more requests, dials or probes; those that run
// finish.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, e := range p.all {
		e.withdraw(down, "the pool was retired")
	}
	p.publish()
}

// EndpointState is what can be told of an endpoint, in plain data.
type EndpointState struct {
	Container string    `json:"container"`
	ID        string    `json:"id,omitempty"`
	Address   string    `json:"address,omitempty"`
	State     string    `json:"state"` // starting, ready, draining, paused, created, restarting, exited, gone, down
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	Started   time.Time `json:"started,omitzero"`
	InFlight  int64     `json:"in_flight"`
	Fails     int64     `json:"fails"`                // failed attempts since it was last ready
	LastError string    `json:"last_error,omitempty"` // in words, with FailedAt
	FailedAt  time.Time `json:"failed_at,omitzero"`
}

// Endpoints returns the state of all endpoints, in the order they were set.
func (p *Pool) Endpoints() []EndpointState {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]EndpointState, len(p.all))
	for i, e := range p.all {
		states[i] = e.describe()
	}
	return states
}
