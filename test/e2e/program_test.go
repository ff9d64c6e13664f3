package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What cannot work is said in one line, with exit code 2.
func TestWrongUsageIsOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args, env []string
		words     []string
	}{
		"unknown flag":     {args: []string{"--htpp", ":80"}, words: []string{"htpp", "http"}},
		"unknown variable": {env: []string{"FAIRLEAD_HTPP=:80"}, words: []string{"FAIRLEAD_HTPP", "FAIRLEAD_HTTP"}},
		"wrong value":      {env: []string{"FAIRLEAD_SHUTDOWN_TIMEOUT=30"}, words: []string{"FAIRLEAD_SHUTDOWN_TIMEOUT", "30"}},
		"port in use":      {args: []string{"--http", taken.Addr().String()}, words: []string{taken.Addr().String(), "in use"}},
		"data directory":   {args: []string{"--data-dir", filepath.Join(file, "data")}, words: []string{file}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"run"}
			env := []string{"FAIRLEAD_HTTPS=off"}
			if name != "port in use" && name != "unknown flag" {
				args = append(args, "--http", freeAddr(t))
			}
			if name != "data directory" {
				args = append(args, "--data-dir", t.TempDir())
			}
			cmd := exec.Command(binary, append(args, c.args...)...)
			cmd.Env = cleanEnv(append(env, c.env...)...)
			kill := time.AfterFunc(soon, func() { cmd.Process.Kill() })
			defer kill.Stop()
			r := exitOf(t, cmd)
			if r.Code != 2 {
				t.Errorf("exit code %d, want 2:\n%s", r.Code, r.Out)
			}
			if n := strings.Count(strings.TrimSpace(r.Out), "\n"); n > 0 {
				t.Errorf("said %d lines, want one:\n%s", n+1, r.Out)
			}
			if err := contains(r.Out, c.words...); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVersionAndLabelsNeedNoEngine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"version"}, []string{"e2e"}},
		{[]string{"labels"}, []string{"host", "strip", "port"}},
	} {
		cmd := exec.Command(binary, c.args...)
		cmd.Env = cleanEnv("DOCKER_HOST=unix:///nonexistent.sock")
		r := exitOf(t, cmd)
		if err := contains(r.Out, c.want...); r.Code != 0 || err != nil {
			t.Errorf("fairlead %v ended with code %d: %v", c.args, r.Code, err)
		}
	}
}

// The proxy is started before the engine, as happens at boot.
func TestEngineThatComesLater(t *testing.T) {
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, data := filepath.Join(dir, "engine.sock"), filepath.Join(dir, "data")
	host := unique(t, "boot") + ".localhost"
	c := runApp(t, label("host", host))

	p := spawn(t, "DOCKER_HOST=unix://"+socket, "data-dir="+data)
	p.logged(socket)
	eventually(t, ready, "/ready is red", func() error {
		code, err := adminGet(t.Context(), data, "/ready")
		if err == nil && code != 503 {
			err = fmt.Errorf("it is %d", code)
		}
		return err
	})
	if _, err := net.DialTimeout("tcp", p.addr, time.Second); err == nil {
		t.Error("it listens before it knows what to serve")
	}
	if r := p.cli("health"); r.Code != 1 {
		t.Errorf("health ended with code %d and %q, want 1", r.Code, r.Out)
	}

	relay(t, socket)
	p.listens()
	p.servedBy(host, c.ID)
	if code, err := adminGet(t.Context(), data, "/ready"); code != 200 || err != nil {
		t.Errorf("/ready is %d, %v, want 200", code, err)
	}
	if r := p.cli("health"); r.Code != 0 {
		t.Errorf("health ended with code %d and %q, want 0", r.Code, r.Out)
	}
}

func TestSIGTERMFinishesRunningRequests(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "term") + ".localhost"
		c := runApp(t, label("host", host))
		p.servedBy(host, c.ID)
		got := make(chan error, 1)
		go func() {
			a, err := p.get(host, "/slow?d=2s")
			if err == nil && a.Status != 200 {
				err = fmt.Errorf("got %v", a)
			}
			got <- err
		}()
		pass(500 * time.Millisecond) // the request reaches the app
		ended := make(chan error, 1)
		go func() { ended <- p.stop(syscall.SIGTERM) }()
		eventually(t, soon, "no new connection is taken", func() error {
			conn, err := net.DialTimeout("tcp", p.addr, time.Second)
			if err == nil {
				conn.Close()
				return fmt.Errorf("it still listens")
			}
			return nil
		})
		if err := <-got; err != nil {
			t.Errorf("the request under way: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the proxy: %v", err)
		}
	})
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "term2") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	go p.get(host, "/slow?d=20s")
	pass(300 * time.Millisecond) // the request reaches the app
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	pass(300 * time.Millisecond)
	began := time.Now()
	p.stop(syscall.SIGTERM)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it ended %v after the second signal, want at once", took)
	}
}

// Claims survive a restart of the proxy: the ledger is in the data directory.
func TestHolderKeepsItsHostOverARestartOfTheProxy(t *testing.T) {
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	host := unique(t, "ledger") + ".localhost"
	holder := newProject(t, "holder", oneApp(t, host))
	holder.do("up", "-d")
	p := startProcess(t, "data-dir="+dir)
	p.servedBy(host, holder.container("app"))
	thief := newProject(t, "thief", oneApp(t, host))
	thief.do("up", "-d")
	p.logged("conflict", host)
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Now the holder's container is the younger one.
	holder.do("up", "-d", "--force-recreate")
	p = startProcess(t, "data-dir="+dir)
	p.servedBy(host, holder.container("app"))
}
