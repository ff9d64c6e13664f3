package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/spec"
)

// furtherEndpoints is how many other endpoints a request is tried on: two, for
// a service that is scaled down loses several at once.
const furtherEndpoints = 2

// RoundTrip sends r to one of the endpoints. It differs from what
// http.RoundTripper promises in three points: the target is r.RequestURI and
// the Host r.Host, both byte for byte
// (no Host means the endpoint's own address); 101 comes with a Body that is also an
// io.Writer; and closing the response's Body waits until r.Body is no longer
// read, so that whoever lent both may take them back. r.Body is closed then, or
// when RoundTrip fails; its Close must end a Read that waits.
//
// Errors are *Unavailable, *ConnectError, *TimeoutError, *BrokenError,
// *RequestError, or the cause of the end of r's context.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.RoundTripInform(r, nil)
}

// RoundTripInform is RoundTrip that calls inform, on the caller's goroutine,
// with every 1xx answer that comes before the final one. h is the callee's.
func (p *Pool) RoundTripInform(r *http.Request, inform func(status int, h http.Header)) (*http.Response, error) {
	call := newCall(r, inform)
	defer call.release()
	resp, err := p.try(&call)
	if err != nil || !call.read {
		call.closeBody()
	}
	return resp, err
}

func (p *Pool) try(call *call) (*http.Response, error) {
	x := exchangeOf(call.r)
	if x != nil {
		x.Pool = p.key
	}
	var tried []*endpoint
	var failed error
	for further := 0; ; {
		e := p.pick(call.r, tried)
		if e == nil && failed != nil {
			return nil, failed
		}
		if e == nil {
			return nil, p.unavailable()
		}
		if tried == nil {
			if err := call.readSmall(); err != nil {
				return nil, err
			}
		}
		if x != nil {
			x.Container, x.Endpoint = e.transport.container(), e.transport.addr
		}
		resp, err := e.transport.roundTrip(call)
		if x != nil {
			x.Retries = call.retries
		}
		if err == nil {
			return resp, nil
		}
		again := e.blame(err, call)
		if errors.Is(err, errLeft) {
			p.awaitChange() // whoever made it leave is about to publish that
			continue
		}
		if further++; !again || further > furtherEndpoints {
			return nil, err
		}
		call.retries++
		tried, failed = append(tried, e), err
	}
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
		e.note(broken.Err.Error())
		return call.repeatable()
	case errors.As(err, &timeout):
		e.note(fmt.Sprintf("%s timeout", timeout.Phase))
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

// pick returns a ready endpoint that was not tried, or nil.
func (p *Pool) pick(r *http.Request, tried []*endpoint) *endpoint {
	v := p.view.Load()
	if tried != nil {
		v = v.without(tried)
	}
	switch len(v.ready) {
	case 0:
		return nil
	case 1:
		return v.ready[0]
	}
	return v.ready[p.picker.Pick(r, v.picks)]
}

func (v *view) without(tried []*endpoint) *view {
	rest := &view{}
	for _, e := range v.ready {
		if !slices.Contains(tried, e) {
			rest.ready = append(rest.ready, e)
			rest.picks = append(rest.picks, &e.Endpoint)
		}
	}
	return rest
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
		s := e.spec.Container + " is " + e.name()
		if e.spec.State == spec.Created {
			s = e.spec.Container + " was not started"
		}
		if e.reason != "" {
			s += " (" + e.reason + ")"
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
