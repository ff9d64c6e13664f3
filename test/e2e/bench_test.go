package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// How fast the real thing is. Printed, not asserted: a busy machine is not a
// bug. `make microbench` runs them once each.

// crowd is how many other containers run beside.
const crowd = 100

func others(b *testing.B) {
	b.Helper()
	name := unique(b, "crowd")
	for i := range crowd {
		docker(b, "run", "-d", "--name", fmt.Sprintf("%s-%d", name, i),
			label("host", fmt.Sprintf("crowd%d-%s.localhost", i, name)), imageWhoami)
	}
	b.Cleanup(func() { removeNamed(name) })
}

// From the start that the engine notes down to the first 200. The app listens
// within a few milliseconds of it.
func BenchmarkStartToFirstAnswer(b *testing.B) {
	others(b)
	p := startProcess(b)
	var took []time.Duration
	for range 30 {
		host, name := unique(b, "first")+".localhost", unique(b, "c")
		docker(b, "create", "--name", name, label("host", host), imageWhoami)
		first := make(chan time.Time, 1)
		go func() {
			first <- askUntil(soon, func() bool {
				a, err := p.get(host, "/")
				return err == nil && a.Status == 200
			})
		}()
		docker(b, "start", name)
		answered := <-first
		if answered.IsZero() {
			b.Fatalf("%s was not served within %v", host, soon)
		}
		started, err := time.Parse(time.RFC3339Nano, docker(b, "inspect", "-f", "{{.State.StartedAt}}", name))
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, answered.Sub(started))
		docker(b, "rm", "-f", name)
	}
	report(b, "start to first answer", took)
}

// From the engine's kill event to the last request that was sent and still
// answered by the container. The app ignores the signal, so only the proxy
// decides.
func BenchmarkKillToNoNewRequest(b *testing.B) {
	others(b)
	p := startProcess(b)
	var took []time.Duration
	for range 20 {
		host, name := unique(b, "last")+".localhost", unique(b, "c")
		id := docker(b, "run", "-d", "--name", name, "-e", "WHOAMI_IGNORE_SIGTERM=true", label("host", host), imageWhoami)
		p.servedBy(host, id)
		l := p.load(host)
		since := time.Now()
		pass(100 * time.Millisecond)
		docker(b, "kill", "-s", "TERM", name)
		p.answers(host, 503)
		killed := eventTime(b, name, "kill", since)
		last := time.Duration(0)
		for _, s := range l.end() {
			if s.Container() == id {
				last = max(last, s.sent.Sub(killed))
			}
		}
		took = append(took, last)
		docker(b, "rm", "-f", name)
	}
	report(b, "kill to the last request it still got (one every 5 ms)", took)
}

// eventTime is when the engine says that something happened to a container.
func eventTime(b *testing.B, name, event string, since time.Time) time.Time {
	b.Helper()
	out := docker(b, "events", "--since", since.Format(time.RFC3339Nano), "--until", time.Now().Format(time.RFC3339Nano),
		"--filter", "container="+name, "--filter", "event="+event, "--format", "{{.TimeNano}}")
	nano, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		b.Fatalf("the engine's %s events of %s: %q", event, name, out)
	}
	return time.Unix(0, nano)
}

// askUntil asks again at once, and says when the answer was yes: a pause
// between two questions would be most of the result. Zero if it never was.
func askUntil(within time.Duration, cond func() bool) time.Time {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		if cond() {
			return time.Now()
		}
	}
	return time.Time{}
}

func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	median, worst := took[len(took)/2], took[len(took)-1]
	b.Logf("%s, %d containers beside: median %v, worst %v of %d", what, crowd, median, worst, len(took))
	b.ReportMetric(float64(median.Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
	b.ReportMetric(0, "ns/op")
}
