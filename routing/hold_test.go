package routing

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// askLater is ask in a goroutine of its own.
func (w *world) askLater(line string) <-chan *http.Response {
	done := make(chan *http.Response, 1)
	go func() { done <- w.ask(line) }()
	return done
}

// awaitWaiting waits until n requests wait for the pool of the first route.
func (w *world) awaitWaiting(n int) {
	w.t.Helper()
	w.eventually("so many requests wait", func() bool {
		waiting := int64(0)
		for _, u := range w.live.Table().units {
			for _, p := range u.pools {
				waiting += p.up.Load().Waiting
			}
		}
		return waiting == int64(n)
	})
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) got(later <-chan *http.Response, want string) {
	w.t.Helper()
	select {
	case resp := <-later:
		if got := outcome(resp); got != want {
			w.t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(20 * time.Second):
		w.t.Errorf("no answer, want %s", want)
	}
}

func TestAHeldRequestGoesOnWhenItsContainerIsBack(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web1 web@shop created\n\thost: app.ex\n\theader.request.X-Beta: once\n\tstrip: /api\n")
	w.turn()
	later := w.askLater("POST app.ex/api/x")
	w.awaitWaiting(1)
	w.change("web1", func(c *spec.Workload) { c.State = spec.Running })
	w.turn()
	resp := <-later
	if got, beta := outcome(resp), resp.Header.Get("X-Beta-Got"); got != "200 shop/web /x" || beta != "once" {
		t.Errorf("got %s with X-Beta %q; want 200 shop/web /x and X-Beta once, as if it had come only now", got, beta)
	}
}

// The labels that protect hold for those who waited, too.
func TestAHeldRequestIsSubjectToTheLabelsOfItsTime(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.probe()
	w.read("web1 web@shop created\n\thost: app.ex\n")
	w.turn()
	later := w.askLater("GET app.ex/")
	w.awaitWaiting(1)
	w.read("web2 web@shop\n\thost: app.ex\n\tmaintenance: true\n")
	w.remove("web1")
	w.turn()
	w.got(later, "503 shop/web maintenance")
}

// Also for those who were on their way to a container in the moment it stopped.
func TestARefusedRequestIsSubjectToTheLabelsOfItsTime(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	var refusing atomic.Bool
	w.refuse(func(string) bool { return refusing.Load() })
	w.probe()
	w.read("web1 web@shop\n\thost: app.ex\n")
	pool := w.turn().units[0].pools[0].up
	w.eventually("ready", pool.Ready)
	refusing.Store(true)
	later := w.askLater("GET app.ex/")
	w.awaitWaiting(1)
	w.remove("web1")
	w.read("web2 web@shop\n\thost: app.ex\n\tmaintenance: true\n")
	w.turn()
	refusing.Store(false)
	w.got(later, "503 shop/web maintenance")
}

// A successor at another port is another pool.
func TestAHeldRequestFollowsItsServiceToAnotherPool(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web1 web@shop created\n\thost: app.ex\n\tport: 8080\n")
	w.turn()
	later := w.askLater("GET app.ex/x")
	w.awaitWaiting(1)
	w.remove("web1")
	w.read("web2 web@shop\n\thost: app.ex\n\tport: 9090\n")
	w.turn()
	w.got(later, "200 shop/web /x")
}

func TestAHeldRequestGoesToWhicheverIsReadyFirst(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("blue1 blue@shop created\n\thost: app.ex\ngreen1 green@shop created\n\thost: app.ex\n")
	w.turn()
	later := w.askLater("GET app.ex/x")
	w.awaitWaiting(1)
	w.change("green1", func(c *spec.Workload) { c.State = spec.Running })
	w.turn()
	w.live.Shake() // as the watch does after each turn
	w.got(later, "200 shop/green /x")
}

// An app stops listening a moment before the engine says that it was told to.
// Who meets that moment need not wait for it to come back.
func TestARequestThatIsRefusedGoesToTheRival(t *testing.T) {
	for _, line := range []string{"GET app.ex/x", "POST app.ex/x body=once"} {
		w := newWorld(t)
		w.serveApps()
		var refusing atomic.Value // an address
		w.refuse(func(addr string) bool { return addr == refusing.Load() })
		w.probe()
		w.read("blue1 blue@shop\n\thost: app.ex\ngreen1 green@shop\n\thost: app.ex\n")
		pools := w.turn().units[0].pools
		w.eventually("both are ready", func() bool { return pools[0].up.Ready() && pools[1].up.Ready() })
		refusing.Store(pools[0].up.Endpoints()[0].Address)
		resp := w.ask(line)
		if got := outcome(resp); got != "200 shop/green /x" {
			t.Errorf("%s: got %s, want 200 shop/green /x", line, got)
		}
		if _, want, _ := strings.Cut(line, "body="); resp.Header.Get("X-Body") != want {
			t.Errorf("%s: green got the body %q", line, resp.Header.Get("X-Body"))
		}
		if blue := pools[0].up.Endpoints()[0]; blue.Container != "blue1" || blue.Fails == 0 {
			t.Errorf("%s: %+v was not asked first", line, blue)
		}
	}
}

func TestAHeldRequestOfARouteThatGoesIs404(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web1 web@shop created\n\thost: app.ex\n\tpath: /a\nother1 other@shop\n\thost: app.ex\n\tpath: /b\n")
	w.turn()
	later := w.askLater("GET app.ex/a")
	w.awaitWaiting(1)
	w.remove("web1")
	w.turn()
	w.got(later, "404 no-route")
}

func TestHoldOffIs503AtOnce(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web1 web@shop created\n\thost: app.ex\n\thold: 0\n\troute.api.host: api.ex\n\troute.api.hold: 10h\n")
	table := w.turn()
	w.wants("GET app.ex/ => 503 shop/web no-endpoint")
	if got := table.problemLines(); got != "out-of-range shop/web.api 10h\n" {
		t.Errorf("problems %q, want that 10h is out of range", got)
	}
}

// For the race detector: containers are replaced under traffic, labels with them.
func TestReplacementsUnderLoadLoseNothing(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.probe()
	text := func(name, beta string) string {
		return name + " web@shop\n\thost: app.ex\n\theader.response.X-Beta: " + beta + "\n"
	}
	w.read(text("web0", "0"))
	w.turn()
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
				if resp := w.ask("GET app.ex/x"); resp.StatusCode != 200 {
					t.Errorf("got %s", outcome(resp))
					return
				}
			}
		})
	}
	for i := 1; i <= 30; i++ {
		old, name := "web"+string(rune('0'+(i-1)%10)), "web"+string(rune('0'+i%10))
		for _, s := range []spec.State{spec.Draining, spec.Exited, spec.Gone} {
			w.change(old, func(c *spec.Workload) { c.State = s })
			w.turn()
		}
		w.remove(old)
		w.read(text(name, string(rune('0'+i%10))))
		w.change(name, func(c *spec.Workload) { c.StartedAt = c.StartedAt.Add(time.Duration(i) * time.Hour) })
		w.turn()
	}
	close(stop)
	clients.Wait()
}

// refuse has apps refuse connections to the addresses for which it is true.
func (w *world) refuse(is func(addr string) bool) {
	serve := w.dial
	w.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if is(addr) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return serve(ctx, network, addr)
	}
}

// probe has endpoints be found listening, as they are in earnest, before they
// are asked.
func (w *world) probe() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	prober := &upstream.Prober{Dial: w.dial}
	running.Go(func() { prober.Run(ctx) })
	w.t.Cleanup(func() { w.retireAll(); cancel(); running.Wait() })
	w.env.NewPool = func(key string, tls spec.UpstreamTLS, b *build.Build) (*upstream.Pool, error) {
		return upstream.New(upstream.Config{Key: key, TLS: tls, Secret: b.Secret, Dial: w.dial, Prober: prober})
	}
}
