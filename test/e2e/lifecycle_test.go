package e2e

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"
)

// justMissed is how many requests of a load may find the only container gone
// before the engine has said so: an app sees its signal up to a millisecond
// before the event is sent. They are 502, because nobody else could be asked.
const justMissed = 2

// away asserts that a host is known and answers 503, not 404, and says when to
// come back.
func away(t testing.TB, p *proxy, host string) {
	t.Helper()
	a := p.answers(host, 503)
	if _, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil {
		t.Errorf("503 of %s has Retry-After %q, want seconds", host, a.Header.Get("Retry-After"))
	}
}

// noHold has requests answered at once while their app is away.
var noHold = label("hold", "0")

// absences are the ways in which an app goes and comes back.
var absences = []struct{ leave, back string }{{"stop", "start"}, {"kill", "start"}, {"pause", "unpause"}}

func TestAppThatIsAwayForAWhileIsWaitedFor(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		for _, a := range absences {
			host := unique(t, a.leave) + ".localhost"
			c := runApp(t, label("host", host))
			p.servedBy(host, c.ID)
			l := p.load(host)
			c.do(a.leave)
			p.says([]string{"without a ready endpoint"}, "explain", "http://"+host+"/")
			c.do(a.back)
			p.servedBy(host, c.ID)
			onlyStatus(t, l.end(), 200)
		}
	})
}

func TestAppThatIsAwayIs503AtOnceWithoutHold(t *testing.T) {
	p := startProcess(t)
	for _, a := range absences {
		host := unique(t, a.leave) + ".localhost"
		c := runApp(t, label("host", host), noHold)
		p.servedBy(host, c.ID)
		l := p.load(host)
		c.do(a.leave)
		away(t, p, host)
		c.do(a.back)
		p.servedBy(host, c.ID)
		all := l.end()
		onlyStatus(t, all, 200, 502, 503)
		atMost(t, justMissed, all, 502)
	}
}

func TestRemovedAppIsStillKnown(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "rm") + ".localhost"
	c := runApp(t, label("host", host), noHold)
	p.servedBy(host, c.ID)
	c.do("rm", "-f")
	away(t, p, host)
	if a, err := p.get("never-"+host, "/"); err != nil || a.Status != 404 {
		t.Errorf("a host that nobody ever had: got %v, %v, want 404", a, err)
	}
}

// Docker sends SIGTERM, waits, and kills. An app that ignores the signal would
// go on answering all the while; it must not be asked.
func TestAppThatIgnoresSIGTERMGetsNoNewRequest(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "deaf") + ".localhost"
		c := runApp(t, label("host", host), noHold, "-e", "WHOAMI_IGNORE_SIGTERM=true")
		p.servedBy(host, c.ID)
		told := time.Now()
		stopped := make(chan error, 1)
		go func() {
			_, err := try("docker", "stop", "-t", "6", c.Name)
			stopped <- err
		}()
		away(t, p, host)
		if took := time.Since(told); took > 5*time.Second {
			t.Errorf("the first 503 came %v after docker stop, want it before the app was killed", took)
		}
		l := p.load(host)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		onlyStatus(t, l.end(), 503)
		c.do("start")
		p.servedBy(host, c.ID)
	})
}

func TestRequestsUnderWayEndWhenTheAppIsStopped(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "drain") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	got := make(chan string, 1)
	go func() {
		a, err := p.get(host, "/slow?d=2s")
		got <- fmt.Sprint(a.Status, err)
	}()
	pass(500 * time.Millisecond) // the request reaches the app
	c.do("stop", "-t", "10")
	if s := <-got; s != "200<nil>" && s != "200 <nil>" {
		t.Errorf("the request under way got %s, want 200", s)
	}
}

func TestNetworkThatIsTakenAwayAndGivenBack(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "net") + ".localhost"
		shared := network(t)
		c := runApp(t, label("host", host), noHold, "--network", shared)
		p.servedBy(host, c.ID)
		docker(t, "network", "disconnect", shared, c.Name)
		away(t, p, host)
		docker(t, "network", "connect", shared, c.Name)
		p.servedBy(host, c.ID)
	})
}

// With a second network the app stays reachable when the first one goes.
func TestSecondNetworkTakesOver(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "two") + ".localhost"
	first, second := network(t), network(t)
	c := runApp(t, label("host", host), noHold, "--network", first)
	docker(t, "network", "connect", second, c.Name)
	p.servedBy(host, c.ID)
	docker(t, "network", "disconnect", first, c.Name)
	p.servedBy(host, c.ID)
	docker(t, "network", "disconnect", second, c.Name)
	away(t, p, host)
}

func TestRenamedAppKeepsItsHost(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "name") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	l := p.load(host)
	renamed := unique(t, "renamed")
	docker(t, "rename", c.Name, renamed)
	c.Name = renamed
	p.says([]string{host, renamed}, "routes")
	p.servedBy(host, c.ID)
	onlyStatus(t, l.end(), 200)
}

func TestAppInAnothersNetwork(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "joined") + ".localhost"
		owner := runApp(t, "-e", "WHOAMI_LISTEN=:8081")
		joined := runApp(t, label("host", host), label("port", "8080"),
			"--network", "container:"+owner.Name, "-e", "WHOAMI_LISTEN=:8080", "-e", "WHOAMI_VERSION=joined")
		p.servedByVersion(host, "joined")
		p.says([]string{host, joined.Name, "ready"}, "explain", "http://"+host+"/")
	})
}

func TestAppOnTheHostsNetwork(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "hostnet") + ".localhost"
		addr := freeAddr(t)
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		c := runApp(t, label("host", host), label("port", port), "--network", "host", "-e", "WHOAMI_LISTEN="+addr)
		p.servedBy(host, c.ID)
	})
}

func TestAppOnTheHostsNetworkNeedsAPort(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "noport") + ".localhost"
	c := runApp(t, label("host", host), "--network", "host", "-e", "WHOAMI_LISTEN="+freeAddr(t))
	p.says([]string{c.Name, "fairlead.port"}, "routes")
}

// Started is not listening.
func TestSlowStarterIsWaitedFor(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "late") + ".localhost"
	c := runApp(t, label("host", host), "-e", "WHOAMI_START_DELAY=2s")
	p.says([]string{host, c.Name, "starting"}, "routes")
	if a, err := p.get(host, "/"); err != nil || a.Container() != c.ID {
		t.Errorf("got %v, %v, want the answer of the app, when it listens", a, err)
	}
}
