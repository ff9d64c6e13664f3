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

	mu    sync.Mutex // guards all below
	left  context.Context
	leave context.CancelFunc // nil while shut
	bye   bool               // farewell was called, and open not since
	idle  []*conn            // newest last
	conns map[*conn]struct{} // all, so that they can be aborted
	sweep *time.Timer        // closes what was idle too long; nil while nothing is
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
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
}

// take returns a connection for call: the idle one used last, for what is warm
// stays warm, or a new one.
func (t *transport) take(call *call, fresh bool) (*conn, error) {
	name := t.serverName(call.r)
	for !fresh {
		c, err := t.pop(name)
		if err != nil {
			return nil, err
		}
		if c == nil {
			break
		}
		if c.alive() {
			return c, nil
		}
		c.close()
	}
	return t.connect(call, name)
}

func (t *transport) pop(name string) (*conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leave == nil {
		return nil, errLeft
	}
	for i := len(t.idle) - 1; i >= 0; i-- {
		c := t.idle[i]
		if time.Since(c.idleAt) > idleFor {
			return nil, nil // and all below are older; sweep closes them
		}
		if c.name == name {
			t.idle = slices.Delete(t.idle, i, i+1)
			return c, nil
		}
	}
	return nil, nil
}

// put keeps c for the next request.
func (t *transport) put(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leave == nil || int64(len(t.idle)) >= t.keep.Load() {
		delete(t.conns, c)
		c.sock.Close()
		return
	}
	if len(c.in) > bufferSize {
		c.in = make([]byte, bufferSize)
	}
	c.r, c.w = 0, 0
	c.idleAt = time.Now()
	t.idle = append(t.idle, c)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(idleFor, t.expire)
	}
}

// expire closes what was idle too long, and comes again while anything is idle.
func (t *transport) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for old < len(t.idle) && time.Since(t.idle[old].idleAt) >= idleFor {
		delete(t.conns, t.idle[old])
		t.idle[old].sock.Close()
		old++
	}
	t.idle = slices.Delete(t.idle, 0, old)
	switch {
	case t.sweep == nil: // shut meanwhile
	case len(t.idle) == 0:
		t.sweep = nil
	default:
		t.sweep.Reset(idleFor - time.Since(t.idle[0].idleAt))
	}
}

func (t *transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// connect opens a connection, TLS included, while the client waits and the
// endpoint stays.
func (t *transport) connect(call *call, name string) (*conn, error) {
	t.mu.Lock()
	left := t.left
	if t.leave == nil {
		t.mu.Unlock()
		return nil, errLeft
	}
	t.mu.Unlock()

	ctx, cancel := until(call.r.Context(), earlier(after(call.limits.Connect), call.limit))
	defer cancel()
	defer context.AfterFunc(left, cancel)()

	c, err := t.handshake(ctx, name)
	if err == nil {
		if err = t.adopt(c, left); err == nil {
			return c, nil
		}
		c.sock.Close()
	}
	return nil, t.connectError(err, call, left)
}

func (t *transport) handshake(ctx context.Context, name string) (*conn, error) {
	sock, err := t.dial(ctx, t.network, t.addr)
	if err != nil {
		return nil, err
	}
	if t.tls == nil {
		return newConn(t, sock, sock, ""), nil
	}
	cfg := t.tls
	if cfg.ServerName != name {
		cfg = cfg.Clone()
		cfg.ServerName = name
	}
	secure := tls.Client(sock, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		sock.Close()
		return nil, err
	}
	return newConn(t, secure, sock, name), nil
}

// adopt notes c unless the endpoint left while it was dialled.
func (t *transport) adopt(c *conn, left context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left != left || t.leave == nil {
		return errLeft
	}
	t.conns[c] = struct{}{}
	return nil
}

// connectError says what err of a dial means: the client left, the endpoint
// left, it took too long, or it failed.
func (t *transport) connectError(err error, call *call, left context.Context) error {
	timedOut := errors.Is(err, context.DeadlineExceeded) || isTimeout(err)
	switch {
	case call.r.Context().Err() != nil:
		return context.Cause(call.r.Context())
	case left.Err() != nil || errors.Is(err, errLeft):
		return errLeft
	case timedOut && call.expired():
		return t.timeout(Requesting)
	case timedOut:
		return t.timeout(Connecting)
	}
	return &ConnectError{Container: t.container(), Endpoint: t.addr, Reason: explain(err, t.target.Load()), Err: err}
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
	resp, err := t.attempt(call, false)
	var again *brokenKept
	if errors.As(err, &again) {
		call.retries++
		if resp, err = t.attempt(call, true); errors.Is(err, errLeft) {
			err = again.error // what broke it is that the endpoint left
		}
	}
	return resp, err
}

// brokenKept is the failure of a kept connection after which the request may
// be sent again on a new one.
type brokenKept struct{ error }

func (t *transport) attempt(call *call, fresh bool) (*http.Response, error) {
	c, err := t.take(call, fresh)
	if err != nil {
		return nil, err
	}
	kept := c.served > 0
	resp, err := c.exchange(call)
	if err == nil {
		return resp, nil
	}
	c.close()
	if kept && call.repeatable() {
		return nil, &brokenKept{err}
	}
	return nil, err
}

// until is context.WithDeadline where zero means none.
func until(ctx context.Context, t time.Time) (context.Context, context.CancelFunc) {
	if t.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, t)
}

// after returns the moment d from now, or zero for no limit.
func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
