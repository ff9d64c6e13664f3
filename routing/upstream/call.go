package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

// smallBody is how much of a body is read before the request is sent. Such a
// request needs no second goroutine, leaves in one write, holds no connection
// while its client is slow, and can be sent again.
const smallBody = 16 << 10

var smallBodies = sync.Pool{New: func() any { return new([smallBody]byte) }}

// call is one request on its way through the pool, over all attempts.
type call struct {
	r       *http.Request
	inform  Informer // nil if nobody wants to know
	limits  exchange.Timeouts
	limit   time.Time // for the whole exchange
	upgrade string    // protocol asked for
	quiet   bool      // no limit on the wait for the answer

	small    *[smallBody]byte // the body, if it is read already
	smallLen int
	stream   bool // there is a body to be read while it is sent
	read     bool // of which something was read

	// Of the attempt in hand.
	wrote    bool // the endpoint may have seen something
	answered bool // it said something
	final    bool // trying it again would not help: timeout, client gone, body unreadable

	// Over all attempts.
	x       *exchange.Exchange // nil without a client
	probe   *exchange.Probe    // of x; nil as a rule
	tried   []*endpoint        // since it last waited
	failed  error              // why no connection to the last of them came about; nothing was sent
	further int                // endpoints that may still be tried
	retries int
	hold    time.Duration // how long it may wait for an endpoint
	holdBy  time.Time     // until when; zero before it waits
	waited  bool
	shakes  uint64 // of the pool, when it came
}

// withoutExchange is how many further endpoints are tried for what has no
// client, and so no route that says it.
const withoutExchange = 2

func newCall(r *http.Request, inform Informer) call {
	c := call{r: r, inform: inform, further: withoutExchange, stream: r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0}
	start := time.Time{}
	if x, ok := exchange.Find(r); ok {
		c.x = x
		start, c.probe = c.x.Start, c.x.Probe
		if c.x.Timeouts != nil {
			c.limits, c.further = *c.x.Timeouts, c.x.Further
			c.hold = c.limits.Hold - c.x.Held // it may have waited before, for another pool
		}
	}
	if d := c.limits.Request; d > 0 {
		if start.IsZero() {
			start = time.Now()
		}
		c.limit = start.Add(d)
	}
	if up := r.Header["Upgrade"]; len(up) == 1 {
		c.upgrade = up[0]
	}
	c.quiet = c.upgrade != "" || streams(r.Header)
	return c
}

// streams reports whether the answer to a request with header h may be long in
// coming without anything being wrong.
func streams(h http.Header) bool {
	for _, v := range h["Accept"] {
		if strings.HasPrefix(v, "text/event-stream") {
			return true
		}
	}
	for _, v := range h["Content-Type"] {
		if strings.HasPrefix(v, "application/grpc") {
			return true
		}
	}
	return false
}

// mayMove reports whether the request can be sent back to be matched anew.
func (c *call) mayMove() bool { return c.x != nil && c.x.MayMove && !c.read }

// rivalled reports whether it is to be, rather than to wait.
func (c *call) rivalled() bool { return c.mayMove() && c.x.Rivalled }

// move sends the request back.
func (c *call) move() error {
	if c.small != nil {
		c.x.Unsent = bytes.Clone(c.small[:c.smallLen])
	}
	return ErrMoved
}

// heldFor notes how long the request waited.
func (c *call) heldFor(d time.Duration) {
	if c.x != nil {
		c.x.Held += d
	}
}

// sentTo notes where the request goes.
func (c *call) sentTo(t *transport) {
	if c.x != nil {
		c.x.Container, c.x.Endpoint = t.container(), t.addr
	}
	if c.probe != nil {
		c.noteBegin(t)
	}
}

// readSmall reads the body if it is small. Not after Expect: the endpoint is
// to be there first, for reading makes the server say 100 Continue.
func (c *call) readSmall() error {
	n := c.r.ContentLength
	if c.small != nil || !c.stream || n < 0 || n > smallBody || len(c.r.Header["Expect"]) > 0 {
		return nil
	}
	c.small = smallBodies.Get().(*[smallBody]byte)
	if _, err := io.ReadFull(c.r.Body, c.small[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // fewer bytes than Content-Length promised
		}
		return &RequestError{err}
	}
	c.smallLen, c.stream = int(n), false
	c.r.Body.Close()
	return nil
}

// begun reports whether some of the body is there already, so that its first
// piece can leave with the head. Nothing else is waited for: the client may be
// waiting for the answer itself.
func (c *call) begun() bool {
	b, ok := c.r.Body.(interface{ Buffered() int })
	return ok && c.r.ContentLength > 0 && b.Buffered() > 0
}

// release gives back what was borrowed once nothing will be sent again.
func (c *call) release() {
	if c.small != nil {
		smallBodies.Put(c.small)
		c.small = nil
	}
}

// closeBody closes a body that no upload took.
func (c *call) closeBody() {
	if c.r.Body != nil {
		c.r.Body.Close()
	}
}

// begin forgets the attempt before.
func (c *call) begin() { c.wrote, c.answered, c.final = false, false, false }

// repeatable reports whether a failed attempt may be followed by another
// (RFC 9110 9.2.2): nothing was sent, or the method is idempotent, the whole
// request can be sent again, and no part of an answer came.
func (c *call) repeatable() bool {
	switch {
	case c.final || c.read:
		return false
	case !c.wrote:
		return true
	case c.answered:
		return false
	}
	return idempotent(c.r.Method)
}

// resendable reports whether a request that was answered may be sent once more,
// elsewhere: the answer can be thrown away, and it changes nothing to ask twice.
func (c *call) resendable() bool { return !c.read && !c.answered && idempotent(c.r.Method) }

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// answerIn returns how long the answer may take once the request is sent, 0 for
// no limit.
func (c *call) answerIn() time.Duration {
	if c.quiet {
		return 0
	}
	return c.limits.Response
}

func (c *call) expired() bool { return !c.limit.IsZero() && !time.Now().Before(c.limit) }
