package upstream

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/routing/balance"
	"github.com/fairlead/fairlead/spec"
)

// recently is how long the last failure of an endpoint that is ready is told as
// the reason why its answers are not what was hoped for.
const recently = time.Minute

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
// gone, unhealthy for a while, and down for every other reason to get nothing.
type state uint8

const (
	starting  state = iota // runs, and has to be seen listening, and healthy, first
	ready                  // takes requests
	unhealthy              // takes them only if nobody else can
	draining               // was told to stop, and finishes what it has
	drained                // gets nothing new because the operator says so
	down
)

// endpoint is one run of a container in a pool. Its mutable part is guarded by
// the pool's mutex, except for the atomics.
type endpoint struct {
	balance.Endpoint // what pickers see of it
	pool             *Pool
	id               identity
	transport        *transport
	token            string       // by which sticky clients ask for it
	most             atomic.Int64 // requests at once, 0 for no limit

	spec      spec.Endpoint
	state     state
	reason    string // why it is not ready
	since     time.Time
	listening bool // it took a connection in this run, and nothing speaks against it since
	wasReady  bool
	checks    checks
	strikes   strikes
	leave     context.CancelFunc // ends its probe, nil without one
	probing   context.Context
	enters    bool        // it may take requests from Enter on
	doubt     bool        // the engine contradicted it, and has to take that back
	death     *time.Timer // aborts what is left in flight
	drain     *drain      // nil unless it drains

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
	// By its name, so that what hashes and cookies sent to a container goes to
	// its successor.
	e.Key = se.Container + ":" + strconv.Itoa(int(se.Addr.Port()))
	e.token = tokenOf(p.stickyKey, p.key, e.Key)
	e.transport = newTransport(se, p.tls, p.dial, &e.InFlight)
	e.transport.finish, e.transport.poison = e.finish, p.poison
	return e
}

// update takes over what is known of the container and its labels now.
func (e *endpoint) update(se *spec.Endpoint) {
	e.enters = e.listening && e.spec.Standby && !se.Standby
	e.spec = *se
	e.spec.Standby = se.Standby || e.enters
	e.SetWeight(max(1, weightOf(se.Options)))
	e.most.Store(int64(option(se.Options, "max-conns", maxConnsOptions{}).N))
	e.transport.keep.Store(int64(option(e.pool.options, "keepalive", defaultKeepalive).N))
	switch s, reason := e.barred(); {
	case s == draining:
		e.withdraw(draining, reason)
		e.beginDrain()
	case s == drained:
		e.withdraw(drained, reason)
	case s == down:
		e.withdraw(down, reason)
		if se.ID != "" && se.State != spec.Running && se.State != spec.Paused {
			e.expire()
		}
	case se.ID == "" || e.pool.prober == nil:
		e.heard()
	case e.state < draining:
		e.settle()
	case e.pool.prober.knows(e.id) && !e.doubt:
		e.heard()
	default:
		// New, or on its way back: running is not listening.
		e.start(e.doubt, "its port is being probed")
	}
}

// barred returns why e cannot take requests, whatever its port says: state
// draining, drained or down, and starting for none.
func (e *endpoint) barred() (state, string) {
	se := &e.spec
	switch {
	case se.Scheme != "" && se.Scheme != "http" && se.Scheme != "https":
		return down, "scheme " + se.Scheme + " is not supported yet"
	case isDown(se.Options):
		return down, "its label down is set"
	case se.ID == "":
	case se.State == spec.Draining:
		return draining, cmp.Or(se.Reason, "told to stop")
	case se.State != spec.Running:
		return down, se.Reason
	case !se.Addr.IsValid() && se.Socket == "":
		return down, cmp.Or(se.Reason, "it has no address that the proxy can reach")
	case se.Drained != "":
		return drained, se.Drained
	}
	return starting, ""
}

// start has e probed before it gets a request. doubtful asks the engine first
// whether the address is still its own.
func (e *endpoint) start(doubtful bool, reason string) {
	e.stopProbe()
	e.setState(starting, reason)
	e.probe(&probe{doubtful: doubtful})
}

// probe begins to look after e.
func (e *endpoint) probe(pr *probe) {
	e.probing, e.leave = context.WithCancel(context.Background())
	pr.e, pr.ctx = e, e.probing
	e.pool.prober.add(pr)
}

func (e *endpoint) stopProbe() {
	if e.leave != nil {
		e.leave()
		e.leave, e.probing = nil, nil
	}
}

// heard notes that e listens. Whether it is ready is for its health to say.
func (e *endpoint) heard() {
	if !e.listening {
		e.listening, e.doubt = true, false
		if e.death != nil {
			e.death.Stop()
			e.death = nil
		}
		e.endDrain()
		e.pool.prober.count(e.id, +1)
		e.transport.open()
	}
	e.settle()
}

// unheard takes that back.
func (e *endpoint) unheard() {
	if e.listening {
		e.listening = false
		e.pool.prober.count(e.id, -1)
	}
	e.transport.shut()
}

// settle brings the state of e in line with its health, and sees to it that it
// is checked where labels say so.
func (e *endpoint) settle() {
	if e.listening {
		s, reason := e.verdict(time.Now())
		e.setState(s, reason)
		if e.probing == nil && e.pool.prober != nil && e.pool.health().active() {
			e.probe(&probe{heard: true})
		}
	}
}

// verdict says how an endpoint that listens is.
func (e *endpoint) verdict(now time.Time) (state, string) {
	h := e.pool.health()
	if h.active() {
		if s, reason := e.checks.verdict(&h, now); s != ready {
			return s, reason
		}
	} else if h.Mode != healthOff {
		switch e.spec.Health {
		case spec.HealthStarting:
			return starting, "its HEALTHCHECK has not passed yet"
		case spec.Unhealthy:
			return unhealthy, "its HEALTHCHECK fails"
		}
	}
	if reason := e.strikes.out(now); reason != "" {
		return unhealthy, reason
	}
	return ready, ""
}

// withdraw gives e no more requests; those it has go on.
func (e *endpoint) withdraw(s state, reason string) {
	e.stopProbe()
	if e.state < draining && s == down {
		e.pool.leftAt = time.Now()
	}
	if s != draining {
		e.endDrain()
	}
	e.unheard()
	e.checks = checks{}
	e.strikes.clear()
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
	if e.state == draining {
		e.pool.leftAt = time.Now()
	}
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
	// Its labels hold as soon as the table learns that it is ready, and then it
	// is asked; not before: they may be what protects it.
	standby := e.spec.Standby && s == ready
	if standby {
		s, reason = starting, "it waits until its labels hold"
	}
	if e.state == s && e.reason == reason {
		return
	}
	if standby {
		e.announce()
	}
	changed := e.state != s
	e.state, e.reason = s, reason
	if !changed {
		return
	}
	e.since = time.Now()
	e.pool.log.Debug().Str("container", e.spec.Container).Str("endpoint", address(&e.spec)).Str("state", e.name()).Str("reason", reason).Msg("endpoint changed")
	if s == ready {
		e.fails.Store(0)
		e.pool.leftAt = time.Time{} // whoever left has a successor
		e.warmUp(e.since)
		e.wasReady = true
		e.announce()
	}
}

// announce tells the rest of the program that e is ready.
func (e *endpoint) announce() {
	if p := e.pool.prober; p != nil && p.OnReady != nil && e.id.container != "" {
		p.OnReady(e.spec)
	}
}

// listens takes the good news of probe pr, and reports whether it was news.
func (e *endpoint) listens(pr *probe) bool {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.probing != pr.ctx {
		return false
	}
	if e.pool.staged && !e.listening {
		e.enters, e.spec.Standby = true, true // who waits was matched by the table that is still live
	}
	e.heard()
	e.pool.publish()
	return true
}

// unwatched notes that probe pr has nothing more to look after.
func (e *endpoint) unwatched(pr *probe) {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.probing == pr.ctx {
		e.stopProbe()
		e.settle() // labels may ask for checks again
	}
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
		e.withdraw(down, reason)
		e.doubt = true
	}
}

// suspect takes e out of rotation after a failed connect, until the engine and
// its port have been asked. A bad certificate is no doubt, nor is an answer without
// TLS: whoever gave it was reached.
func (e *endpoint) suspect(reason string, err error) {
	e.note(reason)
	if e.id.container == "" || e.pool.prober == nil || unlike(err) {
		return
	}
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if !e.listening {
		return
	}
	e.unheard()
	e.checks = checks{} // whatever listens there next has to pass them anew
	e.start(true, reason)
	e.pool.publish()
}

// note remembers what went wrong, for people.
func (e *endpoint) note(reason string) {
	e.fails.Add(1)
	e.failed.Store(&failure{reason, time.Now()})
}

func (e *endpoint) describe() EndpointState {
	s := EndpointState{
		Container: e.spec.Container, ID: e.spec.ID, Address: address(&e.spec), State: e.name(), Reason: e.reason,
		Since: e.since, Started: e.spec.StartedAt, InFlight: e.InFlight.Load(), Fails: e.fails.Load(),
		Weight: weightOf(e.spec.Options), Backup: isBackup(e.spec.Options),
	}
	if s.Reason == "" && s.Weight == 0 {
		s.Reason = "its weight is 0: it takes no new requests"
	}
	if !e.spec.Addr.IsValid() && e.spec.Socket == "" && e.spec.Host == "" {
		s.Address = ""
	}
	if f := e.failed.Load(); f != nil {
		s.LastError, s.FailedAt = f.text, f.at
		if ago := time.Since(f.at); s.Reason == "" && ago < recently {
			s.Reason = fmt.Sprintf("%s ago: %s", max(ago, time.Second).Round(time.Second), f.text)
		}
	}
	return s
}
