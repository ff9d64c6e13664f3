package upstream

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// An overloaded endpoint says so; another one may do better.
func TestA503IsTriedElsewhereIfIdempotent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var got atomic.Int64
		a.run(at1, func(string) string { got.Add(1); return answerOf(503, "busy") })
		a.name(at2, "web-2")
		p := pool(health(t, "max-fails=0"), endpoint4("web-1", at1), endpoint4("web-2", at2))
		pass(time.Second)
		for range 4 {
			if o := ask(p, 0, "GET"); o.body != "web-2" {
				t.Errorf("GET: got %+v, want an answer of web-2", o)
			}
		}
		seen, before := map[string]int{}, got.Load()
		for range 4 {
			seen[ask(p, 0, "POST").body]++
		}
		if seen["busy"] != 2 || got.Load()-before != 2 {
			t.Errorf("POST: got %v, want half of them answered by the one that is busy, once each", seen)
		}
	})
}

func TestTheLast503IsPassedOn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		for _, addr := range []string{at1, at2} {
			a.run(addr, func(string) string { return answerOf(503, "busy at "+addr) })
		}
		p := pool(nil, endpoint4("web-1", at1), endpoint4("web-2", at2))
		pass(time.Second)
		if o := ask(p, 30*time.Second, "GET"); o.status != 503 || !strings.HasPrefix(o.body, "busy at ") || o.retries != 1 || o.held != 0 {
			t.Errorf("got %+v, want the app's own 503 after one more attempt", o)
		}
	})
}

// No endpoint is used that is not ready while another one is.
func TestA503IsNotTriedOnAnUnhealthyEndpoint(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { return answerOf(503, "busy") })
		a.name(at2, "sick")
		sick := endpoint4("sick", at2)
		sick.Health = spec.Unhealthy
		p := pool(health(t, "max-fails=0"), endpoint4("web", at1), sick)
		pass(time.Second)
		if o := ask(p, 30*time.Second, "GET"); o.body != "busy" || o.retries != 0 {
			t.Errorf("got %+v, want the answer of the only one that is ready", o)
		}
		a.kill(at1)
		if o := ask(p, 30*time.Second, "GET"); o.body != "sick" {
			t.Errorf("the ready one is gone: got %+v, want an answer of the sick one", o)
		}
	})
}

func TestRetryIsAsManyAsTheRouteSays(t *testing.T) {
	for _, tt := range []struct{ further, attempts int }{{0, 1}, {1, 2}, {3, 4}, {10, 4}} {
		inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
			var attempts atomic.Int64
			var eps []spec.Endpoint
			for i, addr := range []string{at1, at2, at3, "10.1.1.4:80"} {
				a.run(addr, func(string) string { attempts.Add(1); return "" })
				eps = append(eps, endpoint4("web-"+string(rune('1'+i)), addr))
			}
			p := pool(health(t, "max-fails=0"), eps...)
			pass(time.Second)
			o := ask(p, 0, "GET", func(_ *http.Request, x *exchange.Exchange) { x.Further = tt.further })
			if n := attempts.Load(); !errors.As(o.err, new(*BrokenError)) || n != int64(tt.attempts) {
				t.Errorf("retry=%d: got %v after %d attempts, want a broken answer after %d", tt.further, o.err, n, tt.attempts)
			}
		})
	}
}

// THREATS 48. What may have been processed is not sent again.
func TestAPostThatWasReadIsSentOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var got atomic.Int64
		for _, addr := range []string{at1, at2} {
			a.run(addr, func(string) string { got.Add(1); return "" })
		}
		p := pool(nil, endpoint4("web-1", at1), endpoint4("web-2", at2))
		pass(time.Second)
		if o := ask(p, 30*time.Second, "POST"); !errors.As(o.err, new(*BrokenError)) || got.Load() != 1 {
			t.Errorf("got %+v after %d attempts, want a broken answer after 1", o, got.Load())
		}
	})
}

func TestRetriesAreAFifthOfTheLoadAtMost(t *testing.T) {
	var b budget
	b.fifths.Store(budgetAtHand)
	spent := 0
	for b.spend() {
		spent++
	}
	if spent != budgetAtHand/retryCost {
		t.Errorf("a new pool has %d retries, want %d", spent, budgetAtHand/retryCost)
	}
	spent = 0
	for range 1000 {
		b.earn()
		if b.spend() {
			spent++
		}
	}
	if spent != 200 {
		t.Errorf("%d retries for 1000 requests, want 200", spent)
	}
	for range 3 * budgetMost {
		b.earn()
	}
	if got := b.fifths.Load(); got != budgetMost {
		t.Errorf("saved up %d, want %d at most", got, budgetMost)
	}
}

// A service that fails as a whole gets no three times the load.
func TestABudgetThatIsSpentEndsRetries(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var got atomic.Int64
		for _, addr := range []string{at1, at2, at3} {
			a.run(addr, func(string) string { got.Add(1); return answerOf(503, "") })
		}
		p := pool(health(t, "max-fails=0"), endpoint4("web-1", at1), endpoint4("web-2", at2), endpoint4("web-3", at3))
		pass(time.Second)
		const requests = 1000
		for range requests {
			ask(p, 0, "GET")
		}
		if n := got.Load(); n > requests*6/5+budgetAtHand/retryCost || n < requests*6/5 {
			t.Errorf("%d requests came to %d, want a fifth more and the %d at hand", requests, n, budgetAtHand/retryCost)
		}
		if p.Load().Spent == 0 {
			t.Error("nobody counted what was not sent again")
		}
	})
}

// The only container dies under a request, and nobody has said so yet.
func TestAnIdempotentRequestOutlivesItsOnlyContainer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { <-time.After(time.Second); return "" })
		p := pool(nil, endpoint4("web", at1))
		pass(time.Second)
		got, post := askLater(p, 30*time.Second, "GET"), askLater(p, 30*time.Second, "POST")
		pass(500 * time.Millisecond)
		a.kill(at1)
		pass(2 * time.Second)
		next := endpoint4("web", at2)
		next.StartedAt = began.Add(time.Hour)
		a.name(at2, "next")
		p.set(next)
		if o := <-got; o.body != "next" {
			t.Errorf("GET: got %+v, want an answer of the next run", o)
		}
		if o := <-post; !errors.As(o.err, new(*BrokenError)) || o.held != 0 {
			t.Errorf("POST: got %+v, want that it broke", o)
		}
	})
}

// The only container is taken off its network under a request: when it is
// replaced, that can be the first that is heard of it.
func TestAnIdempotentRequestOutlivesADisconnect(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { <-time.After(time.Minute); return "" })
		web := endpoint4("web", at1)
		p := pool(nil, web)
		pass(time.Second)
		got, post := askLater(p, 30*time.Second, "GET"), askLater(p, 30*time.Second, "POST")
		pass(time.Second)
		p.set(gone(spec.Draining, "web"))
		pass(time.Second)
		a.name(at2, "next")
		next := endpoint4("web", at2)
		next.StartedAt = began.Add(time.Hour)
		p.set(next)
		if o := <-got; o.body != "next" {
			t.Errorf("GET: got %+v, want an answer of the next run", o)
		}
		if o := <-post; !errors.As(o.err, new(*BrokenError)) || o.held != 0 {
			t.Errorf("POST: got %+v, want that it broke", o)
		}
	})
}

// An answer that makes no sense would make none the second time.
func TestANonsensicalAnswerOfTheOnlyContainerIsNotWaitedOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { return "SSH-2.0-OpenSSH_9.2\r\n\r\n" })
		p := pool(nil, endpoint4("web", at1))
		pass(time.Second)
		if o := ask(p, 30*time.Second, "GET"); !errors.As(o.err, new(*BrokenError)) || o.took != 0 || states(p) != "web=ready" {
			t.Errorf("got %+v, %s; want a broken answer at once", o, states(p))
		}
	})
}

func TestPausedContainersGiveTheirRequestsBack(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		frozen := make(chan struct{})
		a.run(at1, func(string) string { <-frozen; return "" })
		a.name(at2, "web-2")
		e1, e2 := endpoint4("web-1", at1), endpoint4("web-2", at2)
		p := pool(nil, e1)
		pass(time.Second)
		got, post := askLater(p, 0, "GET"), askLater(p, 0, "POST")
		synctest.Wait()
		p.set(in(spec.Paused, e1)) // nobody else could do it
		pass(time.Second)
		select {
		case o := <-got:
			t.Errorf("got %+v while nobody else was there", o)
		default:
		}
		p.set(in(spec.Paused, e1), e2)
		pass(time.Second)
		p.set(in(spec.Paused, e1), e2) // which is ready by now
		if o := <-got; o.body != "web-2" || o.retries != 1 {
			t.Errorf("GET: got %+v, want an answer of web-2", o)
		}
		select {
		case o := <-post:
			t.Errorf("POST: got %+v, want it to wait for its container", o)
		default:
		}
		close(frozen)
		<-post
	})
}

func TestMaxFailsTakesOutForAWhile(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var broken atomic.Bool
		broken.Store(true)
		a.run(at1, func(string) string {
			if broken.Load() {
				return ""
			}
			return answerOf(200, "web-1")
		})
		a.name(at2, "web-2")
		p := pool(health(t, "max-fails=2", "fail-timeout=20s"), endpoint4("web-1", at1), endpoint4("web-2", at2))
		pass(time.Second)
		for range 8 {
			if o := ask(p, 0, "GET"); o.body != "web-2" {
				t.Errorf("got %+v, want an answer of web-2", o)
			}
		}
		if got := p.Endpoints()[0]; got.State != "unhealthy" || !strings.Contains(got.Reason, "closed the connection") || got.Fails != 2 {
			t.Errorf("%s after %d fails (%s), want unhealthy after 2", got.State, got.Fails, got.Reason)
		}
		broken.Store(false)
		pass(19 * time.Second)
		if got := states(p); got != "web-1=unhealthy web-2=ready" {
			t.Errorf("after 19s: %s", got)
		}
		pass(2 * time.Second)
		seen := map[string]int{}
		for range 4 {
			seen[ask(p, 0, "GET").body]++
		}
		if states(p) != "web-1=ready web-2=ready" || seen["web-1"] != 2 {
			t.Errorf("after 21s: %s, answers %v; want both ready", states(p), seen)
		}
	})
}

func TestFailuresFarApartTakeNobodyOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(string) string { return "" })
		p := pool(health(t, "max-fails=2", "fail-timeout=1s"), endpoint4("web", at1))
		pass(time.Second)
		for range 5 {
			ask(p, 0, "GET")
			pass(1100 * time.Millisecond)
			if got := states(p); got != "web=ready" {
				t.Fatalf("%s, want ready: the failures are more than a second apart", got)
			}
		}
	})
}

func TestTheLastEndpointIsNeverTakenOut(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(head string) string {
			if strings.HasPrefix(head, "POST") {
				return ""
			}
			return answerOf(200, "web")
		})
		p := pool(health(t, "max-fails=1"), endpoint4("web", at1))
		pass(time.Second)
		ask(p, 0, "POST")
		if o := ask(p, 30*time.Second, "GET"); o.body != "web" || o.held != 0 || states(p) != "web=unhealthy" {
			t.Errorf("got %+v, %s; want an answer at once of the only one, unhealthy as it is", o, states(p))
		}
	})
}

func TestBackupsServeWhenNobodyElseDoes(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web")
		a.name(at2, "backup")
		e1, e2 := endpoint4("web", at1), with(endpoint4("backup", at2), "backup", backupOptions{true})
		p := pool(nil, e1, e2)
		pass(time.Second)
		for range 4 {
			if o := ask(p, 0, "GET"); o.body != "web" {
				t.Errorf("%s answered while web is ready", o.body)
			}
		}
		p.set(in(spec.Draining, e1), e2)
		if o := ask(p, 0, "GET"); o.body != "backup" {
			t.Errorf("got %+v, want an answer of backup", o)
		}
		p.set(e2) // only backups
		if o := ask(p, 0, "GET"); o.body != "backup" {
			t.Errorf("only backups: got %+v, want an answer", o)
		}
	})
}

func TestWeightsAndDown(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var eps []spec.Endpoint
		for _, tt := range []struct {
			addr, name string
			options    label.Options
		}{
			{at1, "three", label.Options{"weight": weightOptions{3}}},
			{at2, "one", nil},
			{at3, "zero", label.Options{"weight": weightOptions{0}}},
			{"10.1.1.4:80", "down", label.Options{"down": downOptions{true}}},
		} {
			a.name(tt.addr, tt.name)
			e := endpoint4(tt.name, tt.addr)
			e.Options = tt.options
			eps = append(eps, e)
		}
		p := pool(nil, eps...)
		pass(time.Second)
		seen := map[string]int{}
		for range 40 {
			seen[ask(p, 0, "GET").body]++
		}
		if seen["three"] != 30 || seen["one"] != 10 || len(seen) != 2 {
			t.Errorf("answers %v, want 30 of three and 10 of one", seen)
		}
		for i, want := range []string{"", "", "its weight is 0", "its label down is set"} {
			if got := p.Endpoints()[i].Reason; !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s: reason %q, want %q", eps[i].Container, got, want)
			}
		}
		// Labels of a container that stays do not change; a runtime change of
		// balance does not lose the turns.
		p.Set(spec.Pool{Key: p.key, Endpoints: eps, Options: health(t, "balance=least-conn")})
		p.Enter()
		if o := ask(p, 0, "GET"); o.status != 200 {
			t.Errorf("after a change of balance: %+v", o)
		}
	})
}

func TestStickyClientsStay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web-1")
		a.name(at2, "web-2")
		a.name(at3, "web-3")
		e1, e2, e3 := endpoint4("web-1", at1), endpoint4("web-2", at2), endpoint4("web-3", at3)
		p := pool(health(t, "sticky=true"), e1, e2)
		pass(time.Second)
		first := ask(p, 0, "GET", func(_ *http.Request, x *exchange.Exchange) { x.Scheme = "https" })
		set := first.header.Get("Set-Cookie")
		for _, part := range []string{"fairlead_", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(set, part) {
				t.Errorf("Set-Cookie %q lacks %q", set, part)
			}
		}
		if strings.Contains(set, "web") || strings.Contains(set, "id-") {
			t.Errorf("Set-Cookie %q says which container it means", set)
		}
		cookie, _, _ := strings.Cut(set, ";")
		comeBack := func(cookie string) outcome {
			return ask(p, 0, "GET", func(r *http.Request, _ *exchange.Exchange) { r.Header["Cookie"] = []string{"a=b; " + cookie} })
		}
		for range 6 {
			if o := comeBack(cookie); o.body != first.body || o.header.Get("Set-Cookie") != "" {
				t.Errorf("got %s and Set-Cookie %q, want %s and none", o.body, o.header.Get("Set-Cookie"), first.body)
			}
		}
		mine, other := e1, e2
		if first.body == "web-2" {
			mine, other = e2, e1
		}
		p.set(mine, e3) // the other one was replaced
		pass(time.Second)
		if o := comeBack(cookie); o.body != first.body {
			t.Errorf("after the other was replaced: got %s, want %s", o.body, first.body)
		}
		p.set(in(spec.Draining, mine), e3)
		o := comeBack(cookie)
		if o.body != "web-3" || o.header.Get("Set-Cookie") == "" {
			t.Errorf("its container drains: got %s and Set-Cookie %q, want web-3 and a new cookie", o.body, o.header.Get("Set-Cookie"))
		}
		again := mine
		again.ID, again.StartedAt = "id-new", began.Add(time.Hour)
		p.set(again, other, e3)
		pass(time.Second)
		if o := comeBack(cookie); o.body != first.body {
			t.Errorf("its successor is there: got %s, want %s", o.body, first.body)
		}
		forged, _, _ := strings.Cut(cookie, "=")
		if o := comeBack(forged + "=AAAAAAAAAAAAAAAAAAAAAA"); o.header.Get("Set-Cookie") == "" {
			t.Error("a forged cookie was believed")
		}
	})
}

func TestStickyCookieIsSignedPerPool(t *testing.T) {
	key, other := []byte("k1"), []byte("k2")
	a := tokenOf(key, "shop/web:80", "web-1:80")
	for name, b := range map[string]string{
		"key": tokenOf(other, "shop/web:80", "web-1:80"), "pool": tokenOf(key, "shop/api:80", "web-1:80"), "endpoint": tokenOf(key, "shop/web:80", "web-2:80"),
	} {
		if a == b {
			t.Errorf("another %s makes the same token", name)
		}
	}
	if a != tokenOf(key, "shop/web:80", "web-1:80") {
		t.Error("the same token comes out differently")
	}
}

func TestSlowStartIsForNewContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		slow := func(name, addr string, started time.Time) spec.Endpoint {
			e := with(endpoint4(name, addr), "slow-start", slowStartOptions{100 * time.Second})
			e.StartedAt = started
			return e
		}
		old, young := slow("old", at1, time.Now().Add(-time.Hour)), slow("young", at2, time.Now())
		p.set(old, young)
		share := func(name string) (n int) {
			for range 1000 {
				if e, _ := p.view.Load().pick(nil, nil); e.spec.Container == name {
					n++
				}
			}
			return n
		}
		if n := share("young"); n > 50 {
			t.Errorf("a container that has just started got %d of 1000, want few", n)
		}
		<-time.After(50 * time.Second)
		if n := share("young"); n < 300 || n > 360 {
			t.Errorf("half-way it got %d of 1000, want a third", n)
		}
		<-time.After(51 * time.Second)
		if n := share("young"); n < 490 || n > 510 {
			t.Errorf("at the end it got %d of 1000, want half", n)
		}
	})
}

func TestDrainEnds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(head string) string {
			if strings.HasPrefix(head, "GET /short ") {
				<-time.After(3 * time.Second)
			} else {
				<-time.After(time.Minute)
			}
			return answerOf(200, "web")
		})
		e := endpoint4("web", at1)
		opts := label.Options{"drain": spec.DrainOptions{For: 5 * time.Second}}
		p := pool(opts, e)
		pass(time.Second)
		short := askLater(p, 0, "GET", func(r *http.Request, _ *exchange.Exchange) { r.RequestURI = "/short" })
		long := askLater(p, 0, "POST")
		synctest.Wait()
		p.set(in(spec.Draining, e))
		if o := <-short; o.body != "web" || o.took != 3*time.Second {
			t.Errorf("a request that ends in time: got %+v", o)
		}
		o := <-long
		if o.err == nil || !strings.Contains(o.err.Error(), "label drain") || o.took > 5200*time.Millisecond || o.took < 5*time.Second {
			t.Errorf("one that does not: got %+v, want it cut after 5s", o)
		}
	})
}

func TestDrainEndsWebSocketsLast(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(head string) string {
			if strings.Contains(head, "Upgrade: websocket") {
				return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
			}
			<-time.After(2 * time.Second)
			return answerOf(200, "web")
		})
		e := endpoint4("web", at1)
		p := pool(nil, e)
		pass(time.Second)
		r, err := http.NewRequest("GET", "http://shop.example/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Upgrade", "websocket")
		resp, err := p.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan time.Time, 1)
		resp.Body.(interface{ OnFarewell(func()) }).OnFarewell(func() { told <- time.Now() })
		request := askLater(p, 0, "GET")
		synctest.Wait()
		p.set(in(spec.Draining, e))
		began := time.Now()
		if o := <-request; o.body != "web" {
			t.Errorf("the request beside: got %+v", o)
		}
		if at := <-told; at.Sub(began) < 2*time.Second || at.Sub(began) > 2200*time.Millisecond {
			t.Errorf("the WebSocket was told to go after %v, want when the request beside it had ended, after 2s", at.Sub(began))
		}
		resp.Body.Close()
	})
}
