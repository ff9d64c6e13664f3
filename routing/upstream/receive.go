package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
)

// exchange sends call on c and reads the head of its answer. When it fails,
// the upload has ended and the caller closes c.
func (c *conn) exchange(call *call) (*http.Response, error) {
	call.begin()
	up, err := c.send(call)
	if err == nil {
		var a *answer
		if a, err = c.receive(call, up); err == nil {
			return c.answer(call, a, up), nil
		}
	}
	err = c.failure(err, call)
	if up != nil {
		c.abort(err)
		up.finish()
	}
	return nil, err
}

// receive reads the final head, and passes on those before it.
func (c *conn) receive(call *call, up *upload) (*answer, error) {
	h := &c.head
	for range maxInform + 1 {
		a, err := c.readHead()
		if err != nil {
			return nil, err
		}
		switch {
		case h.status == http.StatusSwitchingProtocols && call.upgrade == "":
			return nil, errors.New("it switched protocols, which nobody asked for")
		case h.status >= 200 || h.status == http.StatusSwitchingProtocols:
			c.stage.Store(int32(exchanging))
			c.answered(up)
			if call.probe != nil {
				call.noteAnswer(h.whole)
			}
			return a, nil
		}
		call.answered = true
		c.stage.Store(int32(exchanging))
		if call.inform != nil {
			call.inform.Inform(h.status, h.fields.Header)
		}
		if up == nil || up.complete.Load() {
			c.sent(call.answerIn())
		}
	}
	return nil, errors.New("it sent too many 1xx answers")
}

// readHead reads the next head into c.head.
func (c *conn) readHead() (*answer, error) {
	for scanned := 0; ; {
		end, next, err := http1.HeadEnd(c.in[c.r:c.w], scanned)
		if end == 0 && c.r < c.w && c.in[c.r] != 'H' {
			return nil, notHTTP(c.in[c.r:c.w]) // now: who speaks first may wait for ever
		}
		if err != nil {
			return nil, inHead(err)
		}
		if end > 0 {
			a, text := newAnswer(c.in[c.r : c.r+end])
			c.r += end
			return a, c.head.parse(text)
		}
		scanned = next
		if err := c.fill(maxHead); err != nil {
			return nil, err
		}
	}
}

// sent begins the wait for an answer to what is sent now, of d at most, unless
// the answer is there. 0 is no limit.
func (c *conn) sent(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.await(forAnswer, d)
	}
}

// answered ends that wait. An upload, if there is one, may be about to begin it.
func (c *conn) answered(up *upload) {
	if up != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	c.waiting = false
	c.came(forAnswer)
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
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errEarlyClose
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		err = fmt.Errorf("it reset the connection before it had answered: %w", err)
	}
	return c.t.broken(err)
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
	for _, list := range h.fields.Header["Www-Authenticate"] {
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
