// Package exchange holds what is known of the request in hand: who asks, what
// was decided about it, and the writer its answer goes through. The server's
// first handler begins an Exchange; everything behind it finds the Exchange
// with Of and adds to it; the access log is written from it at the end.
package exchange

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// An Exchange is one request and its answer. It belongs to the goroutine that
// serves the request and must not be kept after the handler returned.
type Exchange struct {
	context.Context // of the request; the Exchange is the request's context

	kept  bool // by a Keeper
	ended bool // with kept: its request was answered, and Begin may use it again

	Start time.Time
	ID    string // X-Request-ID: a trusted peer's, else fresh
	named bool   // ID is the peer's

	// Peer is the other end of the connection; Client who asked, which is the
	// right-most untrusted address of X-Forwarded-For when Peer is trusted.
	Peer, Client netip.Addr
	PeerTrusted  bool
	// ClientHidden: Client is a gateway of one of our own networks, behind
	// which published ports hide who asked. It matches no preset.
	ClientHidden bool
	// Scheme is "http" or "https" as the client used it, Port the port it named.
	// A trusted peer's X-Forwarded-Proto, -Host and -Port are believed.
	Scheme string
	Port   string
	// Entry and EntryPort name the entry point it came in by.
	Entry, EntryPort string

	Host string // of the request: lower case, punycode, no port, no trailing dot

	// Matched is the path prefix that chose the route, "" for an exact path or
	// an expression.
	Matched string
	// Target is the RequestURI as it was matched, before the route rewrote it.
	Target string

	// What was decided, for the log.
	Route, Pool, Container, Endpoint string
	Retries                          int           // attempts after the first
	Held                             time.Duration // how long it waited for an endpoint
	Tally                            *Tally        // of the route, nil before one is chosen
	Code                             string        // stable code of an answer the proxy gave itself: "no-route", "no-endpoint", "connect-failed", …
	Cause                            error         // why
	Quiet                            bool          // leave out of the access log

	Timeouts *Timeouts // of the route, nil before one is chosen
	// Further is how many other endpoints may be tried after the first: of the
	// route, set with Timeouts.
	Further int
	// MayMove: a request that waits for an endpoint, or looks for another, may be
	// sent back, to be matched anew when its route has changed meanwhile.
	MayMove bool
	// Rivalled, with MayMove: it need not wait at all, for its route was ready when
	// it was matched, and another one that matches the same may be now.
	Rivalled bool
	Moved    bool   // it was sent back; nothing was answered
	Unsent   []byte // all of its body, if that was read before it was sent back

	Probe *Probe // nil as a rule

	Response Writer

	forwarded [6]string // what the forwarding fields of the request point to
}

// Timeouts are how long the parts of one exchange with an endpoint may take.
// Zero means no limit.
type Timeouts struct {
	Connect  time.Duration // to open the connection, TLS included
	Response time.Duration // from the end of the request to the first byte of the answer; not for upgrades
	Idle     time.Duration // between bytes once the answer began or the connection was upgraded
	Request  time.Duration // for the whole exchange
	Hold     time.Duration // for an endpoint to become ready; unlike the others, 0 means not at all
}

type key struct{}

// Value makes the Exchange find itself as a context value.
func (x *Exchange) Value(k any) any {
	if _, ok := k.(key); ok {
		return x
	}
	return x.Context.Value(k)
}

// A Keeper is the context that an engine gives to requests which it uses again.
// Begin offers it the request with the Exchange in it: the next requests of the
// engine may be that one, filled anew, if nobody can have kept it. An engine must
// not use it again once its handler has panicked, has taken the connection over,
// has left some of a body, or once somebody has asked for the context's Done.
type Keeper interface {
	context.Context
	Keep(r *http.Request)
}

// Begin attaches an Exchange to r and w and returns it with the request and
// writer to pass on. It is new, unless r is one that a Keeper kept.
func Begin(w http.ResponseWriter, r *http.Request) (*Exchange, http.ResponseWriter, *http.Request) {
	ctx := r.Context()
	if x, ok := ctx.(*Exchange); ok && x.ended {
		x.reset(w)
		return x, &x.Response, r
	}
	x := &Exchange{Context: ctx, Start: time.Now()}
	x.Response.inner = w
	r = r.WithContext(x)
	if k, ok := ctx.(Keeper); ok {
		x.kept = true
		k.Keep(r)
	}
	return x, &x.Response, r
}

// reset makes x that of another request, in the memory it has.
func (x *Exchange) reset(w http.ResponseWriter) {
	hooks := x.Response.hooks
	clear(hooks)
	*x = Exchange{Context: x.Context, kept: true, Start: time.Now(), Response: Writer{inner: w, hooks: hooks[:0]}}
}

// end notes that the request was answered.
func (x *Exchange) end() { x.ended = x.kept }

// Of returns the Exchange of r. It panics if r has none: every request of an
// entry point has one, so a missing one is a mistake in wiring.
func Of(r *http.Request) *Exchange {
	x, _ := Find(r)
	if x == nil {
		panic("exchange: a request that did not come through an entry point")
	}
	return x
}

// Find is Of for what may be used without a client too.
func Find(r *http.Request) (x *Exchange, ok bool) {
	if x, ok = r.Context().(*Exchange); ok {
		return x, ok // as it mostly is
	}
	x, ok = r.Context().Value(key{}).(*Exchange)
	return x, ok
}

// Path returns the path of r byte for byte as the client sent it (or as a
// middleware rewrote it), without the query. The target of a request is its
// RequestURI throughout; URL.Path is its decoded form and is not forwarded.
func Path(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return path
}

// SetPath replaces the path of r, leaving the query as it is. The caller must
// own r (see Rewrite).
func SetPath(r *http.Request, path string) {
	if i := strings.IndexByte(r.RequestURI, '?'); i >= 0 {
		path += r.RequestURI[i:]
	}
	r.RequestURI = path
}

// Rewrite returns a shallow copy of r whose path is path, for middlewares that
// change where a request goes: the one they were given is not theirs.
func Rewrite(r *http.Request, path string) *http.Request {
	r2 := *r
	SetPath(&r2, path)
	return &r2
}

// A Bookmark is a request as it was before a route had its say.
type Bookmark struct {
	header http.Header // nil if it was not noted
	hooks  int
}

// Bookmark notes r as it is, and that it may be sent back by a transport for
// which it waits (MayMove). The header is copied only if that is likely.
func (x *Exchange) Bookmark(r *http.Request, likely bool) Bookmark {
	x.MayMove, x.Moved = true, false
	b := Bookmark{hooks: len(x.Response.hooks)}
	if likely {
		b.header = r.Header.Clone()
	}
	return b
}

// Return makes r what it was at b, for another route. Where the header was not
// noted it is left as the first route made it.
func (x *Exchange) Return(r *http.Request, b Bookmark) {
	if b.header != nil {
		clear(r.Header)
		maps.Copy(r.Header, b.header)
	}
	if x.Unsent != nil {
		r.Body, x.Unsent = io.NopCloser(bytes.NewReader(x.Unsent)), nil
	}
	x.Response.hooks = x.Response.hooks[:b.hooks]
	x.Route, x.Tally, x.Matched, x.Target, x.Pool, x.Container, x.Endpoint, x.Quiet = "", nil, "", "", "", "", "", false
}
