package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/routing/balance"
	"github.com/fairlead/fairlead/spec"
)

// afterDeath is how long requests in flight may still read what a dead
// container left in their sockets.
const afterDeath = 5 * time.Second

// identity is what makes two endpoints the same one: a run of a container at
// an address. An address alone says nothing, for the next container to start
// gets the lowest that is free.
type identity struct {
	container    string
	started      int64
	addr         netip.AddrPort
	host, socket string
	scheme       string
}

func identityOf(e *spec.Endpoint) identity {
	id := identity{container: e.ID, addr: e.Addr, host: e.Host, socket: e.Socket, scheme: e.Scheme}
	if !e.StartedAt.IsZero() {
		id.started = e.StartedAt.UnixNano()
	}
	return id
}

// state is where an endpoint is in its life: starting → ready → draining →
// gone, and down for every other reason to get nothing.
type state uint8

const (
	starting state = iota // runs, and has to be seen listening first
	ready                 // takes requests
	draining              // finishes what it has
	down
)

// endpoint is one run of a container in a pool. Its mutable part is guarded by
// the pool's mutex, except for the atomics.
type endpoint struct {
	balance.Endpoint // what pickers see of it
	pool             *Pool
	id               identity
	transport        *transport

	spec    spec.Endpoint
	state   state
	reason  string // why it is not ready
	since   time.Time
	leave   context.CancelFunc // ends its probe, nil without one
	probing context.Context
	doubt   bool        // the engine contradicted it, and has to take that back
	death   *time.Timer // aborts what is left in flight

	fails  atomic.Int64
	failed atomic.Pointer[failure]
}

// failure is the last thing that went wrong.
type failure struct {
	text string
	at   time.Time
}

func newEndpoint(p *Pool, id identity, se *spec.Endpoint) *endpoint {
	e := &endpoint{pool: p, id: id, spec: *se, state: down, since: time.Now()}
	e.Key = se.ID + "@" + strconv.FormatInt(id.started, 36) + "/" + address(se)
	e.transport = newTransport(se, p.tls, p.dial, &e.InFlight)
	return e
}

// update takes over what is known of the container now.
func (e *endpoint) update(se *spec.Endpoint) {
	e.spec, e.Weight = *se, se.Weight
	switch {
	case se.ID == "":
		if e.state != ready {
			e.becomeReady()
		}
	case se.Scheme != "" && se.Scheme != "http" && se.Scheme != "https":
		e.withdraw(down, "scheme "+se.Scheme+" is not supported yet")
	case se.State == spec.Draining:
		e.withdraw(draining, "told to stop")
	case se.State != spec.Running:
		e.withdraw(down, se.Reason)
		if se.State != spec.Paused {
			e.expire()
		}
	case !se.Addr.IsValid() && se.Socket == "":
		e.withdraw(down, cmp.Or(se.Reason, "it has no address that the proxy can reach"))
	case e.state == draining || e.state == down:
		// New, or on its way back: running is not listening.
		if e.pool.prober.knows(e.id) && !e.doubt {
			e.becomeReady()
		} else {
			e.start(e.doubt, "its port is being probed")
		}
	}
}

// start has e probed before it gets a request. doubtful asks the engine first
// whether the address is still its own.
func (e *endpoint) start(doubtful bool, reason string) {
	if e.pool.prober == nil {
		e.becomeReady()
		return
	}
	e.stopProbe()
	e.setState(starting, reason)
	e.probing, e.leave = context.WithCancel(context.Background())
	e.pool.prober.add(&probe{e: e, ctx: e.probing, doubtful: doubtful})
}

func (e *endpoint) stopProbe() {
	if e.leave != nil {
		e.leave()
		e.leave, e.probing = nil, nil
	}
}

func (e *endpoint) becomeReady() {
	e.stopProbe()
	e.doubt = false
	e.fails.Store(0)
	if e.death != nil {
		e.death.Stop()
		e.death = nil
	}
	e.transport.open()
	e.setState(ready, "")
}

// withdraw gives e no more requests; those it has go on.
func (e *endpoint) withdraw(s state, reason string) {
	e.stopProbe()
	e.transport.shut()
	e.setState(s, reason)
}

// expire aborts what is in flight to a dead container once it had the time to
// read what is in its socket.
func (e *endpoint) expire() {
	if e.InFlight.Load() > 0 && e.death == nil {
		e.death = time.AfterFunc(afterDeath, func() { e.transport.abort(errDied) })
	}
}

// remove takes e out of a pool whose endpoints are now those of rest.
func (e *endpoint) remove(rest []*endpoint) {
	e.withdraw(down, "it left the pool")
	if e.id.container == "" {
		return
	}
	for _, o := range rest {
		alive := o.spec.State == spec.Running || o.spec.State == spec.Draining || o.spec.State == spec.Paused
		if alive && o.id.container == e.id.container && o.id.started == e.id.started {
			e.vanish(o)
			return
		}
	}
	e.expire()
}

// vanish ends what is in flight at an address that its container, alive as o,
// does not use any more. If the network was disconnected, no FIN will ever tell
// those who wait. If another network was connected and is preferred now, the
// old address is still good for what runs; only the engine knows which it is.
func (e *endpoint) vanish(o *endpoint) {
	switch {
	case e.InFlight.Load() == 0:
	case o.id.addr.IsValid() && e.pool.prober != nil && e.pool.prober.Confirm != nil:
		e.pool.prober.add(&probe{e: e, ctx: context.Background(), doubtful: true, farewell: true})
	default:
		e.transport.abort(errVanished)
	}
}

func (e *endpoint) setState(s state, reason string) {
	if e.state == s && e.reason == reason {
		return
	}
	changed := e.state != s
	if changed && e.id.container != "" {
		e.pool.prober.count(e.id, s == ready, e.state == ready)
	}
	e.state, e.reason = s, reason
	if changed {
		e.since = time.Now()
		e.pool.log.Debug().Str("container", e.spec.Container).Str("endpoint", address(&e.spec)).Str("state", e.name()).Str("reason", reason).Msg("endpoint changed")
	}
}

// listens takes the good news of probe pr, and reports whether it was news.
func (e *endpoint) listens(pr *probe) bool {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.probing != pr.ctx {
		return false
	}
	e.becomeReady()
	e.pool.publish()
	return true
}

// silent notes that probe pr found nobody listening.
func (e *endpoint) silent(pr *probe, reason string) {
	e.note(reason)
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.probing == pr.ctx {
		e.setState(starting, reason)
	}
}

// moved takes e out until the next Set: the engine says that its address is
// not its own any more.
func (e *endpoint) moved(pr *probe, reason string) {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.probing == pr.ctx {
		e.doubt = true
		e.withdraw(down, reason)
	}
}

// suspect takes e out of rotation after a failed connect, until the engine and
// its port have been asked. A bad certificate is no doubt: whoever showed it
// was reached.
func (e *endpoint) suspect(reason string, err error) {
	e.note(reason)
	if e.id.container == "" || e.pool.prober == nil || errors.As(err, new(*tls.CertificateVerificationError)) {
		return
	}
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.state != ready {
		return
	}
	e.transport.shut()
	e.start(true, reason)
	e.pool.publish()
}

// note remembers what went wrong, for people.
func (e *endpoint) note(reason string) {
	e.fails.Add(1)
	e.failed.Store(&failure{reason, time.Now()})
}

// name returns the state in a word: for a container that does not run, its own.
func (e *endpoint) name() string {
	switch {
	case e.state == starting:
		return "starting"
	case e.state == ready:
		return "ready"
	case e.state == draining || e.spec.State != spec.Running:
		return e.spec.State.String()
	}
	return "down"
}

func (e *endpoint) describe() EndpointState {
	s := EndpointState{
		Container: e.spec.Container, ID: e.spec.ID, Address: address(&e.spec), State: e.name(), Reason: e.reason,
		Since: e.since, Started: e.spec.StartedAt, InFlight: e.InFlight.Load(), Fails: e.fails.Load(),
	}
	if !e.spec.Addr.IsValid() && e.spec.Socket == "" && e.spec.Host == "" {
		s.Address = ""
	}
	if f := e.failed.Load(); f != nil {
		s.LastError, s.FailedAt = f.text, f.at
	}
	return s
}
