package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

func TestALabelPutsAContainerOnTheWeb(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	if r := p.get("app.localhost", "/"); r.status != 404 || r.code() != "no-route" || !strings.Contains(r.body, "app.localhost") {
		t.Errorf("an unknown host got %v, want 404 no-route that names it", r)
	}
	w.run(labelled("web", "host=app.localhost"), nil)
	p.await("app.localhost", 200, "web /")
}

// Promise 1: an error never removes a route.
func TestPromise1NoErrorOfTheEngineRemovesARoute(t *testing.T) {
	t.Parallel()
	every := []string{dockertest.Ping, dockertest.Info, dockertest.Version, dockertest.Events, dockertest.List, dockertest.Inspect, dockertest.Networks}
	for name, fault := range map[string]func(e *dockertest.Engine) (heal func()){
		"lists fail": func(e *dockertest.Engine) func() {
			e.Fail(dockertest.List, 500)
			return func() { e.Fail(dockertest.List, 0) }
		},
		"inspect 404": func(e *dockertest.Engine) func() {
			e.Fail(dockertest.Inspect, 404)
			return func() { e.Fail(dockertest.Inspect, 0) }
		},
		"stream is cut": func(e *dockertest.Engine) func() { return func() {} },
		"engine is away": func(e *dockertest.Engine) func() {
			e.Down()
			return func() { e.Up() }
		},
		"all answers are 500": func(e *dockertest.Engine) func() {
			for _, x := range every {
				e.Fail(x, 500)
			}
			return func() {
				for _, x := range every {
					e.Fail(x, 0)
				}
			}
		},
		"engine hangs": func(e *dockertest.Engine) func() {
			var release []func()
			for _, x := range every {
				release = append(release, e.Hang(x))
			}
			return func() {
				for _, f := range release {
					f()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(labelled("web", "host=app.test"), nil)
			p := w.start()
			p.await("app.test", 200, "web ")
			l := p.load(3, "app.test", nil)
			heal := fault(w.engine)
			w.engine.Cut()
			l.more(300)
			heal()
			w.run(labelled("new", "host=new.test"), nil)
			p.await("new.test", 200, "new ")
			eventually(t, "the mark of being stale is gone", func() bool { return p.view().Stale == "" })
			l.noneFailed()
		})
	}
}

// Promise 2: a bad label costs that label, where it narrows the route; never
// another container.
func TestPromise2ABadLabelCostsThatLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("good", "host=good.test"), nil)
	w.run(labelled("typo", "host=typo.test", "striip=true", "header.response.X-A=1", "timeout.idel=5s"), nil)
	w.run(labelled("value", "host=value.test", "timeout.idle=60", "log=maybe"), nil)
	refused := map[string][]string{
		"alow": {"alow=private"}, "auth-basci": {"auth.basci=a:b"}, "regex": {"path=~["}, "unset": {"path="}, "no-slash": {"path=api"},
		"method": {"match.method=G T"}, "excluding": {"redirect=/a", "respond=200"}, "listen": {"listen=lan"}, "allow": {"allow=private"}, "basic": {"auth.basic=a:b"},
		"tls": {"tls=internl"}, "rate": {"rate-limit=1r/s"}, "client-ip": {"match.client-ip=10.0.0.0/33"}, "macth": {"macth.method=GET"},
	}
	for name, labels := range refused {
		w.run(labelled(name, append(labels, "host="+name+".test")...), nil)
	}
	prefix := labelled("prefix", "host=prefix.test")
	prefix.Labels["fairlaed.header.response.X-A"] = "1"
	w.run(prefix, nil)
	p := w.start()
	for _, name := range []string{"good", "typo", "value", "prefix"} {
		p.await(name+".test", 200, name+" ")
	}
	if got := p.get("typo.test", "/").header.Get("X-A"); got != "1" {
		t.Errorf("X-A = %q, want the good label beside the bad to work", got)
	}
	for name := range refused {
		if r := p.get(name+".test", "/"); r.status != 503 || r.code() != "route-refused" {
			t.Errorf("%s: %v, want 503 route-refused", name, r)
		}
	}
	v := p.view()
	for container, want := range map[string]string{
		"typo": `did you mean "fairlead.strip"`, "value": `did you mean "60s"`, "alow": `did you mean "fairlead.allow"`, "auth-basci": `did you mean "fairlead.auth.basic"`,
		"prefix": "fairlead.header.response.X-A", "allow": "not-yet", "basic": "not-yet", "tls": `did you mean "internal"`,
	} {
		found := ""
		for _, q := range v.Problems {
			if q.Container == container {
				found += q.String() + "\n"
			}
		}
		if !strings.Contains(found, want) {
			t.Errorf("%s: problems %q, want one with %s", container, found, want)
		}
	}
}

// An unset variable leaves a label empty: the route is refused, not widened.
func TestPromise2AnUnsetVariableIsNoHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("host", "host="), nil)
	w.run(labelled("catch", "host=*", "path="), nil)
	w.run(labelled("good", "host=good.test"), nil)
	p := w.start()
	p.await("good.test", 200, "good ")
	for _, host := range []string{"host.test", "x", "localhost"} {
		if r := p.get(host, "/"); r.status == 200 {
			t.Errorf("%s: %v, want no app", host, r)
		}
	}
	if p.view().problem("empty") == "" && !strings.Contains(mustJSON(t, p.view().Problems), "empty") {
		t.Errorf("problems = %s, want one that says the label is empty", mustJSON(t, p.view().Problems))
	}
}

// One host of several being wrong refuses the route. Its other hosts are known
// and closed, not unknown.
func TestPromise2ARefusedHostLabelKeepsItsGoodHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=good.test, bad_!.test"), nil)
	w.run(inProject(labelled("wide", "host=*.test"), "other", "wide"), nil)
	p := w.start()
	p.await("x.test", 200, "wide ")
	if r := p.get("good.test", "/"); r.status != 503 || r.code() != "route-refused" {
		t.Errorf("good.test beside a bad host: %v, want 503 route-refused", r)
	}
}

// Promise 3: streams of untouched routes never notice a change.
func TestPromise3AWebsocketOutlivesChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.run(labelled("web", "host=app.test"), echo)
	p := w.start()
	p.await("app.test", 200, "web ")
	s := p.upgrade("app.test")
	for i := range 200 {
		c := labelled("other", "host=other.test", fmt.Sprintf("respond=200 %d", i))
		id := w.engine.Run(w.fill(c))
		if i%10 == 0 {
			p.await("other.test", 200, fmt.Sprint(i))
			if !s.says(fmt.Sprintf("change %d", i)) {
				t.Fatalf("the websocket ended at change %d", i)
			}
		}
		w.engine.Remove(id)
	}
	if !s.says("the end") || len(a.requests()) == 0 {
		t.Error("the websocket ended")
	}
	ws := 0
	for _, r := range a.requests() {
		if len(r.field("Upgrade")) > 0 {
			ws++
		}
	}
	if ws != 1 {
		t.Errorf("the app got %d handshakes, want 1", ws)
	}
}

// Promise 4: a known host is never answered 404 because its container is away.
func TestPromise4AKnownHostIsNever404(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(e *dockertest.Engine, id string){
		"stopped":   func(e *dockertest.Engine, id string) { e.Stop(id) },
		"killed":    func(e *dockertest.Engine, id string) { e.Kill(id, 9); e.Die(id, 137) },
		"paused":    func(e *dockertest.Engine, id string) { e.Pause(id) },
		"removed":   func(e *dockertest.Engine, id string) { e.Remove(id) },
		"off net":   func(e *dockertest.Engine, id string) { e.Disconnect(id, "apps") },
		"told":      func(e *dockertest.Engine, id string) { e.Kill(id, 15) },
		"restarted": func(e *dockertest.Engine, id string) { e.Die(id, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := labelled("web", "host=app.test")
			if name == "restarted" {
				c.Restart = "always"
			}
			_, id := w.run(c, nil)
			p := w.start()
			p.await("app.test", 200, "web ")
			away(w.engine, id)
			p.await("app.test", 503, "no-endpoint")
			r := p.get("app.test", "/", "Accept: application/json")
			if r.status != 503 || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, r.header.Get("X-Request-Id")) || r.header.Get("X-Request-Id") == "" {
				t.Errorf("got %v %v, want 503 with Retry-After and the request id", r, r.header)
			}
			eventually(t, "a log line that names the container", func() bool { return len(p.accessLines("no-endpoint", "web is ")) > 0 })
		})
	}
	t.Run("created", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.engine.Create(w.fill(labelled("web", "host=app.test")))
		p := w.start()
		if r := p.get("app.test", "/"); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("got %v, want 503 with Retry-After: it exists and was not started", r)
		}
		w.startApp(id, "web", nil)
		p.await("app.test", 200, "web ")
	})
}

// Promise 5: a container told to stop gets no new request, and finishes the
// running ones.
func TestPromise5NoNewRequestAfterKill(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		signal     int
		stopSignal string
		drains     bool
	}{
		"TERM": {15, "", true}, "KILL": {9, "", true}, "QUIT as stop signal": {3, "SIGQUIT", true}, "TERM where QUIT stops": {15, "SIGQUIT", false},
		"HUP": {1, "", false}, "USR1": {10, "", false}, "WINCH": {28, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hold := make(chan bool)
			slow := func(c *appConn, r *seen) bool {
				if r.target() == "/slow" {
					c.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
					<-hold
					c.say("done")
					return true
				}
				return c.ok(c.app.name)
			}
			c1, c2 := labelled("web-1", "host=app.test"), labelled("web-2", "host=app.test")
			c1.StopSignal, c2.StopSignal = tt.stopSignal, tt.stopSignal
			a, id := w.run(inProject(c1, "shop", "web"), slow)
			b, _ := w.run(inProject(c2, "shop", "web"), slow)
			p := w.start()
			eventually(t, "both serve", func() bool {
				p.fetch("app.test", "/")
				return len(a.requests()) > 0 && len(b.requests()) > 0
			})
			slowOn := func(x *app) (n int) {
				for _, s := range x.requests() {
					if s.target() == "/slow" {
						n++
					}
				}
				return n
			}
			var half *bufio.Reader
			eventually(t, "a slow request is on web-1", func() bool {
				before, c := slowOn(b), p.dial()
				half = bufio.NewReader(c)
				io.WriteString(c, request("GET", "app.test", "/slow"))
				eventually(t, "a slow request arrived", func() bool { return slowOn(a) > 0 || slowOn(b) > before })
				return slowOn(a) > 0
			})
			l := p.load(4, "app.test", nil)
			l.more(50)
			killed := time.Now()
			w.engine.Kill(id, tt.signal)
			l.more(300)
			var late time.Time
			for _, s := range a.requests() {
				if s.at.After(late) {
					late = s.at
				}
			}
			// 50 ms is the promise, BenchmarkKillToLast the figure; the rest is for busy machines.
			if tt.drains && late.Sub(killed) > time.Second {
				t.Errorf("web-1 got a request %s after its kill event, want none after 50ms", late.Sub(killed))
			}
			if !tt.drains && late.Sub(killed) < 0 {
				t.Errorf("web-1 got no request after signal %d, which is not its stop signal", tt.signal)
			}
			close(hold)
			if r := readReply(half, "GET"); r.body != "halfdone" {
				t.Errorf("the running request got %v, want it finished", r)
			}
			l.noneFailed()
		})
	}
}
