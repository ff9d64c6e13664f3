package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// idleFor is how long a connection is kept that nobody uses.
const idleFor = 60 * time.Second

// Dial opens a connection, as net.Dialer's DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// transport speaks HTTP/1.1 to one endpoint and keeps its connections.
type transport struct {
	network, addr string
	host          string // of a target with a name
	tls           *tls.Config
	dial          Dial
	inFlight      *atomic.Int64 // requests whose answer is not closed yet, tunnels among them
	tunnels       atomic.Int64
	finish        func()       // called when an answer was closed
	keep          atomic.Int64 // idle connections kept
	target        atomic.Pointer[spec.Endpoint]
	poison        bool // see Config

	mu    sync.Mutex // guards all below
	left  context.Context
	leave context.CancelFunc // nil while shut
	bye   bool               // farewell was called, and open not since
	idle  []*conn            // newest last
	conns map[*conn]struct{} // all, so that they can be aborted
	busy  []*conn            // with an exchange that has limits
	timer *time.Timer        // calls sweep; nil before the first request
	next  int64              // when it does that, 0 for never
	used  bool               // since the last sweep
}

func newTransport(target *spec.Endpoint, cfg *tls.Config, dial Dial, inFlight *atomic.Int64) *transport {
	t := &transport{network: "tcp", addr: address(target), dial: dial, inFlight: inFlight, conns: make(map[*conn]struct{})}
	t.keep.Store(int64(defaultKeepalive.N))
	t.target.Store(target)
	switch {
	case target.Socket != "":
		t.network, t.addr = "unix", target.Socket
	case !target.Addr.IsValid():
		t.host = target.Host
	}
	if target.Scheme == "https" {
		t.tls = cfg
	}
	return t
}

// open lets requests take connections.
func (t *transport) open() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bye = false
	if t.leave == nil {
		t.left, t.leave = context.WithCancel(context.Background())
	}
}

// shut takes no more requests: dials are cancelled and idle connections
// closed; those in use are closed when their request is done.
func (t *transport) shut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leave == nil {
		return
	}
	t.leave()
	t.leave = nil
	t.dropIdle()
	if t.timer != nil && len(t.busy) == 0 {
		t.timer.Stop()
		t.next = 0
	}
}

// load returns how many exchanges are in flight: tunnels, and all others.
func (t *transport) load() (requests, tunnels int) {
	all, tun := t.inFlight.Load(), t.tunnels.Load()
	return int(max(0, all-tun)), int(tun) // one may have begun in between
}

// farewell asks all tunnels to end, and those that begin until the next open.
func (t *transport) farewell() {
	t.mu.Lock()
	t.bye = true
	var all []func()
	for c := range t.conns {
		if c.farewell != nil {
			all = append(all, c.farewell)
			c.farewell = nil
		}
	}
	t.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// ended has the farewell of c said if its endpoint, which ended it, is leaving.
func (t *transport) ended(c *conn) {
	t.mu.Lock()
	var f func()
	if t.leave == nil {
		f, c.farewell = c.farewell, nil
	}
	t.mu.Unlock()
	if f != nil {
		f()
	}
}

// onFarewell has f called by farewell for c, or now if that was called already.
func (t *transport) onFarewell(c *conn, f func()) {
	t.mu.Lock()
	now := t.bye && f != nil
	if !now {
		c.farewell = f
	}
	t.mu.Unlock()
	if now {
		f()
	}
}

// abort ends every connection that is in use, or those at one of the stages.
func (t *transport) abort(cause error, stages ...stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if len(stages) == 0 || slices.Contains(stages, stage(c.stage.Load())) {
			c.abort(cause)
		}
	}
}

func (t *transport) dropIdle() {
	for _, c := range t.idle {
		delete(t.conns, c)
		c.sock.Close()
	}
	t.idle = nil
}

// take returns a connection for call: the idle one used last, for what is warm
// stays warm, or a new one.
func (t *transport) take(call *call, fresh bool) (*conn, error) {
	name := t.serverName(call.r)
	for !fresh {
		c, err := t.pop(call, name)
		if err != nil {
			return nil, err
		}
		if c == nil {
			break
		}
		if c.usable(call) {
			return c, nil
		}
		c.close()
	}
	return t.connect(call, name)
}

func (t *transport) pop(call *call, name string) (*conn, error) {
	at := now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leave == nil {
		return nil, errLeft
	}
	for i := len(t.idle) - 1; i >= 0; i-- {
		c := t.idle[i]
		if at-c.idleAt > int64(idleFor) {
			return nil, nil // and all below are older; the sweeper closes them
		}
		if c.name == name {
			t.idle = slices.Delete(t.idle, i, i+1)
			t.begin(c, call, at)
			return c, nil
		}
	}
	return nil, nil
}

// release ends the exchange on c. With keep c is kept for the next one, unless
// it was aborted, or its client left, at the last moment.
func (t *transport) release(c *conn, keep bool) {
	if keep {
		c.reset()
	}
	at := now()
	t.mu.Lock()
	t.unsweep(c)
	keep = c.blink() && keep && c.cause.Load() == nil && t.leave != nil && int64(len(t.idle)) < t.keep.Load()
	if keep {
		c.idleAt = at
		t.idle = append(t.idle, c)
		t.used = true
	} else {
		delete(t.conns, c)
	}
	t.mu.Unlock()
	if !keep {
		c.sock.Close()
	}
}

func (t *transport) container() string { return t.target.Load().Container }

func (t *transport) timeout(p Phase) error {
	return &TimeoutError{Container: t.container(), Endpoint: t.addr, Phase: p}
}

func (t *transport) broken(err error) error {
	return &BrokenError{Container: t.container(), Endpoint: t.addr, Err: err}
}

// roundTrip sends call on a kept connection, or a new one if the kept one
// broke and the request may be sent again.
func (t *transport) roundTrip(call *call) (*http.Response, error) {
	resp, again, err := t.attempt(call, false)
	if !again {
		return resp, err
	}
	call.retries++
	resp, _, second := t.attempt(call, true)
	if errors.Is(second, errLeft) {
		return nil, err // what broke it is that the endpoint left
	}
	return resp, second
}

// attempt sends call on one connection. again: it was a kept one that failed, and
// the request may be sent again on a new one.
func (t *transport) attempt(call *call, fresh bool) (resp *http.Response, again bool, err error) {
	c, err := t.take(call, fresh)
	if err != nil {
		return nil, false, err
	}
	kept := c.served > 0
	if resp, err = c.exchange(call); err == nil {
		return resp, false, nil
	}
	c.close()
	return nil, kept && call.repeatable(), err
}
