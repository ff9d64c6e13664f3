package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/balance"
)

// ErrRehearsed ends a request that is only rehearsed (exchange.Probe): its probe has
// what would have been sent, and to whom.
var ErrRehearsed = errors.New("it was rehearsed, and not sent")

// rehearse notes in the probe of call which endpoint would get it at this moment,
// and with which head. Nothing remembers that it was asked.
func (p *Pool) rehearse(call *call) error {
	p.mu.Lock()
	method, all := p.balanced, p.all
	p.mu.Unlock()
	call.x.Pool = p.key
	v := *p.view.Load()
	v.picker = balance.Foresee(method, &p.turns)
	e, busy := v.pick(call.r, nil)
	a := exchange.Attempt{Reason: "all that its containers may work on at once is in hand"}
	switch {
	case e != nil:
		a = exchange.Attempt{Container: e.transport.container(), Endpoint: e.transport.addr, Reason: v.reason(call, e, method)}
	case !busy:
		a.Reason = p.Why()
	}
	if e == nil && len(all) > 0 {
		e = all[0] // the head is the same for all of them, but for a Host of its own
	}
	if e != nil {
		head, err := e.transport.appendHead(nil, call)
		if err != nil {
			return &RequestError{err}
		}
		a.Request = head
	}
	call.probe.Begin(a)
	return ErrRehearsed
}

// reason says why e is the one that call gets.
func (v *view) reason(call *call, e *endpoint, method balance.Options) string {
	peers := 0
	for _, t := range v.tiers {
		if t == e.tier() {
			peers++
		}
	}
	switch {
	case v.sticky != nil && v.sticky.of(call.r) == e:
		return "its cookie asks for it"
	case peers > 1:
		return fmt.Sprintf("%s among %d", method.Written(), peers)
	}
	switch e.tier() {
	case standIn:
		return "a backup, and no other is ready"
	case lastResort:
		return "its HEALTHCHECK has not passed yet, and no other is ready"
	case doubtful:
		return "it is unhealthy, and no other is ready"
	}
	return "the only one that is ready"
}

// noteBegin notes that call goes to t.
func (c *call) noteBegin(t *transport) {
	c.probe.Begin(exchange.Attempt{Container: t.container(), Endpoint: t.addr, Begun: time.Since(c.x.Start)})
}

// noteSent notes the head of call as it is about to be sent on c. A second time in
// one attempt comes after a kept connection that broke.
func (c *conn) noteSent(call *call, head []byte) {
	call.probe.Note(func(a *exchange.Attempt) {
		a.Request, a.Kept, a.Sent = bytes.Clone(head), c.served > 0, time.Since(call.x.Start)
	})
}

// noteAnswer notes the head of the final answer.
func (c *call) noteAnswer(head string) {
	c.probe.Note(func(a *exchange.Attempt) { a.Answer, a.Answered = []byte(head), time.Since(c.x.Start) })
}

// noteEnd notes how the attempt ended.
func (c *call) noteEnd(err error) {
	if err != nil {
		c.probe.Note(func(a *exchange.Attempt) { a.Err = err.Error() })
	}
}
