package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/dockertest"
)

func TestRoutesFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nas := w.listen("nas", "127.0.0.1", func(c *appConn, r *seen) bool { return c.ok("nas " + r.target() + " " + r.field("Host")[0]) })
	w.run(labelled("web", "host=app.test"), nil)
	url := "http://" + nas.ln.Addr().String()
	file := w.dir + "/routes.yaml"
	write(t, file, fmt.Sprintf("nas: {host: nas.test, url: %s, host-header: upstream}\n", url))
	p := w.start("--routes", file)
	p.await("nas.test", 200, "nas / 127.0.0.1:")
	p.await("app.test", 200, "web ")
	l := p.load(2, "nas.test", nil)

	write(t, file, "nas: {host: nas.test, url: [\n")
	eventually(t, "a broken file is reported", func() bool {
		return strings.Contains(p.view().Stale, "routes.yaml") && len(p.lines(`"level":"error"`, "the last good routes stay")) > 0
	})
	l.more(50)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.more(50)
	write(t, file+".new", fmt.Sprintf("nas: {host: [nas.test, store.test], url: %s}\nextra:\n  host: extra.test\n  respond: 200 fine\nbad: {host: bad.test, url: 'ftp://x'}\nnone: {host: none.test}\n", url))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	p.await("store.test", 200, "nas / store.test")
	p.await("extra.test", 200, "fine")
	for _, host := range []string{"bad.test", "none.test"} {
		if r := p.get(host, "/"); r.status != 503 || r.code() != "route-refused" {
			t.Errorf("%s: %v, want 503 route-refused", host, r)
		}
	}
	eventually(t, "the file is in force", func() bool { return p.view().Stale == "" })
	l.end()
	nas.close()
	eventually(t, "the target is away", func() bool { return p.get("nas.test", "/").status == 502 })
	if r := p.get("nas.test", "/"); r.code() != "connect-failed" {
		t.Errorf("got %v, want 502 connect-failed", r)
	}
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed while the file was broken, gone and changed: %q", n, l.sent.Load(), l.faults)
	}
	write(t, file, "")
	eventually(t, "an empty file removes its routes", func() bool { return p.get("extra.test", "/").status == 404 })
	if r := p.get("app.test", "/"); r.status != 200 {
		t.Errorf("a container's route: %v, want 200", r)
	}
}

func TestRoutesFileBrokenAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	file := w.dir + "/routes.yaml"
	write(t, file, "- not a map\n")
	p := w.start("--routes", file)
	p.await("app.test", 200, "web ")
	if got := p.view().Stale; !strings.Contains(got, "routes.yaml:1") {
		t.Errorf("stale = %q, want the file and its line", got)
	}
}

func TestDefaultAppliesToAllAndLabelsWin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("plain", "host=plain.test"), nil)
	w.run(labelled("own", "host=own.test", "header.response.X-A=own"), nil)
	w.run(labelled("off", "host=off.test", "header=off"), nil)
	p := w.start("--default", "header.response.X-A=default", "--default", "header.response.X-B=b")
	p.settle()
	for host, want := range map[string][2]string{"plain.test": {"default", "b"}, "own.test": {"own", "b"}, "off.test": {"", ""}} {
		r := p.get(host, "/")
		if got := [2]string{r.header.Get("X-A"), r.header.Get("X-B")}; r.status != 200 || got != want {
			t.Errorf("%s: %d with %q, want %q", host, r.status, got, want)
		}
	}
}

func TestLabelPrefixReplacesFairlead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := labelled("web", "host=app.test")
	c.Labels["edge.host"], c.Labels["edge.route.x.path"], c.Labels["edge.route.x.respond"] = "edge.test", "/x", "200 x"
	c.Labels["egde.striip"] = "1"
	w.run(c, nil)
	p := w.start("--label-prefix", "edge")
	p.await("edge.test", 200, "web ")
	if r := p.get("edge.test", "/x"); r.body != "x" {
		t.Errorf("a named route: %v, want its answer", r)
	}
	if r := p.get("app.test", "/"); r.status != 404 {
		t.Errorf("the usual prefix: %v, want 404", r)
	}
}

func TestListenNamesEntryPoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := fmt.Sprint(freePort(t))
	w.run(labelled("both", "host=both.test"), nil)
	w.run(labelled("lan", "host=lan.test", "listen=lan"), nil)
	w.run(labelled("port", "host=port.test", "listen="+port), nil)
	w.run(labelled("typo", "host=typo.test", "listen=lam"), nil)
	p := w.start("--http", "web=127.0.0.1:0", "--http", "lan=127.0.0.1:0", "--http", "third=127.0.0.1:"+port)
	p.await("both.test", 200, "both ")
	p.settle()
	for host, want := range map[string]map[string]int{
		"both.test": {"web": 200, "lan": 200, "third": 200},
		"lan.test":  {"web": 404, "lan": 200, "third": 404},
		"port.test": {"web": 404, "lan": 404, "third": 200},
		"typo.test": {"web": 503, "lan": 503, "third": 503},
	} {
		for entry, status := range want {
			q := *p
			q.addr = p.addrs[entry]
			if r := q.get(host, "/"); r.status != status {
				t.Errorf("%s on %s: %v, want %d", host, entry, r, status)
			}
		}
	}
	if got := p.view().problem("unknown-listener"); !strings.Contains(got, `did you mean "lan"`) {
		t.Errorf("problem %q, want the nearest listener named", got)
	}
}

func TestEnableGivesADefaultHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("a", "enable=true"), "one", "my_app"), nil)
	p := w.start("--domain", "example.test")
	p.await("my-app.example.test", 200, "a ")
	w.run(inProject(labelled("b", "enable=true"), "two", "my_app"), nil)
	p.await("my-app.two.example.test", 200, "b ")
	p.await("my-app.example.test", 200, "a ")
	if got := p.view().problem("conflict"); strings.Contains(got, "refused") {
		t.Errorf("problem %q, want a hint at most: the second has its own host", got)
	}
}

func TestProjectLimitsWhatIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("a", "host=a.test"), "one", "web"), nil)
	w.run(inProject(labelled("b", "host=b.test"), "two", "web"), nil)
	w.run(labelled("c", "host=c.test"), nil)
	p := w.start("--project", "one")
	p.await("a.test", 200, "a ")
	for _, host := range []string{"b.test", "c.test"} {
		if r := p.get(host, "/"); r.status != 404 {
			t.Errorf("%s of another project: %v, want 404", host, r)
		}
	}
}

func TestNetworkChoosesTheAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.AddNetwork(dockertest.Network{Name: "aaa", Subnet: "127.250.0.0/16"})
	c := labelled("web", "host=app.test")
	c.Networks = []string{"aaa", "apps"}
	other := labelled("label", "host=label.test", "network=apps")
	other.Networks = []string{"aaa", "apps"}
	a, _ := w.run(c, nil)
	w.run(other, nil)
	p := w.start("--network", "apps")
	p.await("app.test", 200, "web ")
	p.await("label.test", 200, "label ")
	if len(a.requests()) == 0 {
		t.Error("no request came over the network of --network")
	}
}

func TestEngineOnTCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, ln := relay(t, w.engine.Socket())
	defer ln.Close()
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start("--docker-host", "tcp://"+host)
	p.await("app.test", 200, "web ")
}

// relay is a TCP port in front of a unix socket.
func relay(t *testing.T, socket string) (addr string, ln net.Listener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				up, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { copyAll(up, c); up.Close() }()
				copyAll(c, up)
			}()
		}
	}()
	return ln.Addr().String(), ln
}

func TestHttpOffOpensNoPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startUnready("--http", "off")
	eventually(t, "ready", func() bool { return p.ready() == nil })
	if n := len(p.addrs); n != 0 {
		t.Errorf("%d ports are open, want none", n)
	}
	if out, err := command("health", "--admin", p.admin.Socket); err != nil {
		t.Errorf("health = %q, %v", out, err)
	}
}
