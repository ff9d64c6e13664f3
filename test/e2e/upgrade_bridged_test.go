package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// A gap is the longest time without a good answer, as one client sees it that
// opens a connection for each request and asks every 5 ms.
type gap struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	longest time.Duration
	failed  int
}

func (p *proxy) gap(host string) *gap {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gap{cancel: cancel}
	c := client(p.addr, false)
	c.Timeout = 5 * time.Second
	g.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ctx.Err() == nil; <-tick.C {
			resp, err := c.Get("http://" + host + "/")
			if err == nil {
				resp.Body.Close()
			}
			if err != nil || resp.StatusCode != http.StatusOK {
				g.failed++
				continue
			}
			g.longest = max(g.longest, time.Since(last))
			last = time.Now()
		}
	})
	p.t.Cleanup(cancel)
	return g
}

func (g *gap) end() { g.cancel(); g.done.Wait() }

// startBehindGate runs the proxy in the network of a container that does nothing
// but own it and its published port, by the recipe of docs/upgrade.md.
func startBehindGate(t testing.TB, net string) *proxy {
	t.Helper()
	addr := freeAddr(t)
	return composeProxy(t, addr, []string{"http=:80"}, "    network_mode: service:gate\n",
		"  gate:\n    image: "+imageBare+"\n    environment: [\"WHOAMI_LISTEN=127.0.0.1:9\"]\n    networks: [shared]\n    ports: [\""+addr+":80\"]\n"+
			"networks:\n  shared:\n    external: true\n    name: "+net+"\n")
}

// second makes a second container of the proxy beside the running one.
func (p *proxy) second(args ...string) string {
	p.t.Helper()
	p.project.do(append(append([]string{"up"}, args...), "--no-recreate", "--scale", "fairlead=2", "fairlead")...)
	all := p.project.every("fairlead")
	i := slices.IndexFunc(all, func(id string) bool { return id != p.name })
	if len(all) != 2 || i < 0 {
		p.t.Fatalf("containers %v, want two", all)
	}
	return all[i]
}

// The ways to replace a proxy that is on a bridge network.
var replacements = []struct {
	name  string
	start func(t testing.TB, net string) *proxy
	do    func(p *proxy)
}{
	{"compose recreates it", func(t testing.TB, net string) *proxy { return startOnNetwork(t, net) }, func(p *proxy) {
		p.project.do("up", "-d", "--force-recreate")
		p.name = p.project.container("fairlead")
	}},
	{"created first, then stop and start", func(t testing.TB, net string) *proxy { return startOnNetwork(t, net) }, func(p *proxy) {
		next := p.second("--no-start")
		run(p.t, "sh", "-c", "docker stop "+p.name+" && docker start "+next)
		docker(p.t, "rm", p.name)
		p.name = next
	}},
	{"behind a gate, by takeover", startBehindGate, func(p *proxy) {
		next := p.second("-d")
		awaitLog(p.t, next, "took over")
		docker(p.t, "stop", p.name)
		docker(p.t, "rm", p.name)
		p.name = next
	}},
}

func BenchmarkBridgedReplacement(b *testing.B) {
	for _, way := range replacements {
		b.Run(way.name, func(b *testing.B) {
			net := network(b)
			host := unique(b, "bridged") + ".localhost"
			c := runApp(b, label("host", host), "--network", net)
			p := way.start(b, net)
			p.servedBy(host, c.ID)
			var gaps []time.Duration
			failed := 0
			for range 5 {
				g := p.gap(host)
				way.do(p)
				p.servedBy(host, c.ID)
				pass(300 * time.Millisecond)
				g.end()
				gaps, failed = append(gaps, g.longest), failed+g.failed
			}
			slices.Sort(gaps)
			b.Logf("%s: longest time without an answer: median %v, worst %v of %d; %d requests failed", way.name, gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond), len(gaps), failed)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// The recipe of docs/upgrade.md for a published port: a container that owns the
// network, and proxies that change places in it.
func TestContainersBehindAGateTakeOver(t *testing.T) {
	net := network(t)
	host := unique(t, "gate") + ".localhost"
	c := runApp(t, label("host", host), "--network", net)
	p := startBehindGate(t, net)
	p.servedBy(host, c.ID)
	r := p.rush(host, 100)
	for range 2 {
		replacements[len(replacements)-1].do(p)
	}
	r.end(t)
	p.servedBy(host, c.ID)
}

// In a network of its own a second container cannot use the first one's ports.
func TestAContainerInAnotherNetworkIsRefused(t *testing.T) {
	p := startOnNetwork(t, network(t))
	r := exitOf(t, exec.Command("docker", "run", "--rm", "--volumes-from", p.name, "-e", "FAIRLEAD_HTTPS=off", imageFairlead))
	if r.Code != 2 || contains(r.Out, "another network namespace", "docs/upgrade.md") != nil {
		t.Errorf("it ended with %d and %q, want 2 and why", r.Code, r.Out)
	}
	if _, err := p.get("nobody.invalid", "/"); err != nil {
		t.Errorf("the first does not answer any more: %v", err)
	}
}
