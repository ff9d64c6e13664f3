package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func TestMisspeltLabelIsExplainedAndTheRestWorks(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "typo") + ".localhost"
		c := runApp(t, label("host", host), label("prot", "80"))
		p.servedBy(host, c.ID)
		words := []string{c.Name, "fairlead.prot", "fairlead.port"}
		p.says(words, "routes")
		p.says(words, "explain", "http://"+host+"/")
		p.logged(words...)
	})
}

// A label that narrows is not guessed at: the route is refused, the container's
// other routes are served.
func TestMisspeltLabelThatNarrowsRefusesTheRoute(t *testing.T) {
	p := startProcess(t)
	open, closed := unique(t, "open")+".localhost", unique(t, "closed")+".localhost"
	c := runApp(t, label("route.a.host", open), label("route.b.host", closed), label("route.b.alow", "10.0.0.0/8"))
	p.servedBy(open, c.ID)
	p.answers(closed, 503)
	p.says([]string{c.Name, "fairlead.route.b.alow", "allow"}, "explain", "http://"+closed+"/")
}

func TestUnknownHostIsToldThatItHasNoRoute(t *testing.T) {
	p := startProcess(t)
	a, err := p.get("nobody.example", "/")
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != 404 || !strings.Contains(a.Body, "nobody.example") {
		t.Errorf("got %v, want a 404 that names the host", a)
	}
	if r := p.cli("explain", "http://nobody.example/"); r.Code != 1 {
		t.Errorf("explain ended with code %d and %s, want 1: nothing matches", r.Code, r.Out)
	}
}

func TestHostHeldByAnotherProjectIsRefused(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "held") + ".localhost"
		holder := newProject(t, "holder", oneApp(t, host, `hold: "0"`))
		holder.do("up", "-d")
		p.servedBy(host, holder.container("app"))

		thief := newProject(t, "thief", oneApp(t, host))
		thief.do("up", "-d")
		p.says([]string{host, holder.Name, thief.Name}, "explain", "http://"+host+"/")
		p.logged("conflict", host)

		// A redeploy of the holder removes its only container for a while.
		l := p.load(host)
		holder.files = append(holder.files, version(t, "2"))
		holder.do("up", "-d", "--force-recreate")
		kept := holder.container("app")
		p.servedBy(host, kept)
		stolen := thief.container("app")
		for _, s := range l.end() {
			if s.Container() == stolen {
				t.Fatal("the other project answered while the holder was redeployed")
			}
		}
		// Nor while the holder is stopped.
		docker(t, "stop", kept)
		away(t, p, host)
		docker(t, "start", kept)
		p.servedBy(host, kept)
	})
}

// The proxy in a container on one bridge network cannot reach an app on
// another.
func TestAppWithoutASharedNetworkIsExplained(t *testing.T) {
	shared, other := network(t), network(t)
	p := startOnNetwork(t, shared)
	near, far := unique(t, "near")+".localhost", unique(t, "far")+".localhost"
	c := runApp(t, label("host", near), "--network", shared)
	p.servedBy(near, c.ID)
	lost := runApp(t, label("host", far), "--network", other)
	p.says([]string{"no-shared-network", lost.Name, shared, other}, "routes")
	a := p.answers(far, 503)
	if strings.Contains(a.Body, other) {
		t.Errorf("the page for clients names the network %s: %s", other, a.Body)
	}
	docker(t, "network", "connect", shared, lost.Name)
	p.servedBy(far, lost.ID)
}

func TestSeveralExposedPortsAreNotGuessed(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "ports") + ".localhost"
	c := runImage(t, imageBare, label("host", host), "--expose", "9000", "--expose", "9001", "-e", "WHOAMI_LISTEN=:9000")
	p.says([]string{"port-ambiguous", c.Name, "9000", "9001", "fairlead.port"}, "routes")
	if a, err := p.get(host, "/"); err != nil || a.Status != 503 {
		t.Errorf("got %v, %v, want 503", a, err)
	}
}

func TestOnlyExposedPortIsTaken(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "port") + ".localhost"
	c := runImage(t, imageBare, label("host", host), "--expose", "9000", "-e", "WHOAMI_LISTEN=:9000")
	p.servedBy(host, c.ID)
}

// Labels are untrusted input. One container's rubbish costs that container.
func TestAbsurdLabelsCostOnlyTheirContainer(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "good") + ".localhost"
	var absurd []string
	for i := range 2000 {
		absurd = append(absurd, label(fmt.Sprintf("x%d", i), "y"))
	}
	bad := runApp(t, append(absurd, label("host", "bad-"+host))...)
	forged := runApp(t, label("host", "new\nline."+host))
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	p.says([]string{bad.Name, forged.Name}, "routes")
}

func TestUnsetVariableRefusesTheRoute(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "unset") + ".localhost"
	c := runApp(t, label("host", host), label("path", ""))
	p.says([]string{c.Name, "fairlead.path"}, "routes")
	p.answers(host, 503)
}
