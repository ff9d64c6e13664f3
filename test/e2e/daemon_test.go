package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An engine of the test's own, which it may restart as it likes. It makes no
// firewall rules, and its bridge is one that the machine's engine made for it:
// left to itself it would take docker0, and with "--bridge none" it would even
// remove it.
type engine struct {
	t      testing.TB
	dir    string
	host   string
	bridge string
	cmd    *exec.Cmd
	done   chan struct{}
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test starts a Docker engine of its own, which needs root: run `sudo make test`")
	}
	dir, err := os.MkdirTemp("", "fltest-e2e-d")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, host: "unix://" + filepath.Join(dir, "d.sock"), bridge: fmt.Sprintf("flt%d", os.Getpid())}
	name := unique(t, "bridge")
	docker(t, "network", "create", "-o", "com.docker.network.bridge.name="+e.bridge, name)
	t.Cleanup(func() { try("docker", "network", "rm", name) })
	// An empty file in place of /etc/docker/daemon.json, whose settings would
	// collide with the flags.
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.remove)
	e.start()
	return e
}

func (e *engine) start() {
	e.t.Helper()
	// A containerd that died with its engine may not have been waited for yet.
	// It looks alive, and the engine would wait for it to answer.
	os.Remove(filepath.Join(e.dir, "exec/containerd/containerd.pid"))
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.cmd = exec.Command("dockerd", "--config-file", filepath.Join(e.dir, "daemon.json"),
		"--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--host", e.host,
		"--bridge", e.bridge, "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--live-restore")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatalf("start dockerd: %v", err)
	}
	e.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(e.cmd, e.done)
	if err := poll(ready, func() error {
		_, err := e.try("version", "--format", "{{.Server.Version}}")
		return err
	}); err != nil {
		e.t.Fatalf("the test's own engine did not answer: %v", err)
	}
}

// stop ends the engine and leaves its containers running.
func (e *engine) stop(s syscall.Signal) {
	e.t.Helper()
	e.cmd.Process.Signal(s)
	select {
	case <-e.done:
	case <-time.After(ready):
		e.cmd.Process.Kill()
		<-e.done
		e.t.Error("dockerd did not end in time")
	}
}

// remove removes the containers and then the engine.
func (e *engine) remove() {
	if e.t.Failed() {
		e.t.Logf("log of the test's own engine:\n%s", e.log(30))
	}
	if ids, err := e.try("ps", "-aq"); err == nil {
		for _, id := range strings.Fields(ids) {
			e.try("rm", "-f", id)
		}
	}
	e.stop(syscall.SIGTERM)
	e.killRest()
	if err := poll(ready, func() error { return os.RemoveAll(e.dir) }); err != nil {
		e.t.Errorf("clean up: %v", err)
	}
}

// killRest ends what an engine that did not come back left running, which all
// has its directory or one of its containers' ids in its name, and takes its
// mounts away.
func (e *engine) killRest() {
	marks := []string{e.dir + "/"}
	containers, _ := os.ReadDir(filepath.Join(e.dir, "data/containers"))
	for _, c := range containers {
		marks = append(marks, c.Name())
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		cmdline, _ := os.ReadFile(proc + "/cmdline")
		cgroup, _ := os.ReadFile(proc + "/cgroup")
		for _, mark := range marks {
			var pid int
			fmt.Sscanf(proc, "/proc/%d", &pid)
			if pid != os.Getpid() && contains(string(cmdline)+string(cgroup), mark) == nil {
				syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], e.dir+"/") {
			syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

func (e *engine) log(lines int) string {
	b, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return tail(string(b), lines)
}

func (e *engine) try(args ...string) (string, error) {
	return try("docker", append([]string{"--host", e.host}, args...)...)
}

func (e *engine) docker(args ...string) string {
	e.t.Helper()
	return docker(e.t, append([]string{"--host", e.host}, args...)...)
}

// copyImage gives the engine an image of this machine's.
func (e *engine) copyImage(image string) {
	e.t.Helper()
	tar := filepath.Join(e.dir, "image.tar")
	docker(e.t, "save", "-o", tar, image)
	e.docker("load", "-i", tar)
}

// While the engine restarts, what it told us last still holds: the containers
// run on and are served on. What changed meanwhile is seen afterwards.
func TestEngineRestartsWhileTheProxyServes(t *testing.T) {
	e := newEngine(t)
	e.copyImage(imageWhoami)
	host := unique(t, "live") + ".localhost"
	start := func(host string) string {
		return e.docker("run", "-d", "--name", unique(t, "c"), label("host", host), noHold, imageWhoami)
	}
	app := start(host)

	p := startProcess(t, "DOCKER_HOST="+e.host)
	p.servedBy(host, app)
	ws, _ := dialWebSocket(t, p, host)
	for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		l := p.load(host)
		e.stop(signal)
		pass(2 * time.Second) // long enough for a proxy that forgets to forget
		e.start()
		late := fmt.Sprintf("late%d-%s", i, host)
		id := start(late)
		p.servedBy(late, id)
		onlyStatus(t, l.end(), 200)
		if err := echo(t.Context(), ws, "still here"); err != nil {
			t.Errorf("the websocket after the engine ended by %v: %v", signal, err)
		}
	}
	// What stopped while nobody was watching is found out.
	e.stop(syscall.SIGTERM)
	pid := findWhoami(t, app)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.start()
	away(t, p, host)
}

// findWhoami finds the process of a container without an engine.
func findWhoami(t testing.TB, id string) int {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range procs {
		b, err := os.ReadFile(path)
		if err != nil || contains(string(b), id) != nil {
			continue
		}
		var pid int
		fmt.Sscanf(path, "/proc/%d/cgroup", &pid)
		return pid
	}
	t.Fatalf("no process of container %s", id)
	return 0
}
