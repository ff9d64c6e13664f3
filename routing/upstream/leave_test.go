package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// gated answers /slow when told to.
func gated(t *testing.T) (o *origin, entered, answer chan struct{}) {
	entered, answer = make(chan struct{}, 10), make(chan struct{})
	o = serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			head, err := readRequest(r)
			if err != nil {
				return
			}
			if strings.HasPrefix(head, "GET /slow ") {
				entered <- struct{}{}
				<-answer
			}
			io.WriteString(c, hello)
		}
	})
	return o, entered, answer
}

type result struct {
	status int
	body   string
	err    error
}

func getLater(t *testing.T, p *Pool, target string) chan result {
	done := make(chan result, 1)
	go func() {
		status, body, err := get(t, p, target)
		done <- result{status, body, err}
	}()
	return done
}

func TestDrainingFinishesWhatItHas(t *testing.T) {
	for state, leave := range map[string]func(e *spec.Endpoint){
		"draining": func(e *spec.Endpoint) { e.State = spec.Draining },
		"drained":  func(e *spec.Endpoint) { e.Drained = "until tomorrow" },
	} {
		t.Run(state, func(t *testing.T) { drainingFinishesWhatItHas(t, state, leave) })
	}
}

func drainingFinishesWhatItHas(t *testing.T, state string, leave func(e *spec.Endpoint)) {
	prober := runProber(t, &Prober{})
	o, entered, answer := gated(t)
	e := endpointAt("web", o)
	p := poolOf(t, Config{Prober: prober}, e)
	eventually(t, "ready", p.Ready)
	slow := getLater(t, p, "/slow")
	<-entered
	if _, _, err := get(t, p, "/"); err != nil { // leaves an idle connection
		t.Fatal(err)
	}

	leave(&e)
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
	p.Enter()
	if _, _, err := get(t, p, "/"); !errors.As(err, new(*Unavailable)) {
		t.Errorf("a request while draining: got %v, want Unavailable", err)
	}
	if got := p.Endpoints()[0]; got.State != state || got.InFlight != 1 {
		t.Errorf("got %s with %d in flight, want %s with 1", got.State, got.InFlight, state)
	}
	tr := p.all[0].transport
	tr.mu.Lock()
	if len(tr.idle) != 0 || len(tr.conns) != 1 {
		t.Errorf("connections: got %d idle of %d, want none of the 1 in use", len(tr.idle), len(tr.conns))
	}
	tr.mu.Unlock()
	close(answer)
	if got := <-slow; got.status != 200 || got.err != nil {
		t.Errorf("the running request: got %d %v", got.status, got.err)
	}
	eventually(t, "its connection is closed", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return len(tr.conns) == 0
	})

	e.State, e.Drained = spec.Running, "" // it only reloaded, or the order was taken back
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
	p.Enter()
	eventually(t, "ready again", p.Ready)
	if status, _, err := get(t, p, "/"); status != 200 || err != nil {
		t.Errorf("on the way back: got %d %v", status, err)
	}
}

func TestDisconnectAbortsAtOnce(t *testing.T) {
	o, entered, answer := gated(t)
	defer close(answer)
	e := endpointAt("web", o)
	p := poolOf(t, Config{}, e)
	other := freeAddr(t)
	if _, _, err := get(t, p, "/"); err != nil { // so that a kept connection is used
		t.Fatal(err)
	}
	for name, change := range map[string]func(e *spec.Endpoint){
		"no address left": func(e *spec.Endpoint) { e.Addr = netip.AddrPort{} },
		"another address": func(e *spec.Endpoint) { e.Addr = netip.MustParseAddrPort(other) },
	} {
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
		p.Enter()
		slow := getLater(t, p, "/slow")
		<-entered
		left := p.all[0]
		moved := e
		change(&moved)
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{moved}})
		p.Enter()
		var broken *BrokenError
		if got := <-slow; !errors.As(got.err, &broken) && !errors.As(got.err, new(*ConnectError)) {
			t.Errorf("%s: got %d %v, want it aborted", name, got.status, got.err)
		}
		if n := left.InFlight.Load(); n != 0 {
			t.Errorf("%s: in flight: got %d", name, n)
		}
	}
}

// Another network was connected and is preferred now: what runs over the old
// address is left alone as long as the engine says that it is still there.
func TestChangeOfAddressIsNotADisconnect(t *testing.T) {
	for _, kept := range []bool{true, false} {
		addrs := []netip.Addr{netip.MustParseAddr("127.0.0.2")}
		if kept {
			addrs = append(addrs, netip.MustParseAddr("127.0.0.1"))
		}
		asked := make(chan struct{}, 1)
		prober := runProber(t, &Prober{Confirm: func(context.Context, string) (spec.Confirmation, error) {
			asked <- struct{}{}
			return spec.Confirmation{Running: true, StartedAt: began, Addrs: addrs}, nil
		}})
		o, entered, answer := gated(t)
		e := endpointAt("web", o)
		p := poolOf(t, Config{Prober: prober}, e)
		eventually(t, "ready", p.Ready)
		slow := getLater(t, p, "/slow")
		<-entered
		e.Addr = netip.AddrPortFrom(addrs[0], e.Addr.Port())
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
		p.Enter()
		<-asked
		if kept {
			close(answer)
		} else {
			defer close(answer)
		}
		if got := <-slow; (got.err == nil) != kept {
			t.Errorf("address kept %v: got %d %v", kept, got.status, got.err)
		}
	}
}

func TestLeavingCancelsPendingDials(t *testing.T) {
	for name, change := range map[string]func(e *spec.Endpoint) []spec.Endpoint{
		"removed":      func(e *spec.Endpoint) []spec.Endpoint { return nil },
		"exited":       func(e *spec.Endpoint) []spec.Endpoint { e.State = spec.Exited; return []spec.Endpoint{*e} },
		"paused":       func(e *spec.Endpoint) []spec.Endpoint { e.State = spec.Paused; return []spec.Endpoint{*e} },
		"told to stop": func(e *spec.Endpoint) []spec.Endpoint { e.State = spec.Draining; return []spec.Endpoint{*e} },
	} {
		entered := make(chan struct{})
		e := endpoint4("web", "10.1.1.1:80")
		p := poolOf(t, Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(entered)
			<-ctx.Done()
			return nil, ctx.Err()
		}}, e)
		done := getLater(t, p, "/")
		<-entered
		p.Set(spec.Pool{Endpoints: change(&e)})
		p.Enter()
		if got := <-done; !errors.As(got.err, new(*Unavailable)) {
			t.Errorf("%s: got %v, want Unavailable", name, got.err)
		}
	}
}

// A dead container's last words may still be in the socket.
func TestAfterDeath(t *testing.T) {
	for _, tt := range []struct {
		answersAfter time.Duration
		ok           bool
	}{{3 * time.Second, true}, {time.Minute, false}} {
		synctest.Test(t, func(t *testing.T) {
			arrived := make(chan struct{})
			gone := make(chan struct{})
			p := poolOf(t, Config{Dial: piped(func(c net.Conn, r *bufio.Reader) {
				defer close(gone)
				readHead(r)
				close(arrived)
				<-time.After(tt.answersAfter) // on the bubble's clock
				io.WriteString(c, hello)
			})}, endpoint4("web", "10.1.1.1:80"))
			done := getLater(t, p, "/")
			<-arrived
			died := time.Now()
			p.Set(spec.Pool{})
			p.Enter()
			got := <-done
			if ok := got.err == nil; ok != tt.ok {
				t.Errorf("an answer after %v: got %d %v, want success %v", tt.answersAfter, got.status, got.err, tt.ok)
			}
			if lasted := time.Since(died); !tt.ok && lasted != afterDeath {
				t.Errorf("aborted after %v, want %v", lasted, afterDeath)
			}
			p.Close()
			<-gone
		})
	}
}

// piped returns a dial func whose connections are served by serve.
func piped(serve func(c net.Conn, r *bufio.Reader)) Dial {
	return func(context.Context, string, string) (net.Conn, error) {
		c, s := net.Pipe()
		go func() {
			defer s.Close()
			serve(s, bufio.NewReader(s))
		}()
		return c, nil
	}
}

func TestClosedPoolTakesNothing(t *testing.T) {
	o, entered, answer := gated(t)
	p := poolOf(t, Config{}, endpointAt("web", o))
	slow := getLater(t, p, "/slow")
	<-entered
	p.Close()
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{endpointAt("web", o)}})
	p.Enter()
	if _, _, err := get(t, p, "/"); !errors.As(err, new(*Unavailable)) || p.Ready() {
		t.Errorf("got %v, ready %v", err, p.Ready())
	}
	close(answer)
	if got := <-slow; got.status != 200 {
		t.Errorf("the running request: got %d %v", got.status, got.err)
	}
}

// Everything at once, for the race detector: no request may fail while one of
// two endpoints always takes requests.
func TestDrainingUnderLoad(t *testing.T) {
	prober := runProber(t, &Prober{})
	a, b := endpointAt("web-1", serveRaw(t, says(hello))), endpointAt("web-2", serveRaw(t, says(hello)))
	p := poolOf(t, Config{Prober: prober}, a, b)
	both := func() bool { return len(p.view.Load().all) == 2 }
	eventually(t, "both are ready", both)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, _, err := get(t, p, "/"); status != 200 || err != nil {
					t.Errorf("got %d %v", status, err)
					return
				}
			}
		})
	}
	for i := range 40 {
		eps := []spec.Endpoint{a, b}
		eps[i%2].State = spec.Draining
		p.Set(spec.Pool{Endpoints: eps})
		p.Enter()
		p.Endpoints()
		eps = []spec.Endpoint{a, b}
		p.Set(spec.Pool{Endpoints: eps})
		p.Enter()
		eventually(t, "both are ready", both)
	}
	close(stop)
	clients.Wait()
}
