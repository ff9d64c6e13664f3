package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

const (
	at1 = "10.1.1.1:80"
	at2 = "10.1.1.2:80"
	at3 = "10.1.1.3:80"
)

// gone is an endpoint whose container does not run: it has no address.
func gone(s spec.State, name string) spec.Endpoint {
	e := endpoint4(name, at1)
	e.State, e.Addr = s, netip.AddrPort{}
	return e
}

func TestRequestsWaitForAContainerThatComes(t *testing.T) {
	for name, before := range map[string]spec.Endpoint{
		"starting":   endpoint4("web", at1), // and nobody listens yet
		"created":    gone(spec.Created, "web"),
		"restarting": gone(spec.Restarting, "web"),
		"paused":     in(spec.Paused, endpoint4("web", at1)),
		"draining":   in(spec.Draining, endpoint4("old", at2)),
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
				p := pool(nil, before)
				got := askLater(p, 30*time.Second, "POST")
				pass(3 * time.Second)
				if n := p.Load().Waiting; n != 1 {
					t.Fatalf("%d requests wait after 3s, want 1", n)
				}
				a.name(at1, "web")
				p.set(endpoint4("web", at1))
				if o := <-got; o.body != "web" || o.took < 3*time.Second || o.took > 4*time.Second || o.held != o.took {
					t.Errorf("got %+v, want an answer of web within 4s", o)
				}
				if n := p.Load().Waiting; n != 0 {
					t.Errorf("%d requests wait in the end, want 0", n)
				}
			})
		})
	}
}

func TestARequestLooksAgainBeforeItIsRefused(t *testing.T) {
	o := serveRaw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	p := poolOf(t, Config{}, endpointAt("web", o.Listener))
	r, _ := request(t, "GET", "/", nil)
	c := newCall(r, nil)
	c.hold = time.Minute
	// What it saw of the pool was older: nobody was ready then.
	if err := p.wait(&c, false); err != nil {
		t.Errorf("wait = %v after an endpoint turned ready, want nil", err)
	}
}

func TestRequestsWaitForWhatJustLeftAndNotForever(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web")
		p := pool(nil, endpoint4("web", at1))
		pass(time.Second)
		a.kill(at1)
		p.set(gone(spec.Gone, "web"))
		pass(59 * time.Second)
		if o := ask(p, 10*time.Second, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 10*time.Second || o.held != o.took {
			t.Errorf("59s after it left: got %+v, want Unavailable after 10s", o)
		}
		if o := ask(p, 10*time.Second, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 0 {
			t.Errorf("after more than 60s: got %+v, want Unavailable at once", o)
		}
	})
}

func TestNobodyWaitsForWhatWillNotCome(t *testing.T) {
	for name, eps := range map[string][]spec.Endpoint{
		"no containers":   nil,
		"exited long ago": {gone(spec.Exited, "web")},
		"label down":      {with(endpoint4("web", at1), "down", downOptions{true})},
		"weight 0":        {with(endpoint4("web", at1), "weight", weightOptions{0})},
		"no address":      {gone(spec.Running, "web")},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
				a.name(at1, "web")
				p := pool(nil, eps...)
				pass(time.Second)
				if o := ask(p, 30*time.Second, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 0 || strings.HasSuffix(o.err.Error(), "is ready") {
					t.Errorf("got %+v, want Unavailable at once, and why", o)
				}
			})
		})
	}
}

func TestWhoWaitsIsToldWhenNobodyWillCome(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, gone(spec.Created, "web"))
		waiting := askLater(p, 30*time.Second, "GET")
		pass(time.Second)
		p.set(gone(spec.Running, "web")) // on no network
		if o := <-waiting; !errors.As(o.err, new(*Unavailable)) || o.took != time.Second {
			t.Errorf("got %+v, want Unavailable after 1s", o)
		}
	})
}

func TestNobodyWaitsForWhatTheOperatorDrained(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "old")
		a.name(at2, "web")
		p := pool(nil, endpoint4("old", at1))
		pass(time.Second)
		next := endpoint4("web", at2)
		p.set(next) // a deploy, a moment ago
		pass(time.Second)
		next.Drained = "drained by fairlead drain"
		p.set(next)
		if o := ask(p, 30*time.Second, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 0 || states(p) != "web=drained" {
			t.Errorf("got %+v, %s; want Unavailable at once", o, states(p))
		}
		next.Drained = ""
		p.set(next)
		eventuallyReady(p)
		if o := ask(p, 0, "GET"); o.body != "web" {
			t.Errorf("undrained: got %+v, want an answer of web", o)
		}
	})
}

func TestHoldZeroDoesNotWait(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		if o := ask(p, 0, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 0 {
			t.Errorf("got %+v, want Unavailable at once", o)
		}
	})
}

// The event may come later than the refused connection.
func TestARefusedConnectOfTheLastEndpointIsWaitedOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "old")
		p := pool(nil, endpoint4("web", at1))
		pass(time.Second)
		a.kill(at1)
		got, refused := askLater(p, 30*time.Second, "POST"), ask(p, 0, "GET")
		if !errors.As(refused.err, new(*ConnectError)) && !errors.As(refused.err, new(*Unavailable)) {
			t.Errorf("with hold=0: got %+v, want that there is no connection", refused)
		}
		pass(2 * time.Second)
		a.name(at2, "new")
		e := endpoint4("web", at2)
		e.ID, e.StartedAt = "id-new", began.Add(time.Hour)
		p.set(e)
		if o := <-got; o.body != "new" || o.err != nil {
			t.Errorf("got %+v, want an answer of new", o)
		}
	})
}

func TestURLTargetsAreNotWaitedFor(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, spec.Endpoint{Container: "http://" + at1, State: spec.Running, Scheme: "http", Host: at1})
		if o := ask(p, 30*time.Second, "GET"); !errors.As(o.err, new(*ConnectError)) || o.took != 0 {
			t.Errorf("got %+v, want a ConnectError at once", o)
		}
	})
}

func TestAClientThatLeavesFreesItsPlace(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		ctx, leave := context.WithCancel(context.Background())
		got := askLater(p, 30*time.Second, "GET", func(_ *http.Request, x *exchange.Exchange) { x.Context = ctx })
		pass(time.Second)
		leave()
		if o := <-got; !errors.Is(o.err, context.Canceled) || p.Load().Waiting != 0 {
			t.Errorf("got %+v with %d waiting, want the client's cancellation and 0", o, p.Load().Waiting)
		}
	})
}

func TestTheQueueIsBoundedAndFirstComeFirstServed(t *testing.T) {
	var q queue
	var all []*waiter
	for range maxWaiting {
		w := q.join(false)
		if w == nil {
			t.Fatalf("refused as number %d, want %d to have room", len(all)+1, maxWaiting)
		}
		all = append(all, w)
	}
	if q.join(false) != nil {
		t.Errorf("number %d was let in", maxWaiting+1)
	}
	q.remove(all[1])
	again := q.join(true) // had its turn before
	q.call(2)
	for i, w := range []*waiter{again, all[0]} {
		select {
		case <-w.called:
		default:
			t.Errorf("number %d was not called", i)
		}
	}
	if len(all[2].called) != 0 || q.remove(all[1]) || q.waiting.Load() != maxWaiting-2 {
		t.Errorf("%d wait, want %d: two were called, one left, one came back", q.waiting.Load(), maxWaiting-2)
	}
	q.end()
	if q.waiting.Load() != 0 || len(all[maxWaiting-1].called) != 1 {
		t.Error("somebody still waits after the end")
	}
}

func TestAFullQueueIsSaidSo(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		for range maxWaiting {
			p.queue.join(false)
		}
		if o := ask(p, 30*time.Second, "GET"); !errors.As(o.err, new(*Unavailable)) || !strings.Contains(o.err.Error(), "10000 requests wait already") || o.took != 0 {
			t.Errorf("got %+v, want that too many wait", o)
		}
		if got := p.Load(); got.Waiting != maxWaiting || got.TurnedAway != 1 {
			t.Errorf("load %+v, want %d waiting and 1 turned away", got, maxWaiting)
		}
		p.queue.end()
	})
}

// Waiting requests go on in batches, and all of them do.
func TestWhatWaitedDoesNotComeAllAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		const requests = 500
		p := pool(nil, endpoint4("web", at1))
		all := make(chan outcome, requests)
		for range requests {
			go func() { all <- ask(p, 30*time.Second, "GET") }()
		}
		synctest.Wait()
		release := make(chan struct{})
		a.run(at1, func(string) string { <-release; return answerOf(200, "web") })
		eventuallyReady(p)
		synctest.Wait()
		if n := p.Load().Waiting; n != requests-admitted {
			t.Errorf("%d wait when the container is ready, want all %d but a batch of %d", n, requests, admitted)
		}
		pass(admitEvery)
		if n := p.Load().Waiting; n != requests-2*admitted {
			t.Errorf("%d wait %v later, want one batch less", n, admitEvery)
		}
		close(release)
		for range requests {
			if o := <-all; o.body != "web" {
				t.Fatalf("got %+v, want an answer of web", o)
			}
		}
	})
}

// eventuallyReady waits in virtual time.
func eventuallyReady(p *Pool) {
	for !p.Ready() {
		<-time.After(time.Millisecond)
	}
}

func TestShakenRequestsAreMatchedAnewIfTheyMay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		body := &closable{Reader: strings.NewReader("x")}
		may := askLater(p, 30*time.Second, "POST", func(r *http.Request, x *exchange.Exchange) { x.MayMove, r.Body = true, body })
		mayNot := askLater(p, 30*time.Second, "GET")
		pass(4 * time.Second)
		p.Shake()
		if o := <-may; o.err != ErrMoved || o.held != 4*time.Second || body.closed {
			t.Errorf("got %+v, body closed %v; want ErrMoved, 4s of waiting, and the body as it was", o, body.closed)
		}
		pass(time.Second)
		if p.Load().Waiting != 1 {
			t.Errorf("%d wait, want the one that may not move", p.Load().Waiting)
		}
		a.name(at1, "web")
		if o := <-mayNot; o.body != "web" {
			t.Errorf("got %+v, want an answer of web", o)
		}
	})
}

// The table that is live matched those who wait, perhaps by labels that are not
// the new container's.
func TestWhoTurnsReadyIsAskedOnceTheTableIsLive(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, gone(spec.Created, "web"))
		may := askLater(p, 30*time.Second, "GET", func(_ *http.Request, x *exchange.Exchange) { x.MayMove = true })
		mayNot := askLater(p, 30*time.Second, "GET")
		synctest.Wait()
		a.name(at1, "next")
		p.stage(endpoint4("next", at1))
		pass(time.Second)
		if n := p.Load().Waiting; n != 2 || p.Ready() {
			t.Errorf("%d wait and the pool is %s, want both to wait", n, states(p))
		}
		p.Shake()
		p.Enter()
		if o := <-may; o.err != ErrMoved {
			t.Errorf("got %+v, want ErrMoved", o)
		}
		if o := <-mayNot; o.body != "next" {
			t.Errorf("got %+v, want an answer of next", o)
		}
	})
}

// A request that looks for an endpoint while another table takes over may find
// one whose labels are not those it was matched by.
func TestWhoDidNotWaitYetIsShakenToo(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		a.run(at1, func(string) string {
			p.set(endpoint4("web", at1), endpoint4("next", at2))
			eventuallyReady(p)
			p.Shake()
			return ""
		})
		a.name(at2, "next")
		eventuallyReady(p)
		if o := ask(p, 30*time.Second, "GET", func(_ *http.Request, x *exchange.Exchange) { x.MayMove = true }); o.err != ErrMoved {
			t.Errorf("got %+v, want ErrMoved", o)
		}
		if o := ask(p, 30*time.Second, "GET"); o.body != "next" {
			t.Errorf("got %+v, want next to answer who may not be moved", o)
		}
	})
}

// Nor is it missed by a request that is about to wait.
func TestAShakeJustBeforeTheWaitIsNoticed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		r := httptest.NewRequest("GET", "/", nil)
		x, _, r := exchange.Begin(nil, r)
		x.Timeouts, x.MayMove = &exchange.Timeouts{Hold: 30 * time.Second}, true
		c := newCall(r, nil)
		p.Shake()
		if err := p.wait(&c, false); err != nil || x.Held != 0 || p.Load().Waiting != 0 {
			t.Errorf("%v after %v with %d waiting, want no wait", err, x.Held, p.Load().Waiting)
		}
		if _, err := p.next(&c); err != ErrMoved {
			t.Errorf("got %v, want ErrMoved", err)
		}
	})
}

type closable struct {
	*strings.Reader
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

// Time spent waiting for another pool before counts.
func TestHoldIsForTheWholeRequest(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		o := ask(p, 30*time.Second, "GET", func(_ *http.Request, x *exchange.Exchange) { x.Held = 20 * time.Second })
		if o.took != 10*time.Second || o.held != 30*time.Second {
			t.Errorf("waited %v, %v in all; want 10s of 30s", o.took, o.held)
		}
	})
}

func TestARetiredPoolLetsGoOfThoseWhoWait(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		p := pool(nil, endpoint4("web", at1))
		got := askLater(p, 30*time.Second, "GET")
		pass(time.Second)
		p.Close()
		if o := <-got; !errors.As(o.err, new(*Unavailable)) || o.took != time.Second {
			t.Errorf("got %+v, want Unavailable when the pool was closed", o)
		}
	})
}

func TestMaxConnsQueues(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { <-time.After(time.Second); return answerOf(200, "web") })
		p := pool(nil, with(endpoint4("web", at1), "max-conns", maxConnsOptions{2}))
		pass(time.Second)
		all := make(chan outcome, 6)
		for range 6 {
			go func() { all <- ask(p, 30*time.Second, "GET") }()
		}
		synctest.Wait()
		if n, waiting := p.Endpoints()[0].InFlight, p.Load().Waiting; n != 2 || waiting != 4 {
			t.Errorf("%d in flight and %d waiting, want 2 and 4", n, waiting)
		}
		var took []string
		for range 6 {
			o := <-all
			if o.body != "web" {
				t.Fatalf("got %+v, want an answer", o)
			}
			took = append(took, fmt.Sprint(o.took))
		}
		if got := strings.Join(took, " "); got != "1s 1s 2s 2s 3s 3s" {
			t.Errorf("took %s, want two at a time", got)
		}
		blocked := askLater(p, 0, "GET")
		if o := <-blocked; o.body != "web" {
			t.Errorf("with room and hold=0: got %+v, want an answer", o)
		}
	})
}

func TestBeyondMaxConnsWithoutHoldIs503(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { <-time.After(time.Second); return answerOf(200, "web") })
		p := pool(nil, with(endpoint4("web", at1), "max-conns", maxConnsOptions{1}))
		pass(time.Second)
		first := askLater(p, 0, "GET")
		synctest.Wait()
		if o := ask(p, 0, "GET"); !errors.As(o.err, new(*Unavailable)) || !strings.Contains(o.err.Error(), "max-conns") || o.took != 0 {
			t.Errorf("got %+v, want Unavailable that names max-conns", o)
		}
		if o := ask(p, 500*time.Millisecond, "GET"); !errors.As(o.err, new(*Unavailable)) || o.took != 500*time.Millisecond {
			t.Errorf("got %+v, want Unavailable after 500ms", o)
		}
		<-first
	})
}

func TestABackupStandsInForTheBusy(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { <-time.After(time.Second); return answerOf(200, "web") })
		a.name(at2, "backup")
		p := pool(nil, with(endpoint4("web", at1), "max-conns", maxConnsOptions{1}), with(endpoint4("backup", at2), "backup", backupOptions{true}))
		pass(time.Second)
		first := askLater(p, time.Second, "GET")
		synctest.Wait()
		if o := ask(p, time.Second, "GET"); o.body != "backup" || o.took != 0 {
			t.Errorf("got %+v, want an answer of backup at once", o)
		}
		if o := <-first; o.body != "web" {
			t.Errorf("got %+v, want the first to be answered by web", o)
		}
	})
}
