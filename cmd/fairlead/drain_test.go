package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/spec"
)

// tell runs a command against p and returns what it said.
func (p *proxy) tell(args ...string) string {
	p.Helper()
	out, err := command(append(args, "--admin", p.admin.Socket)...)
	if err != nil {
		p.Errorf("%v: %v; it said %q", args, err, out)
	}
	return out
}

// heard fails the test unless out has all parts.
func (p *proxy) heard(out string, parts ...string) {
	p.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			p.Errorf("got %q, want it to say %q", out, part)
		}
	}
}

// twoReplicas runs web-1 and web-2 of one service. Requests for /slow wait for
// the channel.
func twoReplicas(t *testing.T) (w *world, first, second *app, answer chan bool) {
	t.Helper()
	w = newWorld(t)
	answer = make(chan bool)
	serve := func(c *appConn, r *seen) bool {
		if r.target() == "/slow" {
			<-answer
		}
		return c.ok(c.app.name)
	}
	first, _ = w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), serve)
	second, _ = w.run(inProject(labelled("web-2", "host=app.test"), "shop", "web"), serve)
	return w, first, second, answer
}

// both waits until both replicas answer.
func (p *proxy) both() {
	p.Helper()
	p.await("app.test", 200, "web-1")
	p.await("app.test", 200, "web-2")
}

func (a *app) count(target string) (n int) {
	for _, r := range a.requests() {
		if r.target() == target {
			n++
		}
	}
	return n
}

func TestADrainedContainerFinishesAndGetsNothingNew(t *testing.T) {
	t.Parallel()
	w, first, second, answer := twoReplicas(t)
	p := w.start()
	p.both()
	slow := make(chan *reply, 2)
	for range 2 { // one to each
		c := p.dial()
		go func() {
			io.WriteString(c, request("GET", "app.test", "/slow"))
			slow <- readReply(bufio.NewReader(c), "GET")
		}()
	}
	eventually(t, "both have a slow request", func() bool { return first.count("/slow") == 1 && second.count("/slow") == 1 })
	l := p.load(4, "app.test", nil)
	l.more(20)

	p.heard(p.tell("drain", "web-1"), "web-1 gets no new requests, those that run finish\n", "undo: fairlead undrain web-1\n")
	// A request may be on its way from before.
	before, elsewhere := first.count("/load"), second.count("/load")
	l.more(100)
	if n := first.count("/load") - before; n > 4 {
		t.Errorf("it got %d requests after the command had returned, want none but those on their way from 4 clients", n)
	}
	settled := first.count("/load")
	l.more(100)
	if n := first.count("/load") - settled; n != 0 {
		t.Errorf("it got %d new requests, want none", n)
	}
	if second.count("/load") == elsewhere {
		t.Error("the other replica got none either")
	}
	p.heard(p.tell("routes"), "web-1 ", " drained", "\nweb-1: drained by fairlead drain until fairlead undrain web-1\n")
	p.heard(p.tell("explain", "app.test"), " drained (drained by fairlead drain until fairlead undrain web-1)")
	if out := p.tell("routes", "--json"); !strings.Contains(out, `"state": "drained"`) || !strings.Contains(out, `"in_flight": 1`) {
		t.Errorf("routes --json lacks the drained endpoint and its request: %s", out)
	}
	close(answer)
	for range 2 {
		if r := <-slow; r.status != 200 {
			t.Errorf("a request that ran: %v, want its answer", r)
		}
	}
	p.heard(p.tell("drain", "web-1"), "web-1 is drained already\n")

	p.heard(p.tell("undrain", "web-1"), "web-1 gets requests again\n", "undo: fairlead drain web-1\n")
	eventually(t, "it gets requests again", func() bool { return first.count("/load") > settled })
	p.heard(p.tell("undrain", "web-1"), "web-1 is not drained\n")
	l.noneFailed()
	for _, message := range []string{"drain ordered over the admin socket", "drain undone over the admin socket"} {
		if len(p.lines(`"level":"info"`, `"container":"web-1"`, message)) == 0 {
			t.Errorf("the log lacks %q", message)
		}
	}
}

// The order outlives the proxy, is for the one container, and ends with it.
func TestADrainOutlivesTheProxyAndEndsWithItsContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, id := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	dir := filepath.Join(w.dir, "data")
	p := w.start("--data-dir", dir)
	p.await("app.test", 200, "web-1 ")
	p.heard(p.tell("drain", id[:12]), "web-1 gets no new requests", "warning: it was the last ready endpoint of shop/web: requests get 503 until fairlead undrain web-1\n")
	if r := p.get("app.test", "/"); r.status != 503 {
		t.Errorf("the only container is drained: %v, want 503", r)
	}
	p.stop()

	p = w.start("--data-dir", dir)
	p.await("app.test", 503, "no-endpoint")
	if e := p.view().Routes[0].Endpoints[0]; e.State != "drained" {
		t.Errorf("after a restart it is %s, want drained", e.State)
	}
	w.run(inProject(labelled("web-2", "host=app.test"), "shop", "web"), nil)
	p.await("app.test", 200, "web-2 ")
	w.engine.Remove(id)
	eventually(t, "the order ends with its container", func() bool { return len(p.view().Orders.Drained) == 0 })
	if len(p.lines(`"container":"`+id[:12]+`"`, "drain ended, its container was removed")) != 1 {
		t.Errorf("the log does not say once that the order ended:\n%s", p.lastLog(10))
	}
	p.stop()

	p = w.start("--data-dir", dir)
	eventually(t, "it is not written down any more", func() bool {
		var c spec.Control
		data, err := os.ReadFile(filepath.Join(dir, "control.json"))
		return err == nil && json.Unmarshal(data, &c) == nil && len(c.Drained) == 0
	})
	p.await("app.test", 200, "web-2 ")
}

func TestADrainExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	p.heard(p.tell("drain", "web", "--for", "1h"), "web gets no new requests until 2", " UTC, those that run finish\n")
	p.heard(p.tell("drain", "web", "--for", "1s"), "web is drained already, now until 2", " UTC\n")
	if r := p.get("app.test", "/"); r.status != 503 {
		t.Errorf("drained: %v, want 503", r)
	}
	p.await("app.test", 200, "web ")
	if len(p.lines(`"level":"info"`, `"container":"web"`, "drain expired")) != 1 {
		t.Errorf("the log does not say once that it expired:\n%s", p.lastLog(10))
	}
	p.heard(p.tell("undrain", "web"), "web is not drained\n")
}

// A list that cannot be read ends no order.
func TestAnEngineThatIsAwayEndsNoOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	w.engine.Down()
	eventually(t, "it is known to be away", func() bool { return p.view().Stale != "" })
	p.tell("drain", "web")
	p.await("app.test", 503, "no-endpoint")
	if err := w.engine.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return p.view().Stale == "" })
	if e := p.view().Routes[0].Endpoints[0]; e.State != "drained" {
		t.Errorf("after the engine was back it is %s, want drained", e.State)
	}
}

func TestAnOrderThatCannotBeWrittenDownTakesEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start("--admin", filepath.Join(w.dir, "admin.sock"))
	p.await("app.test", 200, "web ")
	if err := os.RemoveAll(p.settings.dataDir); err != nil {
		t.Fatal(err)
	}
	p.heard(p.tell("drain", "web"), "web gets no new requests", "warning: this will not outlive the process: write control.json: ")
	if r := p.get("app.test", "/"); r.status != 503 {
		t.Errorf("drained: %v, want 503", r)
	}
	if len(p.lines(`"level":"error"`, "orders could not be saved")) == 0 {
		t.Error("the log does not mention it")
	}
	if err := os.Mkdir(p.settings.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out := p.tell("drain", "web"); strings.Contains(out, "will not outlive") {
		t.Errorf("once the directory is back: %q", out)
	}
	if _, err := os.Stat(filepath.Join(p.settings.dataDir, "control.json")); err != nil {
		t.Errorf("given again, the order is not written down: %v", err)
	}
}

func TestUnreadableOrdersAreSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	dir := filepath.Join(w.dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "control.json"), "{")
	p := w.start("--data-dir", dir)
	p.await("app.test", 200, "web ")
	if b, err := os.ReadFile(filepath.Join(dir, "control.json.unreadable")); err != nil || string(b) != "{" {
		t.Errorf("set aside: %q %v, want what was there", b, err)
	}
	if len(p.lines(`"level":"error"`, "orders of drain and maintenance could not be read")) != 1 {
		t.Error("the log does not mention it")
	}
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, id := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	w.run(inProject(labelled("worker"), "shop", "worker"), nil)
	w.run(labelled("closed", "host=closed.test", "maintenance=true"), nil)
	_, p := w.execute(nil)
	p.await("app.test", 200, "web-1 ")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"drain", "web-2"}, `there is no container "web-2", did you mean "web-1"?`},
		{[]string{"drain", "worke"}, `there is no container "worke"`},
		{[]string{"drain", ""}, `there is no container ""`},
		{[]string{"drain", id[:3]}, `there is no container "` + id[:3] + `"`},
		{[]string{"drain", "x\x1b[2Jy"}, "there is no container \"x\ufffd[2Jy\""},
		{[]string{"undrain", "web"}, `there is no container "web"`},
		{[]string{"drain", "worker"}, "no route leads to worker, so there is nothing to drain"},
		{[]string{"undrain", "worker"}, "no route leads to worker, so there is nothing to drain"},
		{[]string{"drain", "web-1", "--for", "10"}, `--for "10" has no unit, did you mean 10s?`},
		{[]string{"drain", "web-1", "--for", ""}, `--for "" is not a duration such as 30s, 5m, 1h30m or 7d`},
		{[]string{"drain", "web-1", "--for", "0"}, `--for "0" is outside 1s to 1y`},
		{[]string{"drain", "web-1", "--for", "999ms"}, `--for "999ms" is outside 1s to 1y`},
		{[]string{"drain", "web-1", "--for", "366d"}, `--for "366d" is outside 1s to 1y`},
		{[]string{"drain", "web-1", "--for", "-5m"}, `--for "-5m" is not a duration such as 30s, 5m, 1h30m or 7d`},
		{[]string{"drain", "web-1", "--for", "9999999y"}, `--for "9999999y" is not a duration such as 30s, 5m, 1h30m or 7d`},
		{[]string{"drain"}, "accepts 1 arg(s), received 0"},
		{[]string{"drain", "web-1", "web-2"}, "accepts 1 arg(s), received 2"},
		{[]string{"undrain", "web-1", "--for", "1m"}, "unknown flag: --for"},
		{[]string{"maintenance", "shop/wbe", "on"}, `there is no route "shop/wbe", did you mean "shop/web"?`},
		{[]string{"maintenance", "shop/wbe", "off"}, `there is no route "shop/wbe", did you mean "shop/web"?`},
		{[]string{"maintenance", "shop/web", "yes"}, `maintenance "yes": want on or off`},
		{[]string{"maintenance", "shop/web"}, "accepts 2 arg(s), received 1"},
		{[]string{"maintenance", "shop/web", "on", "--for", "2y"}, `--for "2y" is outside 1s to 1y`},
		{[]string{"maintenance", "shop/web", "off", "--for", "2h"}, "--for goes with on"},
		{[]string{"maintenance", "closed", "off"}, "closed: it is under maintenance by fairlead.maintenance, which no command overrides: take the label away"},
	} {
		x := execute(t, nil, append(tt.args, "--admin="+p.admin.Socket)...)
		if code := x.code(); code != exitUsage || !strings.HasPrefix(x.stderr(), "fairlead: "+tt.want) || strings.Count(x.stderr(), "\n") != 1 || x.stdout() != "" {
			t.Errorf("%q: exit code %d, said %q and %q; want %d and %q", tt.args, code, x.stdout(), x.stderr(), exitUsage, tt.want)
		}
	}
	if got := p.view().Orders; len(got.Drained)+len(got.Maintenance) != 0 {
		t.Errorf("of what makes no sense there are orders: %+v", got)
	}
	for _, args := range [][]string{{"drain", "web-1", "--for", "1y"}, {"undrain", id}, {"maintenance", "shop/web", "on", "--for", "1s"}, {"maintenance", "shop/web", "off"}, {"maintenance", "shop/web", "off"}} {
		x := execute(t, nil, append(args, "--json", "--admin="+p.admin.Socket)...)
		var o ordered
		if code := x.code(); code != 0 || json.Unmarshal([]byte(x.stdout()), &o) != nil || o.Done == "" {
			t.Errorf("%q: exit code %d, said %q and %q; want 0 and what was done", args, code, x.stdout(), x.stderr())
		}
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	all := []*spec.Workload{{ID: "aaaa1111", Name: "web"}, {ID: "aaaa2222", Name: "aaaa1"}, {ID: "bbbb", Name: "db"}}
	for name, want := range map[string]string{
		"web": "web", "aaaa1111": "web", "aaaa11": "web", "aaaa2": "aaaa1", "bbbb": "db",
		"aaaa1": "aaaa1", // a name before the beginning of an id
		"aaaa":  "web aaaa1", "bbb": "", "": "", "WEB": "", "none": "", "aaaa11112": "",
	} {
		if got := strings.Join(names(named(name, all)), " "); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
