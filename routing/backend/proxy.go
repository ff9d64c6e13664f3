package backend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/upstream"
)

// A Proxy has requests answered by its Transport, usually an upstream.Pool. It
// is where http.Handler and http.RoundTripper meet, and nowhere else.
//
// The exchange stage in front of it has checked the request, set the
// forwarding headers and removed what the client's Connection names. The other
// fields of the client's connection are left to the Transport, which must not send
// them (RFC 9110 7.6.1); the Proxy removes those of the endpoint's connection from
// the answer. It changes the request's header map in place: that is the exchange's
// own.
type Proxy struct {
	Transport http.RoundTripper
	// HostHeader is the Host sent upstream: "" or "client" for the client's,
	// "upstream" for the endpoint's address, else itself.
	HostHeader string
	Timeouts   exchange.Timeouts
	Further    int // endpoints tried after the first
}

var _ http.Handler = (*Proxy)(nil)

// informer is a transport that passes 1xx answers on.
type informer interface {
	RoundTripInform(r *http.Request, inform upstream.Informer) (*http.Response, error)
}

// ServeHTTP forwards r and its answer.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange.Of(r)
	x.Timeouts, x.Further = &p.Timeouts, p.Further
	asked := keepUpgrade(r)
	r, body := p.prepare(w, r)
	resp, err := p.send(r, x)
	if err != nil {
		body.settle()
		p.refuse(w, r, x, body, err)
		return
	}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		p.tunnel(w, r, x, resp, asked)
	default:
		p.answer(w, r, x, resp, body)
	}
}

// prepare returns r as the transport is to see it: r itself unless its Host
// changes or it has a body.
func (p *Proxy) prepare(w http.ResponseWriter, r *http.Request) (*http.Request, *clientBody) {
	hasBody := r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
	literal := p.HostHeader != "" && p.HostHeader != "client"
	if !hasBody && !literal {
		return r, nil
	}
	sent := &clientRequest{Request: *r}
	out := &sent.Request
	switch {
	case p.HostHeader == "upstream":
		out.Host = "" // the transport says where it goes
	case literal:
		out.Host = p.HostHeader
	}
	if !hasBody {
		return out, nil
	}
	sent.body.open(w, r)
	out.Body = &sent.body
	return out, &sent.body
}

// clientRequest is a request with a body of a client, in one piece of memory.
type clientRequest struct {
	http.Request
	body clientBody
}

func (p *Proxy) send(r *http.Request, x *exchange.Exchange) (*http.Response, error) {
	t, ok := p.Transport.(informer)
	if !ok || !r.ProtoAtLeast(1, 1) {
		return p.Transport.RoundTrip(r)
	}
	return t.RoundTripInform(r, (*hints)(&x.Response))
}

// hints passes 1xx answers on to a client. It is its writer by another name,
// which costs no allocation.
type hints exchange.Writer

func (w *hints) Inform(status int, h http.Header) {
	if status == http.StatusContinue {
		return // the server says that itself, when the body is first read
	}
	stripFields(h)
	(*exchange.Writer)(w).Inform(status, h)
}

// answer passes resp on.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, resp *http.Response, body *clientBody) {
	defer body.settle()
	defer resp.Body.Close()
	stripFields(resp.Header)
	h := resp.Header
	if w != http.ResponseWriter(&x.Response) || !x.Response.Lend(h) {
		h = w.Header()
		merge(h, resp.Header)
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // what the app does not name is not ours to guess
	}
	if r.ProtoMajor == 1 && uploading(resp.Body) {
		// The rest of the request may never be read; it must not be taken for
		// the next one.
		h.Set("Connection", "close")
		body.abandon()
	}
	announced := len(resp.Trailer)
	if r.ProtoAtLeast(1, 1) {
		for name := range resp.Trailer {
			h.Add("Trailer", name)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if err := p.copy(w, r, resp); err != nil {
		cut(r, x, err)
	}
	trail(w, resp, announced)
	if body.isAbandoned() {
		http.NewResponseController(w).Flush() // Close may have to wait
	}
}

// merge adds the fields of an answer to what is there already, which is
// nothing as a rule.
func merge(h, answer http.Header) {
	for name, values := range answer {
		if old, ok := h[name]; ok {
			values = append(old, values...)
		}
		h[name] = values
	}
}

// cut ends an answer that cannot be completed, so that the client sees that.
func cut(r *http.Request, x *exchange.Exchange, err error) {
	x.Cause = err
	x.Code = "answer-cut"
	if upstream.ClientGone(r, err) || errors.As(err, new(*writeError)) {
		x.Code = "client-gone"
	}
	panic(http.ErrAbortHandler)
}

// writeError is an answer that the client did not take.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copy passes the body on, and flushes whenever the endpoint has no more to
// give for the moment: somebody may be waiting for just that much.
func (p *Proxy) copy(w http.ResponseWriter, r *http.Request, resp *http.Response) error {
	if b, ok := whole(resp.Body); ok {
		if _, err := w.Write(b); err != nil {
			return &writeError{err}
		}
		return nil
	}
	flusher := http.NewResponseController(w)
	if resp.ContentLength != 0 && r.Method != http.MethodHead && drained(resp.Body) {
		flusher.Flush()
	}
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	left := resp.ContentLength // -1 if that is not known
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return &writeError{err}
			}
			left -= int64(n)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case left != 0 && drained(resp.Body): // else the end goes out with it
			if err := flusher.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return &writeError{err}
			}
		}
	}
}

// whole returns what is left of body if all of it is there already: then it needs
// no buffer of ours.
func whole(body io.Reader) ([]byte, bool) {
	b, ok := body.(interface{ Whole() ([]byte, bool) })
	if !ok {
		return nil, false
	}
	return b.Whole()
}

// drained reports whether the next Read of body may have to wait. One that
// cannot tell may.
func drained(body io.Reader) bool {
	b, ok := body.(interface{ Buffered() int })
	return !ok || b.Buffered() == 0
}

// trail sends the trailers of resp; only announced of them were announced.
func trail(w http.ResponseWriter, resp *http.Response, announced int) {
	if len(resp.Trailer) == 0 {
		return
	}
	http.NewResponseController(w).Flush() // makes the answer chunked, if nothing else did
	prefix := ""
	if len(resp.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	h := w.Header()
	for name, values := range resp.Trailer {
		for _, v := range values {
			h.Add(prefix+name, v)
		}
	}
}

func uploading(body io.ReadCloser) bool {
	b, ok := body.(interface{ Uploading() bool })
	return ok && b.Uploading()
}

// refuse answers for a transport that brought no answer.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, body *clientBody, err error) {
	switch {
	case errors.Is(err, upstream.ErrMoved):
		x.Moved = true
		return
	case errors.Is(err, upstream.ErrRehearsed):
		return // the probe has what would have been sent
	}
	if upstream.ClientGone(r, err) || errors.Is(err, io.ErrUnexpectedEOF) && errors.As(err, new(*upstream.RequestError)) {
		x.Code, x.Cause = "client-gone", err
		x.Response.Status = 499
		panic(http.ErrAbortHandler)
	}
	f := refusal(err)
	f.Err = err
	f.Close = f.Close || r.ProtoMajor == 1 && !body.complete()
	exchange.Refuse(w, r, f)
}

func refusal(err error) exchange.Refusal {
	var (
		unavailable *upstream.Unavailable
		connect     *upstream.ConnectError
		timeout     *upstream.TimeoutError
		request     *upstream.RequestError
		tooLarge    *http.MaxBytesError
	)
	switch {
	case errors.As(err, &unavailable):
		return exchange.Refusal{Status: http.StatusServiceUnavailable, Code: "no-endpoint", RetryAfter: 5,
			Message: "The service is not available at the moment. It may be starting; please try again."}
	case errors.As(err, &connect):
		return exchange.Refusal{Status: http.StatusBadGateway, Code: "connect-failed", Message: "The service could not be reached."}
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return exchange.Refusal{Status: http.StatusGatewayTimeout, Code: "timeout", Message: "The service did not answer in time."}
	case errors.As(err, &tooLarge):
		return exchange.Refusal{Status: http.StatusRequestEntityTooLarge, Code: "body-too-large", Close: true, Message: "The request is too large."}
	case errors.As(err, &request):
		return exchange.Refusal{Status: http.StatusBadRequest, Code: "bad-request", Close: true, Message: "The request could not be read to its end."}
	}
	return exchange.Refusal{Status: http.StatusBadGateway, Code: "bad-answer", Message: "The service gave no valid answer."}
}
