package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/spec"
)

// RoundTrip sends r to one of the endpoints. It differs from what
// http.RoundTripper promises in five points: the target is r.RequestURI and
// the Host r.Host, both byte for byte (no Host means the endpoint's own address);
// 101 comes with a Body that is also an io.Writer; closing the response's Body
// waits until r.Body is no longer read, so that whoever lent both may take them
// back; the response's Header is valid until then, for the next response is made
// of it; and the end of r's context is noticed within 260 ms, and not before r was
// sent, so that quick requests need no watch over their client. r.Body is closed
// with the response's, or when RoundTrip fails; its Close must end a Read that
// waits.
//
// Errors are *Unavailable, ErrMoved, ErrRehearsed, *ConnectError, *TimeoutError, *BrokenError,
// *RequestError, or the cause of the end of r's context.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.RoundTripInform(r, nil)
}

// An Informer is told, on the goroutine of its request, of every 1xx answer that
// comes before the final one. h is its own until Inform returns.
type Informer interface {
	Inform(status int, h http.Header)
}

// RoundTripInform is RoundTrip that tells inform, which may be nil.
func (p *Pool) RoundTripInform(r *http.Request, inform Informer) (*http.Response, error) {
	call := newCall(r, inform)
	call.shakes = p.shakes.Load()
	defer call.release()
	if call.probe != nil && call.probe.Dry {
		defer call.closeBody()
		return nil, p.rehearse(&call)
	}
	resp, err := p.try(&call)
	if call.x != nil {
		call.x.Retries = call.retries
	}
	if err == ErrMoved {
		return nil, err // its body is needed again
	}
	if err != nil || !call.read {
		call.closeBody()
	}
	return resp, err
}

// try sends call to one endpoint after the other until one answers.
func (p *Pool) try(call *call) (*http.Response, error) {
	if call.x != nil {
		call.x.Pool = p.key
	}
	p.budget.earn()
	for {
		e, err := p.next(call)
		if err != nil {
			return nil, err
		}
		if err := call.readSmall(); err != nil {
			e.finish()
			return nil, err
		}
		call.sentTo(e.transport)
		resp, err := e.transport.roundTrip(call)
		if call.waited {
			p.admit(admittedMore)
		}
		if call.probe != nil {
			call.noteEnd(err)
		}
		switch {
		case err == nil && p.passes(call, e, resp):
			return resp, nil
		case err == nil:
			resp.Body.Close()
			continue
		}
		e.finish()
		if err := p.again(call, e, err); err != nil {
			return nil, err
		}
	}
}

// next reserves an endpoint for call, which waits for one if need be.
func (p *Pool) next(call *call) (*endpoint, error) {
	for {
		v := p.view.Load()
		if p.shook(call) { // after the view was loaded, for what is shaken enters it later
			return nil, call.move()
		}
		behind := v.limited && !call.waited && p.queue.waiting.Load() > 0 // others were first
		e, busy := v.pick(call.r, call.tried)
		if e != nil && !behind && e.reserve() {
			return e, nil
		}
		if err := p.wait(call, busy || e != nil); err != nil {
			return nil, err
		}
		call.tried = nil
	}
}

// passes reports whether resp is passed on. One that says that e is
// overloaded or broken is not if another endpoint may be asked instead
// (RFC 9110 9.2.2; nginx: proxy_next_upstream http_502 http_503 http_504).
func (p *Pool) passes(call *call, e *endpoint, resp *http.Response) bool {
	v := p.view.Load()
	switch resp.StatusCode {
	case http.StatusBadRequest:
		e.noteTLS(resp)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.strike("it answered " + strconv.Itoa(resp.StatusCode))
		if call.further > 0 && call.resendable() && v.others(e, call.tried) && p.budget.spend() {
			call.further--
			call.retries++
			call.tried = append(call.tried, e)
			return false
		}
	}
	if v.sticky != nil {
		v.sticky.keep(call.r, resp, e)
	}
	return true
}

// again decides what err of e means for call: nil to try another endpoint, or
// to wait for one.
func (p *Pool) again(call *call, e *endpoint, err error) error {
	if errors.Is(err, errLeft) {
		p.awaitChange() // whoever made it leave is about to publish that
		return nil
	}
	if !e.blame(err, call) {
		return err
	}
	alone := !p.view.Load().others(e, call.tried)
	switch {
	case alone && (call.hold <= 0 || unlike(err)):
		return err
	case unsent(err) && (alone || call.further > 0): // if it is alone, something may be about to follow it
	case unsent(err), call.further == 0, alone && !hungUp(err), !p.budget.spend():
		return err
	case alone:
		// It may have died a moment before anybody says so.
		e.suspect("it hung up", err)
	}
	call.failed = err
	call.further = max(0, call.further-1)
	call.retries++
	call.tried = append(call.tried, e)
	return nil
}

// awaitChange returns when no change of the pool is under way.
func (p *Pool) awaitChange() {
	p.mu.Lock()
	defer p.mu.Unlock()
}

// blame notes err against e, and reports whether another endpoint may be tried.
func (e *endpoint) blame(err error, call *call) bool {
	var (
		connect *ConnectError
		timeout *TimeoutError
		broken  *BrokenError
	)
	switch {
	case errors.As(err, &connect):
		if ownFault(err) {
			return false
		}
		e.suspect(connect.Reason, err)
		return true
	case errors.As(err, &timeout) && timeout.Phase == Connecting:
		e.suspect("it did not accept a connection in time", err)
		return true
	case errors.As(err, &broken):
		e.strike(broken.Err.Error())
		return call.repeatable()
	case errors.As(err, &timeout):
		e.strike(timeout.Phase.ranOut())
	}
	return false
}

// unlike reports whether err is of somebody who was reached and is not what the
// labels say: a port without TLS, a certificate that does not do. That does not
// pass while a request waits.
func unlike(err error) bool {
	return errors.As(err, new(tls.RecordHeaderError)) || errors.As(err, new(*tls.CertificateVerificationError))
}

// unsent reports whether nothing of a request was sent: no connection came
// about.
func unsent(err error) bool {
	var timeout *TimeoutError
	return errors.As(err, new(*ConnectError)) || errors.As(err, &timeout) && timeout.Phase == Connecting
}

// hungUp reports whether err is an end of the connection, and not an answer
// that made no sense.
func hungUp(err error) bool {
	for _, cause := range []error{errEarlyClose, errDied, errPaused, errVanished, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// ownFault reports whether a dial failed for want of something on our side,
// which says nothing about the endpoint.
func ownFault(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unavailable says why no endpoint can be asked.
func (p *Pool) unavailable() error {
	const most = 3
	p.mu.Lock()
	defer p.mu.Unlock()
	var reasons []string
	for _, e := range p.all {
		if len(reasons) == most {
			reasons = append(reasons, fmt.Sprintf("and %d more", len(p.all)-most))
			break
		}
		state := e.describe()
		s := state.Container + " is " + state.State
		if e.spec.State == spec.Created {
			s = state.Container + " was not started"
		}
		if state.Reason != "" {
			s += " (" + state.Reason + ")"
		}
		reasons = append(reasons, s)
	}
	if reasons == nil {
		reasons = []string{"it has no containers"}
	}
	return &Unavailable{Pool: p.key, Reason: strings.Join(reasons, ", ")}
}

// ClientGone reports whether err is the end of r's own context rather than
// anything an endpoint did.
func ClientGone(r *http.Request, err error) bool {
	return r.Context().Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(r.Context())))
}
