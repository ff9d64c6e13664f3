package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/fairlead/fairlead/internal/http1"
)

const (
	// inSize is how much is read at once, and holds most heads.
	inSize = 8 << 10
	// outSize is how much of an answer is gathered before it is written.
	outSize = 32 << 10
	// manyFields is the size of a header map beyond which it is not used again:
	// emptying a map costs what it once held.
	manyFields = 64
)

var outBuffers = sync.Pool{New: func() any { return new([outSize]byte) }}

var errFull = errors.New("more than the buffer may hold")

// desk is what a request needs while it is served. A connection takes one when
// something comes, and gives it back before it waits.
type desk struct {
	c *conn // who has it

	in       []byte // own, or a larger one
	from, to int    // of in: what was read and not used
	own      [inSize]byte

	used   bool          // there is something to forget
	parsed bool          // req is one that was not answered yet
	method string        // of req as it came: handlers may change it
	minor  int           // of its version
	large  bool          // it had many fields
	req    *http.Request // used for one after the other; a Keeper may have been given another
	blank  http.Request  // req with its context and nothing else
	fields http1.Fields
	url    url.URL
	coding [1]string   // what TransferEncoding points into
	body   *body       // nil if there is none
	waits  bool        // its answer may take a connection out of what a callback can do
	last   bool        // no other request follows
	timed  atomic.Bool // deadlines were set
	ctx    requestContext
	w      writer

	poisoned bool
}

func newDesk() *desk {
	d := new(desk)
	d.in = d.own[:]
	d.ctx.d, d.w.d = d, d
	d.keep(new(http.Request).WithContext(&d.ctx))
	return d
}

// keep makes r the request that is used from the next one on.
func (d *desk) keep(r *http.Request) {
	d.req = r
	b := *r
	b.Method, b.URL, b.Proto, b.ProtoMajor, b.ProtoMinor = "", nil, "", 0, 0
	b.Header, b.Body, b.ContentLength, b.TransferEncoding = nil, nil, 0, nil
	b.Close, b.Host, b.Trailer, b.RemoteAddr, b.RequestURI, b.TLS = false, "", nil, "", "", nil
	b.GetBody, b.Form, b.PostForm, b.MultipartForm, b.Response, b.Pattern = nil, nil, nil, nil, nil, ""
	d.blank = b
}

func (c *conn) takeDesk() {
	d, ok := c.engine.desks.Get().(*desk)
	if !ok {
		d = newDesk()
	}
	c.desk, d.c = d, c
}

// putDesk gives back the desk of c, if it has one, and what is in it.
func (c *conn) putDesk() {
	d := c.desk
	if d == nil {
		return
	}
	c.desk = nil
	d.from, d.to = 0, 0
	d.clear()
	d.c = nil
	c.engine.desks.Put(d)
}

// turn makes the desk ready for the next request. If somebody may have kept
// something of the last one, c goes on at another, with what was read already.
func (c *conn) turn(reusable bool) {
	d := c.desk
	if reusable {
		d.clear()
		return
	}
	c.desk = nil
	if d.buffered() > 0 {
		c.takeDesk()
		c.desk.adopt(d.in[d.from:d.to])
	}
}

// clear forgets the request, if there is one.
func (d *desk) clear() {
	if !d.used {
		return
	}
	d.used = false
	*d.req = d.blank
	if d.large {
		d.fields = http1.Fields{}
	}
	d.fields.Reset()
	d.url = url.URL{}
	d.coding[0] = ""
	d.body = nil
	d.method, d.minor = "", 0
	d.parsed, d.large, d.waits, d.last = false, false, false, false
	d.timed.Store(false)
	d.w.clear()
	if d.c.engine.cfg.Poison {
		d.poison()
	}
	if rest := d.in[d.from:d.to]; len(d.in) > inSize && len(rest) <= inSize {
		d.in = d.own[:]
		d.adopt(rest)
	}
}

// adopt makes b what was read.
func (d *desk) adopt(b []byte) {
	if len(b) > len(d.in) {
		d.in = make([]byte, len(b))
	}
	d.from, d.to = 0, copy(d.in, b)
}

func (d *desk) buffered() int { return d.to - d.from }

// unread puts b behind what was read.
func (d *desk) unread(b byte) {
	d.room(inSize + 1)
	d.in[d.to] = b
	d.to++
}

// room makes place for at least one byte behind what was read, and reports false
// if that would hold more than limit bytes.
func (d *desk) room(limit int) bool {
	switch {
	case d.from == d.to:
		d.from, d.to = 0, 0
	case d.to < len(d.in):
	case d.from > 0:
		d.to = copy(d.in, d.in[d.from:d.to])
		d.from = 0
	case len(d.in) >= limit:
		return false
	default:
		in := make([]byte, min(2*len(d.in), max(limit, len(d.in)+1)))
		copy(in, d.in)
		d.in = in
	}
	return true
}

// fill reads once from r, behind what was read.
func (d *desk) fill(r io.Reader, limit int) error {
	if !d.room(limit) {
		return errFull
	}
	n, err := r.Read(d.in[d.to:])
	d.to += n
	if n > 0 {
		return nil
	}
	return err
}

// head looks for the end of a head. scanned is where to go on if there is none.
func (d *desk) head(from int) (end, scanned int, no *refusal) {
	if from == 0 && d.c.posted && bytes.HasPrefix(d.in[d.from:d.to], crlf) {
		// Clients of old send an empty line behind a POST (RFC 9112, 2.2).
		d.from += len(crlf)
		d.c.posted = false
	}
	b := d.in[d.from:d.to]
	end, scanned, err := http1.HeadEnd(b, from)
	most := d.c.engine.cfg.MaxHeadBytes
	switch {
	case err != nil:
		return 0, 0, &badRequest
	case end <= most && (end > 0 || len(b) <= most):
		return end, scanned, nil
	case bytes.IndexByte(b[:most], '\n') < 0:
		return 0, 0, &targetTooLong
	}
	return 0, 0, &headTooLarge
}

// begin makes what the handler gets ready.
func (d *desk) begin() {
	d.ctx.begin()
	d.w.begin()
}

// call runs the handler. It reports false if that panicked.
func (d *desk) call() (returned bool) {
	e := d.c.engine
	defer func() {
		if returned {
			return
		}
		switch fault := recover(); fault {
		case http.ErrAbortHandler:
		case nil: // runtime.Goexit, which ends the connection's goroutine
			d.c.abandon(d)
		default:
			e.tally.panics.Add(1)
			e.log(fmt.Sprintf("http: panic serving %s: %v\n%s", d.c.remote, fault, debug.Stack()))
		}
	}()
	e.cfg.Handler.ServeHTTP(&d.w, d.req)
	return true
}

var crlf = []byte("\r\n")
