package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// deaf are flags of an app that ignores SIGTERM, and that Docker kills soon.
var deaf = []string{"-e", "WHOAMI_IGNORE_SIGTERM=true", "--stop-timeout", "1"}

// Whoever deploys looks at the new container, so the Problem is shown there,
// until one of them obeys.
func TestIgnoredStopSignalIsToldOfTheSuccessorToo(t *testing.T) {
	p := startProcess(t)
	project := unique(t, "shop")
	host := project + ".localhost"
	service := []string{label("host", host), "--label=com.docker.compose.project=" + project, "--label=com.docker.compose.service=web"}
	says := func(c *container) []string {
		return []string{c.Name, "did not stop on SIGTERM", "after 1s", "ignores-stop-signal", "stop_signal"}
	}

	old := runApp(t, append(service, deaf...)...)
	p.servedBy(host, old.ID)
	old.do("stop")
	p.says(says(old), "routes")
	old.do("rm")
	fresh := runApp(t, service...)
	p.servedBy(host, fresh.ID)
	p.says(says(fresh), "routes")

	fresh.do("stop")
	eventually(t, soon, "no Problem after a stop that was obeyed", func() error {
		if r := p.cli("routes"); strings.Contains(r.Out, "ignores-stop-signal") {
			return fmt.Errorf("got:\n%s", r.Out)
		}
		return nil
	})
	fresh.do("start")
	p.servedBy(host, fresh.ID)
}

func TestKilledAppIgnoredNothing(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "killed") + ".localhost"
	c := runApp(t, append(deaf, label("host", host))...)
	p.servedBy(host, c.ID)
	for _, stop := range [][]string{{"kill"}, {"stop", "-t", "0"}} {
		c.do(stop[0], stop[1:]...)
		p.says([]string{c.Name, "exited"}, "routes")
		if r := p.cli("routes"); strings.Contains(r.Out, "ignores-stop-signal") {
			t.Errorf("after docker %v nobody had waited, want no Problem:\n%s", stop, r.Out)
		}
		c.do("start")
		p.servedBy(host, c.ID)
	}
}

func TestIgnoredStopSignalEndsTheDrainAgain(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "back") + ".localhost"
	c := runApp(t, append(deaf, label("host", host))...)
	p.servedBy(host, c.ID)
	c.do("kill", "-s", "TERM")
	p.says([]string{c.Name, "draining"}, "routes")
	p.servedBy(host, c.ID) // 6 s later
	p.logged("container ignored its stop signal and was taken back", c.Name, "SIGTERM")
}

func TestHangupDrainsNothing(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "hup") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	l := p.load(host)
	c.do("kill", "-s", "HUP")
	other := unique(t, "after") + ".localhost"
	p.servedBy(other, runApp(t, label("host", other)).ID) // events come in order: that one was seen
	onlyStatus(t, l.end(), 200)
	p.servedBy(host, c.ID)
}

func TestDrainThatDockerCutsShortIsExplained(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "long") + ".localhost"
	c := runApp(t, label("host", host), label("drain", "45s"), "--stop-timeout", "20")
	p.servedBy(host, c.ID)
	p.says([]string{c.Name, `fairlead.drain="45s"`, "20s", "stop_grace_period: 45s", "drain-too-long"}, "routes")
}
