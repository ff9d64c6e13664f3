package e2e

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// Containers that go without a word.
func TestDeathOfAReplicaCostsOnlyWhatCannotBeRepeated(t *testing.T) {
	for name, kill := range map[string]func(*container){
		"docker kill": func(c *container) { c.do("kill") },
		"PID 1 killed by the kernel": func(c *container) {
			var pid int
			fmt.Sscan(docker(c.t, "inspect", "-f", "{{.State.Pid}}", c.Name), &pid)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				c.t.Fatalf("kill %d: %v", pid, err)
			}
			c.exits()
		},
		"out of memory": func(c *container) {
			c.do("update", "--memory=64m", "--memory-swap=64m")
			client := http.Client{Timeout: soon}
			addr := docker(c.t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.Name)
			if resp, err := client.Get("http://" + addr + "/hoard"); err == nil {
				resp.Body.Close()
				c.t.Errorf("%s survived", c.Name)
			}
			c.exits()
			if oom := docker(c.t, "inspect", "-f", "{{.State.OOMKilled}}", c.Name); oom != "true" {
				c.t.Errorf("%s did not die of memory", c.Name)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t)
			s := newService(t, "dying", imageWhoami, 2)
			s.served(p)
			tr := p.traffic(s.host, s.name, rate(t))
			var gone []span
			for _, c := range s.up {
				death := spanOf(func() { kill(c) })
				death.stalled = name == "out of memory" // the kernel looks for some first
				gone = append(gone, death)
				pass(time.Second) // the other one has it all
				c.do("start")
				p.servedBy(s.host, c.ID)
			}
			tr.lossless(gone...)
		})
	}
}

// exits waits until the engine knows that c has ended.
func (c *container) exits() {
	c.t.Helper()
	eventually(c.t, soon, "the engine notices", func() error {
		if s := docker(c.t, "inspect", "-f", "{{.State.Status}}", c.Name); s != "exited" {
			return fmt.Errorf("it is %s", s)
		}
		return nil
	})
}

// What is frozen takes requests and answers none.
func TestPausedReplicaCostsOnlyWhatCannotBeRepeated(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "frozen", imageWhoami, 2)
	s.served(p)
	tr := p.traffic(s.host, s.name, rate(t))
	var gone []span
	for _, c := range s.up {
		gone = append(gone, spanOf(func() { c.do("pause") }))
		pass(time.Second)
		c.do("unpause")
		p.servedBy(s.host, c.ID)
	}
	tr.lossless(gone...)
}

func TestPausedOnlyContainerIsWaitedFor(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "ice", imageWhoami, 1)
	s.served(p)
	tr := p.traffic(s.host, s.name, rate(t))
	s.up[0].do("pause")
	pass(time.Second)
	s.up[0].do("unpause")
	p.servedBy(s.host, s.up[0].ID)
	if y := tr.lossless(); y.longest < 500*time.Millisecond {
		t.Errorf("nobody waited, the longest %v: the container was not paused", y.longest)
	}
}

func TestHangupAndNewNameLoseNoRequest(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "named", imageWhoami, 2)
	s.served(p)
	tr := p.traffic(s.host, s.name, rate(t))
	for _, c := range s.up {
		c.do("kill", "-s", "HUP")
		renamed := unique(t, "renamed")
		docker(t, "rename", c.Name, renamed)
		c.Name = renamed
		p.says([]string{s.host, renamed}, "routes")
	}
	tr.lossless()
}

// A container that crashes as soon as it starts, for ever, is nobody else's
// concern.
func TestCrashLoopBesideCostsNothing(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "calm", imageWhoami, 1)
	s.served(p)
	tr := p.traffic(s.host, s.name, rate(t))
	ws, _ := dialWebSocket(t, p, s.host)
	loop := newService(t, "loop", imageWhoami, 1, "--restart", "always", "-e", "WHOAMI_GRACE=rubbish")
	eventually(t, ready, "five crashes", func() error {
		if err := echo(t.Context(), ws, "still there?"); err != nil {
			t.Fatalf("the WebSocket of the other service: %v", err)
		}
		crashes := 0
		fmt.Sscan(docker(t, "inspect", "-f", "{{.RestartCount}}", loop.up[0].Name), &crashes)
		if crashes < 5 {
			return fmt.Errorf("%d so far", crashes)
		}
		return nil
	})
	tr.lossless()
	p.says([]string{loop.host, loop.up[0].Name}, "explain", "http://"+loop.host+"/")
}
