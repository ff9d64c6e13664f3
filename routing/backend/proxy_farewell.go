package backend

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a farewell waits for the frame under way to end, and
// then as long for the tunnel to be closed.
const patience = 2 * time.Second

// Why a farewell was asked for, and why it could not be polite.
var (
	errStopping = errors.New("its container is stopping")
	errLeaving  = errors.New("the proxy is leaving")
	errLate     = errors.New("it was not closed in time")
	errNoFrames = errors.New("what the endpoint sends are no websocket frames")
)

// leaver is an end of a tunnel that can leave before the tunnel ends. It calls
// f, which does not wait for anything, when it is about to; at once if it is
// already.
type leaver interface {
	OnFarewell(f func())
}

// A farewell can end a tunnel from outside: the client gets a Close frame where
// a frame of the endpoint ends, its answer goes to the endpoint, and the two
// close. If that does not come about in time, both are closed as they are. It
// costs a running tunnel a mutex for each write to the client, and the counting
// of frames.
type farewell struct {
	client   clientEnd
	endpoint endpointEnd
	patience time.Duration

	once    sync.Once             // either asked for, or never more
	why     atomic.Pointer[error] // set when asked for
	cut     atomic.Pointer[error] // why it is not polite
	limit   *time.Timer
	parting sync.WaitGroup
}

func newFarewell(client, endpoint stream) *farewell {
	f := &farewell{patience: patience}
	f.client = clientEnd{stream: client, f: f}
	f.endpoint = endpointEnd{stream: endpoint}
	return f
}

// attend has f asked for when either end leaves. The connection below TLS
// knows of that, too.
func (f *farewell) attend(client net.Conn, endpoint stream) {
	if l, ok := endpoint.(leaver); ok {
		l.OnFarewell(func() { f.ask(errStopping) })
	}
	for client != nil {
		if l, ok := client.(leaver); ok {
			l.OnFarewell(func() { f.ask(errLeaving) })
			return
		}
		below, ok := client.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		client = below.NetConn()
	}
}

// ask begins the farewell, unless there was one or the tunnel ended. It may be
// called from any goroutine, and does not wait.
func (f *farewell) ask(why error) {
	f.once.Do(func() {
		f.limit = time.AfterFunc(f.patience, func() { f.abort(errLate) })
		f.why.Store(&why)
		f.parting.Go(f.client.part)
	})
}

// pending reports whether a farewell is to be said. A client that is closing
// the tunnel itself is left to its endpoint's answer.
func (f *farewell) pending() bool { return f.why.Load() != nil && !f.endpoint.closing.Load() }

// abort closes both ends as they are.
func (f *farewell) abort(reason error) {
	f.cut.CompareAndSwap(nil, &reason)
	f.endpoint.Close()
	f.client.Close() // over TLS, this may wait for an alert to be taken
}

// end is for a tunnel that ended. It returns the farewell that did it, nil if
// it was another reason.
func (f *farewell) end() error {
	asked := true
	f.once.Do(func() { asked = false })
	if !asked {
		return nil
	}
	f.parting.Wait()
	f.limit.Stop()
	why, cut := *f.why.Load(), f.cut.Load()
	switch {
	case cut != nil:
		return fmt.Errorf("%w, and the tunnel was cut: %w", why, *cut)
	case f.client.said:
		return why
	}
	return nil
}

// clientEnd is where a tunnel writes what the endpoint sends.
type clientEnd struct {
	stream
	f *farewell

	mu     sync.Mutex // held while writing; guards all below
	frames frames     // of the endpoint
	sent   int64      // bytes
	over   bool       // nothing goes to the client any more
	said   bool       // a farewell put its Close frame in
}

// Write drops what comes behind the frame at which a farewell was said.
func (c *clientEnd) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return len(p), nil
	case !c.f.pending():
		c.frames.skip(p)
		return c.write(p)
	case !c.frames.between():
		if n, err := c.write(p[:c.frames.next(p)]); err != nil {
			return n, err
		}
	}
	c.say()
	return len(p), nil
}

// CloseWrite tells the client that no more is coming.
func (c *clientEnd) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f.pending() {
		c.say()
	}
	c.over = true
	return c.stream.CloseWrite()
}

// part says farewell now if the endpoint sends nothing at the moment.
func (c *clientEnd) part() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f.pending() {
		c.say()
	}
}

// say ends what goes to the client, if that is possible here. The caller holds
// mu.
func (c *clientEnd) say() {
	switch {
	case c.over:
		return
	case c.frames.broken:
		c.f.abort(errNoFrames)
		return
	case !c.frames.between():
		return
	}
	c.over = true
	c.f.limit.Reset(c.f.patience)
	if c.frames.closed {
		return // the endpoint said it itself
	}
	c.said = true
	c.SetWriteDeadline(time.Now().Add(c.f.patience))
	if _, err := c.write([]byte(goingAway)); err != nil {
		c.f.abort(err)
	}
}

func (c *clientEnd) write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	c.sent += int64(n)
	return n, err
}

// endpointEnd is where a tunnel writes what the client sends.
type endpointEnd struct {
	stream
	frames  frames      // of the client
	closing atomic.Bool // the client sent a Close frame
}

func (e *endpointEnd) Write(p []byte) (int, error) {
	if !e.closing.Load() {
		e.frames.skip(p)
		e.closing.Store(e.frames.closed)
	}
	return e.stream.Write(p)
}
