package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
)

// exchange sends call on c and reads the head of its answer. When it fails,
// the upload has ended and the caller closes c.
func (c *conn) exchange(call *call) (*http.Response, error) {
	call.begin()
	ctx := call.r.Context()
	stop := context.AfterFunc(ctx, func() { c.abort(context.Cause(ctx)) })
	up, err := c.send(call)
	if err == nil {
		if call.repeatable() {
			c.stage.Store(int32(unanswered))
		}
		var h head
		if h, err = c.receive(call, up); err == nil {
			return c.answer(call, h, up, stop), nil
		}
	}
	stop()
	err = c.failure(err, call)
	if up != nil {
		c.abort(err)
		up.finish()
	}
	return nil, err
}

// receive returns the final head and passes on those before it.
func (c *conn) receive(call *call, up *upload) (head, error) {
	for range maxInform + 1 {
		h, err := c.readHead()
		if err != nil {
			return h, err
		}
		switch {
		case h.status == http.StatusSwitchingProtocols && call.upgrade == "":
			return h, errors.New("it switched protocols, which nobody asked for")
		case h.status >= 200 || h.status == http.StatusSwitchingProtocols:
			c.stage.Store(int32(exchanging))
			c.gotAnswer()
			return h, nil
		}
		call.answered = true
		c.stage.Store(int32(exchanging))
		if call.inform != nil {
			call.inform(h.status, h.header)
		}
		if up == nil || up.complete.Load() {
			c.sent(call.answerBy())
		}
	}
	return head{}, errors.New("it sent too many 1xx answers")
}

func (c *conn) readHead() (head, error) {
	for scanned := 0; ; {
		end, next, err := endOfHead(c.in[c.r:c.w], scanned)
		if err != nil {
			return head{}, err
		}
		if end > 0 {
			b := c.in[c.r : c.r+end]
			c.r += end
			return parseHead(b)
		}
		scanned = next
		if err := c.fill(maxHead); err != nil {
			return head{}, err
		}
	}
}

// failure says what err means for the request, and notes in call when another
// attempt would not help.
func (c *conn) failure(err error, call *call) error {
	if cause := c.cause.Load(); cause != nil {
		err = *cause
	}
	var bad *RequestError
	switch {
	case errors.As(err, &bad), call.r.Context().Err() != nil:
		call.final = true
		return err
	case errors.As(err, new(*TimeoutError)):
		call.final = true
		return err
	case isTimeout(err):
		call.final = true
		if call.expired() {
			return c.t.timeout(Requesting)
		}
		return c.t.timeout(Responding)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errEarlyClose
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		err = fmt.Errorf("it reset the connection before it had answered: %w", err)
	}
	return c.t.broken(err)
}

// answer makes the response of a final head.
func (c *conn) answer(call *call, h head, up *upload, stop func() bool) *http.Response {
	a := &answer{}
	a.resp = http.Response{
		Status: h.text, StatusCode: h.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.header, ContentLength: h.length, Request: call.r, Body: &a.body,
	}
	if h.http10 {
		a.resp.Proto, a.resp.ProtoMinor = "HTTP/1.0", 0
	}
	a.body = body{c: c, resp: &a.resp, up: up, stop: stop, idle: call.limits.Idle, limit: call.limit}
	if h.status == http.StatusSwitchingProtocols {
		a.resp.ContentLength = 0
		a.resp.Body = newTunnel(&a.body)
		return &a.resp
	}
	a.frame(call, &h)
	if up != nil && !up.complete.Load() && (h.status >= 300 || h.close) {
		up.cease()
	}
	return &a.resp
}

// frame says how the body ends (RFC 9112 6.3), and whether the connection can
// serve another request after it.
func (a *answer) frame(call *call, h *head) {
	b := &a.body
	b.keep = !h.close && !bound(call.r.Header, h)
	b.left = h.length
	switch {
	case call.r.Method == http.MethodHead:
		// One that sends the body after all may do so when the connection is
		// in other hands: not worth the handful of HEAD requests.
		b.keep = false
		b.left, b.err = 0, io.EOF
	case h.status == http.StatusNoContent || h.status == http.StatusNotModified:
		b.keep = b.keep && !h.chunked && h.length <= 0
		b.left, b.err = 0, io.EOF
		a.resp.ContentLength = 0
		if h.status == http.StatusNoContent {
			delete(h.header, "Content-Length") // RFC 9110 8.6
		}
	case h.chunked:
		b.left = 0
		b.chunked = true
		a.announce()
	case h.length == 0:
		b.err = io.EOF
	case h.length < 0:
		b.keep = false
	}
}

// announce moves the names of trailers from header to Trailer.
func (a *answer) announce() {
	lists, ok := a.resp.Header["Trailer"]
	if !ok {
		return
	}
	delete(a.resp.Header, "Trailer")
	a.resp.Trailer = make(http.Header)
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = canonical(strings.Trim(name, " \t")); mayTrail(name) {
				a.resp.Trailer[name] = nil
			}
		}
	}
}

// bound reports whether the connection itself now carries somebody's identity:
// NTLM and Negotiate authenticate connections, not requests.
func bound(request http.Header, h *head) bool {
	for _, v := range request["Authorization"] {
		if connectionAuth(v) {
			return true
		}
	}
	if h.status != http.StatusUnauthorized {
		return false
	}
	for _, list := range h.header["Www-Authenticate"] {
		for item := range strings.SplitSeq(list, ",") {
			if connectionAuth(item) {
				return true
			}
		}
	}
	return false
}

func connectionAuth(v string) bool {
	scheme, _, _ := strings.Cut(strings.TrimLeft(v, " \t"), " ")
	return strings.EqualFold(scheme, "NTLM") || strings.EqualFold(scheme, "Negotiate")
}
