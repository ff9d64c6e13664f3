package exchange

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Probe is attached to the one request that somebody wants to know everything
// about: what `fairlead explain` rehearses, or sends. All others have none.
type Probe struct {
	// Dry: the request is rehearsed. It takes the way of every other one, but
	// nothing is sent to an endpoint, waited for, counted or remembered: a kind that
	// takes something from others (a token of a rate limit) has to ask
	// Exchange.Dry first.
	Dry bool

	mu       sync.Mutex // guards what is below
	attempts []Attempt
	outcome  Outline
	ended    chan struct{} // closed by end; nil for a rehearsal
	over     bool          // it is closed
}

// An Attempt is one try to have an endpoint answer. Of a rehearsal it is what
// would be tried.
type Attempt struct {
	Container string `json:"container,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"` // "" if none can be asked now
	Reason    string `json:"reason,omitempty"`   // why it is this one; of a rehearsal alone
	Request   []byte `json:"request,omitempty"`  // head, as on the wire
	Answer    []byte `json:"answer,omitempty"`   // head of the final answer, as on the wire
	Kept      bool   `json:"kept,omitempty"`     // on a connection that was open already
	// Since the request came: when the attempt began, when its head was sent, when the
	// head of the answer was there. Zero where it did not come to that.
	Begun, Sent, Answered time.Duration `json:"-"`
	Err                   string        `json:"error,omitempty"`
}

// An Outline is what the exchange of a probe came to.
type Outline struct {
	ID, Route, Pool string
	Status          int
	Retries         int
	Held, Took      time.Duration
	Code            string // see Exchange
	Cause           error
}

// NewProbe returns a probe for a request that is sent.
func NewProbe() *Probe { return &Probe{ended: make(chan struct{})} }

// Dry reports whether the request is only rehearsed.
func (x *Exchange) Dry() bool { return x.Probe != nil && x.Probe.Dry }

// IDMade reports whether ID was made for this request, and is nobody else's.
func (x *Exchange) IDMade() bool { return !x.named }

// Begin notes that an endpoint is tried.
func (p *Probe) Begin(a Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
}

// Note has f add to what is known of the attempt in hand.
func (p *Probe) Note(f func(a *Attempt)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.attempts); n > 0 {
		f(&p.attempts[n-1])
	}
}

// Attempts returns those there were.
func (p *Probe) Attempts() []Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Attempt(nil), p.attempts...)
}

// Ended is closed when the exchange has ended: Outcome is complete then.
func (p *Probe) Ended() <-chan struct{} { return p.ended }

// Outcome returns what the exchange came to.
func (p *Probe) Outcome() Outline {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

func (p *Probe) end(x *Exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return // another request of the same connection
	}
	p.over = true
	p.outcome = Outline{
		ID: x.ID, Route: x.Route, Pool: x.Pool, Status: x.Response.Status, Retries: x.Retries,
		Held: x.Held, Took: time.Since(x.Start), Code: x.Code, Cause: x.Cause,
	}
	if p.ended != nil {
		close(p.ended)
	}
}

// Probes are the requests that are watched, by the address they come from: the
// local end of a connection that the proxy opened to itself. No request from
// outside can have it while that connection is open, so there is nothing that
// a client could send in order to be watched. The zero value watches nothing.
type Probes struct {
	mu sync.Mutex                                // held while by is replaced
	by atomic.Pointer[map[netip.AddrPort]*Probe] // nil if there are none
}

// Watch attaches p to what comes from the address from, until the func it returns
// is called, which has to be before that connection is closed.
func (s *Probes) Watch(from netip.AddrPort, p *Probe) (end func()) {
	from = netip.AddrPortFrom(plainAddr(from.Addr()), from.Port())
	s.change(func(by map[netip.AddrPort]*Probe) { by[from] = p })
	return func() { s.change(func(by map[netip.AddrPort]*Probe) { delete(by, from) }) }
}

func (s *Probes) change(f func(map[netip.AddrPort]*Probe)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[netip.AddrPort]*Probe{}
	if old := s.by.Load(); old != nil {
		maps.Copy(by, *old)
	}
	f(by)
	if len(by) == 0 {
		s.by.Store(nil)
		return
	}
	s.by.Store(&by)
}

// Of returns the probe for what comes from an address, nil for none.
func (s *Probes) Of(from netip.AddrPort) *Probe {
	by := s.by.Load()
	if by == nil {
		return nil
	}
	return (*by)[netip.AddrPortFrom(plainAddr(from.Addr()), from.Port())]
}

// Len returns how many there are.
func (s *Probes) Len() int {
	if by := s.by.Load(); by != nil {
		return len(*by)
	}
	return 0
}
