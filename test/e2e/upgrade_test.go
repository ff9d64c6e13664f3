package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A rush asks a host so many times a second, half of it over connections that
// are kept, half over new ones, by POST, which no client sends twice by itself.
type rush struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // guards what is below
	sent   int
	faults []string
	worst  time.Duration
}

// hurry is how many clients share the rate of a rush.
const hurry = 20

func (p *proxy) rush(host string, rate int) *rush {
	ctx, cancel := context.WithCancel(context.Background())
	r := &rush{cancel: cancel}
	for i := range hurry {
		r.done.Go(func() {
			c := client(p.addr, i%2 == 0)
			defer c.CloseIdleConnections()
			tick := time.NewTicker(time.Second * hurry / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					r.ask(c, host)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	p.t.Cleanup(r.cancel)
	return r
}

func (r *rush) ask(c *http.Client, host string) {
	began := time.Now()
	fault := ""
	resp, err := c.Post("http://"+host+"/", "text/plain", strings.NewReader("x"))
	switch {
	case err != nil:
		fault = err.Error()
	case resp.StatusCode != 200:
		fault = resp.Status
	}
	if err == nil {
		resp.Body.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent++
	r.worst = max(r.worst, time.Since(began))
	if fault != "" {
		r.faults = append(r.faults, fmt.Sprintf("%s: %s", began.Format("15:04:05.000"), fault))
	}
}

// end stops asking and fails the test if a request failed.
func (r *rush) end(t testing.TB) {
	t.Helper()
	r.cancel()
	r.done.Wait()
	t.Logf("%d requests, %d failed, the slowest took %v", r.sent, len(r.faults), r.worst.Round(time.Millisecond))
	if len(r.faults) > 0 || r.sent == 0 {
		t.Errorf("%d of %d requests failed, want none of some; the first: %q", len(r.faults), r.sent, r.faults[:min(5, len(r.faults))])
	}
}

// talk keeps a WebSocket busy for so long and closes it. done gets what ended it
// earlier.
func talk(t testing.TB, p *proxy, host string, hold time.Duration) (done <-chan error) {
	t.Helper()
	c, _ := dialWebSocket(t, p, host)
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), hold+soon)
		defer cancel()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(hold); time.Now().Before(end); <-tick.C {
			if err := echo(ctx, c, "still here"); err != nil {
				result <- fmt.Errorf("%v before its end: %w", time.Until(end).Round(time.Millisecond), err)
				return
			}
		}
		c.CloseNow()
		result <- nil
	}()
	return result
}

func allTalked(t testing.TB, sockets []<-chan error) {
	t.Helper()
	for i, done := range sockets {
		if err := <-done; err != nil {
			t.Errorf("WebSocket %d of %d ended %v", i+1, len(sockets), err)
		}
	}
}

var upgradedTo = regexp.MustCompile(`→ pid ([0-9]+) `)

// upgrades has a proxy that is a process be upgraded n times, each with a
// WebSocket on the process that is replaced.
func upgrades(t testing.TB, n, rate int, hold time.Duration) {
	t.Helper()
	p := startProcess(t)
	host := unique(t, "upgrade") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	r := p.rush(host, rate)
	var sockets []<-chan error
	pids := []int{p.pid}
	for range n {
		sockets = append(sockets, talk(t, p, host, hold))
		said := p.cli("upgrade")
		m := upgradedTo.FindStringSubmatch(said.Out)
		if said.Code != 0 || m == nil {
			t.Fatalf("upgrade ended with %d: %s", said.Code, said.Out)
		}
		var pid int
		fmt.Sscan(m[1], &pid)
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
		if slices.Contains(pids, pid) {
			t.Fatalf("upgraded to pid %d, which is one of %v", pid, pids)
		}
		pids = append(pids, pid)
		pass(500 * time.Millisecond)
	}
	allTalked(t, sockets)
	r.end(t)
	for _, pid := range pids[:n] {
		eventually(t, ready, fmt.Sprintf("pid %d has ended, nothing being left for it to do", pid), func() error {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("it is there: %v", err)
			}
			return nil
		})
	}
}

func TestUpgradesUnderLoadFailNothing(t *testing.T) { upgrades(t, 5, 200, 5*time.Second) }

// What the documentation promises: 20 upgrades at 500 requests a second, with
// WebSockets of a minute.
func BenchmarkUpgrades(b *testing.B) {
	upgrades(b, 20, 500, time.Minute)
	b.ReportMetric(0, "ns/op")
}

// The recipe of docs/upgrade.md for network_mode: host.
func TestContainersOnTheHostsNetworkTakeOver(t *testing.T) {
	p := startContainer(t)
	host := unique(t, "upgrade") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	if r := p.cli("upgrade"); r.Code != 1 || contains(r.Out, "--scale fairlead=2") != nil {
		t.Errorf("upgrade in a container ended with %d and %q, want 1 and the recipe", r.Code, r.Out)
	}
	r := p.rush(host, 200)
	old := p.name
	for range 3 {
		socket := talk(t, p, host, 4*time.Second)
		p.project.do("up", "-d", "--no-recreate", "--scale", "fairlead=2")
		all := p.project.containers("fairlead")
		next := slices.IndexFunc(all, func(id string) bool { return id != old })
		if len(all) != 2 || next < 0 {
			t.Fatalf("containers %v, want two", all)
		}
		awaitLog(t, all[next], "took over")
		allTalked(t, []<-chan error{socket})
		awaitLog(t, old, "waiting to be stopped")
		docker(t, "stop", "-t", "20", old)
		if code := docker(t, "inspect", "-f", "{{.State.ExitCode}}", old); code != "0" {
			t.Errorf("the old container ended with %s, want 0", code)
		}
		docker(t, "rm", old)
		old = all[next]
	}
	r.end(t)
}

func awaitLog(t testing.TB, id, words string) {
	t.Helper()
	eventually(t, ready, "container "+id[:12]+" says "+words, func() error {
		out, _ := exec.Command("docker", "logs", id).CombinedOutput()
		return contains(string(out), words)
	})
}
