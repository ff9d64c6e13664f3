package h1

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// What became of a request's context.
const (
	unasked uint32 = iota // nobody wants to know when it ends
	asked                 // somebody does; it is of this request for ever
	ended                 // the request has ended, and nobody had asked
)

// requestContext is the context of the requests of a desk, one after the other,
// until somebody asks for Done: then the client is watched, and the context is
// not used for another request. It is an exchange.Keeper.
type requestContext struct {
	d     *desk
	state atomic.Uint32
	gone  atomic.Bool // the client left
	blind atomic.Bool // the connection is not looked at any more

	mu     sync.Mutex         // guards all below
	inner  context.Context    // nil until Done was asked for
	cancel context.CancelFunc // of inner
	token  uint64             // of the watch, 0 if there is none
	look   *lookout           // where no descriptor can be watched
}

var _ context.Context = (*requestContext)(nil)

// over is the Done of a request that has ended.
var over = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Keep makes r the request that the next ones are made of.
func (x *requestContext) Keep(r *http.Request) { x.d.keep(r) }

func (x *requestContext) begin() {
	x.state.Store(unasked)
	x.gone.Store(false)
	x.blind.Store(false)
}

// end ends the context with its request, and reports whether it may be that of
// another.
func (x *requestContext) end() bool {
	if x.state.CompareAndSwap(unasked, ended) {
		return true
	}
	x.unwatch()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel()
	return false
}

// unwatch leaves the connection to whoever reads it now.
func (x *requestContext) unwatch() {
	x.blind.Store(true)
	x.mu.Lock()
	token, look := x.token, x.look
	x.token, x.look = 0, nil
	x.mu.Unlock()
	if token != 0 {
		x.d.c.unwatch(token)
	}
	if look != nil {
		look.stop()
	}
}

// Deadline reports none.
func (x *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns a channel that is closed when the client has left or the request
// has ended. What was asked for it must not be asked for again by one who kept it
// beyond the handler's return.
func (x *requestContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner != nil {
		return x.inner.Done()
	}
	if !x.state.CompareAndSwap(unasked, asked) {
		return over
	}
	x.inner, x.cancel = context.WithCancel(context.Background())
	if x.gone.Load() {
		x.cancel()
	}
	x.lookOut()
	return x.inner.Done()
}

// Err looks at the connection itself if nobody has asked for Done.
func (x *requestContext) Err() error {
	switch x.state.Load() {
	case unasked:
		if !x.gone.Load() && (x.blind.Load() || !x.d.c.hungUp()) {
			return nil
		}
		x.left()
	case asked:
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.inner.Err()
	}
	return context.Canceled
}

// Value knows the address that a client connected to, as net/http does. Contexts
// made of this one find by it the one that Done is of, and need no goroutine.
func (x *requestContext) Value(key any) any {
	if key == http.LocalAddrContextKey && x.state.Load() != ended {
		return x.d.c.nc.LocalAddr()
	}
	x.mu.Lock()
	inner := x.inner
	x.mu.Unlock()
	if inner == nil {
		return nil
	}
	return inner.Value(key)
}

// left notes that the client has.
func (x *requestContext) left() {
	x.gone.Store(true)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel()
	}
}

// received notes that all of the body was read: from now on the end of what the
// client sends means that it has left.
func (x *requestContext) received() {
	if x.state.Load() != asked {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lookOut()
}

// lookOut has the client watched. Before its body was read only a reset tells that
// it has left.
func (x *requestContext) lookOut() {
	if x.blind.Load() || x.inner == nil || x.inner.Err() != nil {
		return
	}
	c, arrived := x.d.c, x.d.body.isThere()
	switch {
	case x.token != 0:
		c.rewatch(x.token, arrived)
	case x.look != nil:
	default:
		// A Read beside a callback would wait for that.
		if x.token = c.watch(x, arrived); x.token == 0 && arrived && c.raw == nil {
			x.look = newLookout(x)
		}
	}
}
