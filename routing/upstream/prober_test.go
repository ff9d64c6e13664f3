package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// freeAddr returns an address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStartingEndpointIsProbedUntilItListens(t *testing.T) {
	readied := make(chan spec.Endpoint, 2)
	prober := runProber(t, &Prober{OnReady: func(e spec.Endpoint) { readied <- e }})
	addr := freeAddr(t)
	p := poolOf(t, Config{Prober: prober}, endpoint4("shop-web-1", addr))
	eventually(t, "a probe fails", func() bool { return p.Endpoints()[0].Fails > 1 })
	if p.Ready() {
		t.Error("ready before anything listens")
	}
	_, _, err := get(t, p, "/")
	var un *Unavailable
	want := fmt.Sprintf("shop-web-1 is starting (connection refused: nothing listens on port %d in shop-web-1; if that stays so, set fairlead.port to the port that the app listens on, or have it listen on 0.0.0.0 instead of 127.0.0.1)", netip.MustParseAddrPort(addr).Port())
	if !errors.As(err, &un) || un.Reason != want {
		t.Errorf("got %v\nwant reason %s", err, want)
	}
	if got := p.Endpoints()[0].LastError; !strings.Contains(got, "connection refused: nothing listens on port") {
		t.Errorf("last error: %q", got)
	}
	serveRawAt(t, addr, says(hello))
	if e := <-readied; e.Container != "shop-web-1" {
		t.Errorf("OnReady: got %v", e)
	}
	eventually(t, "requests see that it is ready", p.Ready)
	if status, _, err := get(t, p, "/"); status != 200 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
	if got := states(p); got != "shop-web-1=ready" {
		t.Errorf("got %s", got)
	}
}

func TestThousandsOfStartingEndpoints(t *testing.T) {
	const pools, each = 300, 10
	var dialing, most atomic.Int64
	listening := make(chan struct{})
	prober := runProber(t, &Prober{Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
		now := dialing.Add(1)
		defer dialing.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		select {
		case <-listening:
			a, b := net.Pipe()
			b.Close()
			return a, nil
		default:
			return nil, syscall.ECONNREFUSED
		}
	}})
	var all []*Pool
	for i := range pools {
		var eps []spec.Endpoint
		for j := range each {
			eps = append(eps, endpoint4(fmt.Sprintf("web-%d", j), fmt.Sprintf("10.1.%d.%d:80", i%250, i/250*100+j)))
		}
		all = append(all, poolOf(t, Config{Prober: prober}, eps...))
	}
	close(listening)
	for _, p := range all {
		eventually(t, "all are ready", func() bool { return len(p.view.Load().all) == each })
	}
	if got := most.Load(); got > probesAtOnce {
		t.Errorf("probes at once: got %d, want %d at most", got, probesAtOnce)
	}
}

func TestLeavingEndsTheProbe(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	prober := runProber(t, &Prober{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(entered)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}})
	p := poolOf(t, Config{Prober: prober}, endpoint4("web", "10.1.1.1:80"))
	<-entered
	p.Set(spec.Pool{})
	p.Enter()
	<-ended
}

func TestProberStopsWhileProbing(t *testing.T) {
	entered := make(chan struct{})
	prober := &Prober{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- prober.Run(ctx) }()
	poolOf(t, Config{Prober: prober}, endpoint4("web", "10.1.1.1:80"))
	<-entered
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestOwnFaultDoesNotBlameTheEndpoint(t *testing.T) {
	prober := runProber(t, &Prober{})
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{Prober: prober, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.EMFILE }}, endpointAt("web", o))
	eventually(t, "ready", p.Ready)
	if _, _, err := get(t, p, "/"); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v", err)
	}
	if got := states(p); got != "web=ready" {
		t.Errorf("got %s, want web=ready: it was us who had no descriptors left", got)
	}
}

func TestDoubtfulAddressIsConfirmedBeforeItIsDialled(t *testing.T) {
	host := netip.MustParseAddr("127.0.0.1")
	same := spec.Confirmation{Running: true, StartedAt: began, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.9"), host}}
	for _, tt := range []struct {
		name   string
		answer spec.Confirmation
		err    error
		want   string
	}{
		{"confirmed", same, nil, "ready"},
		{"engine away", spec.Confirmation{}, fmt.Errorf("ping: %w", ErrEngineAway), "ready"},
		{"engine away, by its own error", spec.Confirmation{}, io.ErrNoProgress, "ready"},
		{"not running", spec.Confirmation{StartedAt: began, Addrs: same.Addrs}, nil, "down"},
		{"another run", spec.Confirmation{Running: true, StartedAt: began.Add(time.Second), Addrs: same.Addrs}, nil, "down"},
		{"another address", spec.Confirmation{Running: true, StartedAt: began, Addrs: same.Addrs[:1]}, nil, "down"},
		{"engine confused", spec.Confirmation{}, errors.New("500"), "starting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked, dialled atomic.Int64
			var confirmed atomic.Bool
			prober := runProber(t, &Prober{
				Confirm: func(ctx context.Context, id string) (spec.Confirmation, error) {
					asked.Add(1)
					if id != "id-web" {
						t.Errorf("asked for %q", id)
					}
					if d, ok := ctx.Deadline(); !ok || time.Until(d) > confirmTimeout {
						t.Errorf("deadline: %v %v", d, ok)
					}
					confirmed.Store(true)
					return tt.answer, tt.err
				},
				Away: func(err error) bool { return err == io.ErrNoProgress },
			})
			o := serveRaw(t, says(hello))
			var refuse atomic.Bool
			p := poolOf(t, Config{Prober: prober, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled.Add(1)
				if refuse.Load() && !confirmed.Load() {
					return nil, syscall.ECONNREFUSED
				}
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}}, endpointAt("web", o))
			eventually(t, "ready", p.Ready)
			if asked.Load() != 0 {
				t.Error("the engine was asked about an endpoint that an event had just told of")
			}
			refuse.Store(true)
			if _, _, err := get(t, p, "/"); !errors.As(err, new(*ConnectError)) {
				t.Fatalf("got %v, want a ConnectError", err)
			}
			eventually(t, "it is "+tt.want, func() bool { return p.Endpoints()[0].State == tt.want && asked.Load() > 0 })
			n := dialled.Load()
			_, _, err := get(t, p, "/")
			switch tt.want {
			case "ready":
				if err != nil {
					t.Errorf("got %v", err)
				}
			case "starting":
				eventually(t, "asked again", func() bool { return asked.Load() > 2 })
				fallthrough
			default:
				if !errors.As(err, new(*Unavailable)) || dialled.Load() != n {
					t.Errorf("got %v after %d more dials, want Unavailable after none", err, dialled.Load()-n)
				}
			}
		})
	}
}

func TestContradictedEndpointComesBackOnlyWhenConfirmed(t *testing.T) {
	var running atomic.Bool
	prober := runProber(t, &Prober{Confirm: func(context.Context, string) (spec.Confirmation, error) {
		return spec.Confirmation{Running: running.Load(), StartedAt: began, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, nil
	}})
	o := serveRaw(t, says(hello))
	e := endpointAt("web", o)
	var refuse atomic.Bool
	p := poolOf(t, Config{Prober: prober, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if refuse.Swap(false) {
			return nil, syscall.ECONNREFUSED
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}, e)
	eventually(t, "ready", p.Ready)
	refuse.Store(true)
	get(t, p, "/")
	isDown := func() bool { return p.Endpoints()[0].State == "down" }
	eventually(t, "down", isDown)
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}}) // a table that does not know better
	p.Enter()
	eventually(t, "down again", isDown)
	running.Store(true)
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
	p.Enter()
	eventually(t, "ready again", p.Ready)
}

// A pool that is built anew for other options does not have to wait for what
// another pool has seen.
func TestWhatOnePoolKnowsAnotherNeedNotProbe(t *testing.T) {
	prober := runProber(t, &Prober{})
	e := endpointAt("web", serveRaw(t, says(hello)))
	a := poolOf(t, Config{Prober: prober}, e)
	eventually(t, "ready", a.Ready)
	b := poolOf(t, Config{Prober: prober}, e)
	if !b.Ready() {
		t.Error("the second pool is not ready")
	}
	a.Close()
	b.Close()
	if c := poolOf(t, Config{Prober: prober}, e); c.Ready() && prober.knows(identityOf(&e)) == false {
		t.Error("ready without anybody knowing")
	}
}
