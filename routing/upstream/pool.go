// Package upstream sends requests to containers. A Pool is an
// http.RoundTripper over the endpoints that share load for one service: it
// knows which of them may be asked, has requests wait while none may, asks one,
// and turns to another where that is safe. A Prober finds out which endpoints
// listen and are healthy. Below them
// is an HTTP/1.1 transport of our own: net/http's can neither send a path byte
// for byte nor be kept from reusing a connection on which bytes wait that
// nobody asked for.
package upstream

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/balance"
	"github.com/fairlead/fairlead/spec"
)

// Config says what a pool is made of besides its endpoints and their labels.
type Config struct {
	Key string
	TLS spec.UpstreamTLS // for https endpoints; what it names is read once, by New
	// Secret reads what TLS names: file:PATH or env:NAME.
	Secret func(ref string) ([]byte, error)
	// StickyKey signs the cookies of sticky pools; nil: one that dies with the
	// process.
	StickyKey []byte
	Prober    *Prober // nil: running containers count as ready
	Dial      Dial    // nil: net.Dialer with TCP keep-alive
	Log       zerolog.Logger
	// Poison has everything that is used again overwritten when a response's Body
	// is closed. It is for tests.
	Poison bool
}

// A Pool picks an endpoint for every request and sends it there. What requests
// read is immutable and swapped whole; what changes under them are atomics in
// each endpoint. It has no goroutine.
type Pool struct {
	key       string
	tls       *tls.Config
	stickyKey []byte
	prober    *Prober
	dial      Dial
	log       zerolog.Logger
	poison    bool

	view   atomic.Pointer[view]
	turns  balance.Turns
	queue  queue
	shakes atomic.Uint64
	budget budget

	mu       sync.Mutex // guards all below, and the state of all endpoints
	closed   bool
	all      []*endpoint // as in the spec
	options  label.Options
	host     string // as which its health is asked
	plain    bool
	balanced balance.Options // what picker is
	picker   balance.Picker
	leftAt   time.Time // when it last lost an endpoint
	staged   bool      // from Set to Enter
}

var _ http.RoundTripper = (*Pool)(nil)

// New returns a pool without endpoints. It fails if a file that c.TLS names
// cannot be used.
func New(c Config) (*Pool, error) {
	cfg, err := loadTLS(c.TLS, c.Secret)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		key: c.Key, tls: cfg, stickyKey: c.StickyKey, prober: c.Prober, dial: c.Dial, poison: c.Poison,
		log: c.Log.With().Str("pool", c.Key).Logger(),
	}
	p.picker = &p.turns
	if p.stickyKey == nil {
		p.stickyKey = make([]byte, 32)
		rand.Read(p.stickyKey)
	}
	if p.dial == nil {
		p.dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	p.budget.fifths.Store(budgetAtHand)
	p.view.Store(&view{})
	return p, nil
}

// Set replaces the endpoints and what labels say of them. Those that stay keep
// their state, connections and counters. When it returns, no endpoint that left
// or drains gets another request. Endpoints that are heard of only then, or were
// on standby and are not any more, have to wait for Enter.
func (p *Pool) Set(s spec.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.options, p.host, p.plain = s.Options, s.Host, s.Plain
	if o := option(s.Options, "balance", balance.Options{}); o != p.balanced {
		p.balanced, p.picker = o, balance.New(o, &p.turns)
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
	p.relieve()
	p.staged = true
}

// Enter lets endpoints take requests that waited for their labels to hold. It is
// called when the table with these labels is live: before, a request could still
// reach them by the labels of the one that was. Whoever waits for what will not
// come any more is told then, too: before, another pool might have been about to
// take its place.
func (p *Pool) Enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.staged = false
	entered := false
	for _, e := range p.all {
		if e.enters {
			e.enters, e.spec.Standby, entered = false, false, true
			e.settle()
		}
	}
	switch {
	case entered && !p.closed:
		p.publish()
	case !p.Ready() && !p.expects(): // any more
		p.queue.call(maxWaiting)
	}
}

// relieve takes requests off paused endpoints that others may be asked instead:
// what is frozen answers nothing.
func (p *Pool) relieve() {
	if !p.Ready() {
		return
	}
	for _, e := range p.all {
		if e.spec.State == spec.Paused && e.InFlight.Load() > 0 {
			e.transport.abort(errPaused, unanswered)
		}
	}
}

// publish makes the state of the endpoints what requests see.
func (p *Pool) publish() {
	v := newView(p)
	p.view.Store(v)
	if v.best > 0 {
		p.admitBatch()
	}
}

// Ready reports whether any endpoint can take a request. It takes no lock.
func (p *Pool) Ready() bool { return p.view.Load().best > 0 }

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
	p.queue.end()
}

// EndpointState is what can be told of an endpoint, in plain data.
type EndpointState struct {
	Container string    `json:"container"`
	ID        string    `json:"id,omitempty"`
	Address   string    `json:"address,omitempty"`
	State     string    `json:"state"` // starting, ready, unhealthy, draining, drained, paused, created, restarting, exited, gone, down
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	Started   time.Time `json:"started,omitzero"`
	Weight    int       `json:"weight"`
	Backup    bool      `json:"backup,omitempty"`
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

// Load is what goes on in a pool beside its endpoints.
type Load struct {
	Waiting    int64 `json:"waiting"`               // requests that wait for an endpoint
	TurnedAway int64 `json:"turned_away,omitempty"` // got 503 because too many waited
	Spent      int64 `json:"spent,omitempty"`       // were not sent again because the budget was spent
}

// Load returns the state of this moment.
func (p *Pool) Load() Load {
	return Load{p.queue.waiting.Load(), p.queue.turnedAway.Load(), p.budget.refused.Load()}
}
