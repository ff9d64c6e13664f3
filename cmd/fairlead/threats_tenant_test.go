package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// A tenant is a container that is made anew again and again.
type tenant struct {
	w    *world
	c    dockertest.Container
	id   string
	app  *app
	addr string
}

// up starts a new container and an app at whatever address it gets.
func (x *tenant) up() {
	x.app, x.id = x.w.run(x.c, nil)
	x.addr = x.w.engine.Addr(x.id, "apps").String()
}

// down kills the container and waits until the proxy has heard of it: an
// engine needs longer to hand on the address.
func (x *tenant) down(p *proxy) {
	x.app.close()
	x.w.engine.Remove(x.id)
	eventually(x.w, "the proxy has heard of the end of "+x.c.Name, func() bool {
		for _, r := range p.watch.live.Table().View().Routes {
			for _, e := range r.Endpoints {
				switch e.State {
				case "ready", "starting", "unhealthy": // three failed requests make it so, and the last is still asked
					if e.ID == x.id {
						return false
					}
				}
			}
		}
		return true
	})
}

// only wants every answer to be of one tenant, or none at all.
func only(name string) func(int, string) string {
	return func(status int, body string) string {
		if status == 200 && !strings.HasPrefix(body, name+" ") || status != 200 && status != 502 && status != 503 {
			return fmt.Sprintf("%s was answered %d by %q", name, status, body)
		}
		return ""
	}
}

func TestThreat34AnAddressThatChangesHandsAnswersForNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := &tenant{w: w, c: labelled("a", "host=a.test")}
	b := &tenant{w: w, c: labelled("b", "host=b.test")}
	a.up()
	p := w.start()
	p.await("a.test", 200, "a ")
	la, lb := p.load(4, "a.test", only("a")), p.load(4, "b.test", func(status int, body string) string {
		if status == 404 {
			return "" // before it was there for the first time
		}
		return only("b")(status, body)
	})
	reused := 0
	here, other := a, b
	for range 30 {
		before := here.addr
		here.down(p)
		other.up()
		if other.addr == before {
			reused++
		}
		p.await(other.c.Labels["fairlead.host"], 200, other.c.Name+" ")
		here, other = other, here
	}
	la.noneFailed()
	lb.noneFailed()
	if reused != 30 {
		t.Errorf("the address changed hands %d times, want 30", reused)
	}
}

// The engine accepts and does not answer while the address changes hands: what
// is in doubt stays out until it does.
func TestThreat34AnAddressInDoubtWaitsForTheEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := &tenant{w: w, c: labelled("a", "host=a.test")}
	a.up()
	p := w.start()
	p.await("a.test", 200, "a ")
	var release []func()
	for _, e := range []string{dockertest.Ping, dockertest.Info, dockertest.Version, dockertest.Events, dockertest.List, dockertest.Inspect, dockertest.Networks} {
		release = append(release, w.engine.Hang(e))
	}
	w.engine.Cut()
	a.app.close()
	eventually(t, "a failed connect is the doubt", func() bool { status, _, _ := p.fetch("a.test", "/"); return status >= 502 })
	w.engine.Lose(func(string, string) bool { return true })
	w.engine.Remove(a.id)
	b := &tenant{w: w, c: labelled("b", "host=b.test")}
	b.up()
	w.engine.Lose(nil)
	if b.addr != a.addr {
		t.Fatalf("b has %s, want the address %s of a", b.addr, a.addr)
	}
	l := p.load(4, "a.test", only("a"))
	l.more(300)
	for _, f := range release {
		f()
	}
	p.await("b.test", 200, "b ")
	l.more(50)
	l.noneFailed()
}

// While the engine refuses connections nobody can hand out addresses: an app
// that comes back at its own is used again.
func TestThreat34AddressesStayValidWhileTheEngineIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := &tenant{w: w, c: labelled("a", "host=a.test")}
	a.up()
	p := w.start()
	p.await("a.test", 200, "a ")
	w.engine.Down()
	a.app.close()
	eventually(t, "nothing listens", func() bool { status, _, _ := p.fetch("a.test", "/"); return status >= 502 })
	a.app = w.listen("again", a.addr, nil)
	p.await("a.test", 200, "again ")
	if err := w.engine.Up(); err != nil {
		t.Fatal(err)
	}
	p.await("a.test", 200, "again ")
}

func TestThreat36LabelsAreDataOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("good", "host=good.test"), nil)
	bad := map[string]func(l map[string]string){
		"newline":    func(l map[string]string) { l["fairlead.header.response.X-A"] = "a\r\nX-Injected: 1" },
		"name":       func(l map[string]string) { l["fairlead.header.response.X-A\r\nX-Injected"] = "1" },
		"control":    func(l map[string]string) { l["fairlead.header.response.X-A"] = "a\x00\x1b[31m" },
		"large":      func(l map[string]string) { l["fairlead.header.response.X-A"] = strings.Repeat("x", 1<<20) },
		"large-name": func(l map[string]string) { l["fairlead."+strings.Repeat("x", 1<<20)] = "1" },
		"foreign": func(l map[string]string) {
			for i := range 20 {
				l[fmt.Sprint("other.", i)] = strings.Repeat("x", 100<<10)
			}
		},
		"many": func(l map[string]string) {
			for i := range 10_000 {
				l[fmt.Sprintf("fairlead.header.response.X-%d", i)] = "1"
			}
		},
		"utf8": func(l map[string]string) { l["fairlead.host"] = "b\xff\xfed.test" },
	}
	for name, spoil := range bad {
		c := labelled(name, "host="+name+".test")
		spoil(c.Labels)
		w.run(c, nil)
	}
	odd := labelled("odd", "host=odd.test", "header.response.X-A={env.HOME} `id` ${PATH} {{.}} \"q\" # ;", "header.request.X-B=}\\n{")
	odd.Labels["traefik.http.routers.x`.rule"] = "Host(`odd.test`)"
	oddApp, _ := w.run(odd, nil)
	p := w.start()
	p.await("good.test", 200, "good ")
	p.await("odd.test", 200, "odd ")
	r := p.get("odd.test", "/")
	if got := r.header.Get("X-A"); got != "{env.HOME} `id` ${PATH} {{.}} \"q\" # ;" {
		t.Errorf("X-A = %q, want the label as it is", got)
	}
	if got := oddApp.last(t).field("X-B"); len(got) != 1 || got[0] != `}\n{` {
		t.Errorf("the app got X-B %q, want the label as it is", got)
	}
	for name := range bad {
		r := p.get(name+".test", "/")
		if r.status == 200 || r.header.Get("X-Injected") != "" {
			t.Errorf("%s: %.200v, want it not served", name, r)
		}
		found := false
		for _, q := range p.view().Problems {
			found = found || q.Container == name
		}
		if !found || len(p.lines(`"level":"error"`, `"container":"`+name+`"`)) == 0 {
			t.Errorf("%s: no problem is shown and logged as an error", name)
		}
	}
	for _, line := range p.lines() {
		if !json.Valid([]byte(line)) || len(line) > 16<<10 {
			t.Errorf("a line of %d bytes in the log is not JSON or too long: %.200s", len(line), line)
		}
	}
}

func TestThreat37LabelsLeadToTheirOwnContainerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim, _ := w.run(labelled("victim"), nil)
	host := w.listen("host", "127.0.0.1", nil)
	own := fmt.Sprint(w.port)
	for name, labels := range map[string][]string{
		"metadata":    {"url=http://169.254.169.254/"},
		"engine":      {"url=http://127.0.0.1:" + own},
		"other":       {"url=http://" + victim.ln.Addr().String()},
		"socket":      {"socket=/var/run/docker.sock"},
		"named-url":   {"port=" + own, "route.x.host=route.named-url.test", "route.x.url=http://127.0.0.1:" + own},
		"port-as-url": {"port=127.0.0.1:" + own},
		"scheme":      {"scheme=unix:/var/run/docker.sock"},
		"network":     {"network=host", "port=" + own},
		"pool":        {"pool=../victim", "port=" + own},
		"host-header": {"host-header=127.0.0.1:" + own},
		"root":        {"root=/etc"},
		"static":      {"static=/:/etc"},
	} {
		w.run(labelled(name, append(labels, "host="+name+".test")...), nil)
	}
	w.run(labelled("good", "host=good.test"), nil)
	p := w.start()
	p.await("good.test", 200, "good ")
	for _, name := range []string{"metadata", "engine", "other", "socket", "named-url", "port-as-url", "scheme", "network", "pool", "host-header", "root", "static"} {
		for _, target := range []string{"/", "/passwd"} {
			r := p.get(name+".test", target)
			if r.status == 200 && !strings.HasPrefix(r.body, name+" ") {
				t.Errorf("%s%s: %v, want its own container or a refusal", name, target, r)
			}
		}
	}
	for _, name := range []string{"metadata", "engine", "other", "route.named-url"} {
		if r := p.get(name+".test", "/"); r.status != 503 || r.code() != "route-refused" {
			t.Errorf("%s: %v, want 503 route-refused", name, r)
		}
	}
	if n := len(victim.requests()) + victim.dialled() + len(host.requests()); n > 0 {
		t.Errorf("%d requests and connections went elsewhere, want none", n)
	}
}

func TestThreat37AFileThatCannotBeUsedCostsItsRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secrets := w.dir + "/secrets"
	for name, content := range map[string]string{"/outside": "s3cr3t", "/secrets/no.pem": "s3cr3t"} {
		if err := errors.Join(os.MkdirAll(secrets, 0o700), os.WriteFile(w.dir+name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"outside": w.dir + "/outside", "dotdot": secrets + "/../outside", "missing": secrets + "/missing", "garbage": secrets + "/no.pem", "folder": secrets}
	for name, file := range files {
		w.run(labelled(name, "host="+name+".test", "scheme=https", "upstream-tls.ca=file:"+file), nil)
	}
	w.run(labelled("good", "host=good.test"), nil)
	p := w.start("--secrets-dir", secrets)
	p.await("good.test", 200, "good ")
	for name := range files {
		if r := p.get(name+".test", "/"); r.status != 503 || r.code() != "route-refused" {
			t.Errorf("%s: %v, want 503 route-refused", name, r)
		}
		shown := false
		for _, q := range p.view().Problems {
			shown = shown || q.Container == name
		}
		if !shown {
			t.Errorf("%s: no problem is shown", name)
		}
	}
	if got := mustJSON(t, p.view()); strings.Contains(got, "s3cr3t") || len(p.lines("s3cr3t")) > 0 {
		t.Error("the content of a file is shown")
	}
}

func TestThreat38ReadOnlySocketProxyIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.GetOnly()
	w.engine.HideVersion()
	a, id := w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	w.engine.Pause(id)
	p.await("app.test", 503, "")
	w.engine.Unpause(id)
	p.await("app.test", 200, "")
	a.close()
	w.engine.Stop(id)
	p.await("app.test", 503, "")
	w.startApp(id, "again", nil)
	p.await("app.test", 200, "again ")
	if w.engine.Count(dockertest.List) == 0 || w.engine.Count(dockertest.Inspect) == 0 || w.engine.Count(dockertest.Events) == 0 {
		t.Errorf("calls = %v, want lists, inspects and events", w.engine.Calls())
	}
}

func TestThreat50HiddenClientsMatchNoAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("public", "host=app.test"), "site", "public"), nil)
	w.run(inProject(labelled("inside", "host=app.test", "match.client-ip=loopback, private, 127.0.0.0/8"), "site", "inside"), nil)
	p := w.start("--trusted-proxies", "127.0.0.8/32")
	p.await("app.test", 200, "public ")
	eventually(t, "a client with an address of its own is let in", func() bool {
		return strings.HasPrefix(p.rawFrom("127.0.0.9", request("GET", "app.test", "/")).body, "inside ")
	})
	// 127.0.0.1 is the gateway of the network "here".
	if r := p.rawFrom("127.0.0.1", request("GET", "app.test", "/")); !strings.HasPrefix(r.body, "public ") {
		t.Errorf("a client behind the gateway got %v, want what everybody gets", r)
	}
	for client, want := range map[string]string{"127.0.0.1": "public ", "127.0.0.7": "inside ", "8.8.8.8": "public ", "10.1.2.3": "inside ", "nonsense": "inside "} {
		if r := p.rawFrom("127.0.0.8", request("GET", "app.test", "/", "X-Forwarded-For: "+client)); !strings.HasPrefix(r.body, want) {
			t.Errorf("client %s behind a trusted proxy got %v, want %s", client, r, want)
		}
	}
}

func TestThreat50AHiddenClientIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("inside", "host=app.test", "match.client-ip=private"), nil)
	p := w.start()
	if r := p.rawFrom("127.0.0.1", request("GET", "app.test", "/")); r.status != 404 {
		t.Errorf("a client behind the gateway got %v, want 404", r)
	}
	within(t, 3*time.Second, "problem client-address-hidden of inside", func() bool {
		return strings.Contains(p.view().problem("client-address-hidden"), "inside")
	})
}

func TestThreat46LogsCannotBeForged(t *testing.T) {
	t.Parallel()
	p, _ := site(t, nil)
	p.get("app.test", "/a%0d%0a{\"level\":\"error\"}")
	p.get("app.test", "/\"}\\{'`<>\xff\xc3?token=hunter2&password=hunter2&a=b", "User-Agent: \"}\t\xff\\u001b{\"x\":1", "Referer: http://x/?secret=hunter2", "Authorization: Bearer hunter2", "Cookie: sid=hunter2")
	p.get("\"}{.test", "/")
	p.raw("GET /\x1b[31m HTTP/1.1\r\nHost: app.test\r\n\r\n")
	p.raw("EVIL\x1b /x HTTP/1.1\r\nHost: app.test\r\n\r\n")
	p.get("app.test", "/?"+strings.Repeat("long", 10_000), "User-Agent: "+strings.Repeat("u", 5000))
	p.get("app.test", "/last")
	eventually(t, "the last line is written", func() bool { return len(p.accessLines("/last")) > 0 })
	for _, line := range append(p.accessLines(), p.lines()...) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("not one JSON object a line: %q", line)
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\x00\x07\n") || len(line) > 8<<10 {
			t.Errorf("raw bytes in the log, or a line of %d bytes: %.300q", len(line), line)
		}
		if strings.Contains(line, "hunter2") {
			t.Errorf("a secret in the log: %s", line)
		}
	}
}
