package e2e

import (
	"context"
	"errors"
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

// ready is how long a proxy may take until it serves, on a busy machine; it is
// no measurement.
const ready = 30 * time.Second

// soon is how long a change may take to show, on a busy machine. What the
// product promises is less, and measured by the benchmarks.
const soon = 10 * time.Second

// A proxy is a running fairlead, as a process or in a container.
type proxy struct {
	t    testing.TB
	addr string                       // of its plain HTTP listener
	pid  int                          // on this machine
	cli  func(args ...string) result  // runs a command of the binary against it
	logs func() string                // everything it wrote
	stop func(s syscall.Signal) error // sends a signal and waits for the end
	name string                       // of its container, "" of a process

	project *project // that the container belongs to, if it does
}

// Two ways to run the proxy. A test of what happens to containers is run with
// both; a test of the program itself, with the one it is about.
var modes = []struct {
	name  string
	start func(testing.TB, ...string) *proxy
}{
	{"process", startProcess},
	{"container", startContainer},
}

func inBothModes(t *testing.T, test func(t *testing.T, p *proxy)) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) { test(t, m.start(t)) })
	}
}

// startProcess runs the binary on this machine, with the settings given as
// "data-dir=/x", and waits until it listens.
func startProcess(t testing.TB, settings ...string) *proxy {
	t.Helper()
	p := spawn(t, settings...)
	p.listens()
	return p
}

// spawn is startProcess without the wait.
func spawn(t testing.TB, settings ...string) *proxy {
	t.Helper()
	// Not t.TempDir: the path of a unix socket has room for 107 bytes.
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := freeAddr(t)
	env := cleanEnv(environment(append([]string{
		"http=" + addr, "https=off", "data-dir=" + filepath.Join(dir, "data"), "log-format=json",
	}, settings...))...)

	logPath := filepath.Join(dir, "log")
	logFile, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run")
	cmd.Env, cmd.Stdout, cmd.Stderr = env, logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logFile.Close()
	ended := make(chan struct{})
	var ending error
	go func() { ending = cmd.Wait(); close(ended) }()

	p := &proxy{t: t, addr: addr, pid: cmd.Process.Pid}
	p.logs = func() string { b, _ := os.ReadFile(logPath); return string(b) }
	p.cli = func(args ...string) result {
		c := exec.Command(binary, args...)
		c.Env = env
		return exitOf(t, c)
	}
	p.stop = func(s syscall.Signal) error {
		cmd.Process.Signal(s)
		select {
		case <-ended:
			return ending
		case <-time.After(40 * time.Second):
			cmd.Process.Kill()
			<-ended
			return errors.New("the proxy did not end within 40s")
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the proxy:\n%s", brief(p.logs()))
		}
		cmd.Process.Kill()
		<-ended
	})
	return p
}

// startContainer runs the image in a compose project of its own, on the host's
// network, as recommended.
func startContainer(t testing.TB, settings ...string) *proxy {
	t.Helper()
	addr := freeAddr(t)
	return composeProxy(t, addr, append([]string{"http=" + addr}, settings...), "    network_mode: host\n", "")
}

// startOnNetwork runs the image on a bridge network, its port published.
func startOnNetwork(t testing.TB, net string, settings ...string) *proxy {
	t.Helper()
	addr := freeAddr(t)
	return composeProxy(t, addr, settings,
		"    networks: [shared]\n    ports: [\""+addr+":80\"]\n",
		"networks:\n  shared:\n    external: true\n    name: "+net+"\n")
}

// composeProxy runs the image with further lines of its service, and of the file
// behind its volumes: more of those, other services, then networks. Volumes of the
// file come last.
func composeProxy(t testing.TB, addr string, settings []string, service, file string, volumes ...string) *proxy {
	t.Helper()
	var env strings.Builder
	for _, kv := range environment(append([]string{"https=off", "log-format=json"}, settings...)) {
		fmt.Fprintf(&env, "      - %q\n", kv)
	}
	proj := newProject(t, "proxy", composeFile(t, "compose.yaml", "services:\n  fairlead:\n    image: "+imageFairlead+"\n"+
		service+"    environment:\n"+env.String()+
		"    volumes:\n      - "+socketPath()+":/var/run/docker.sock\n      - data:/var/lib/fairlead\n"+
		file+"volumes:\n  data:\n"+strings.Join(volumes, "")))
	proj.do("up", "-d")
	p := inContainer(t, proj.container("fairlead"), addr)
	p.project = proj
	p.listens()
	return p
}

// inContainer is a proxy that runs in a container already.
func inContainer(t testing.TB, id, addr string) *proxy {
	t.Helper()
	p := &proxy{t: t, addr: addr, name: id}
	fmt.Sscan(docker(t, "inspect", "-f", "{{.State.Pid}}", id), &p.pid)
	p.logs = func() string {
		out, _ := exec.Command("docker", "logs", id).CombinedOutput()
		return string(out)
	}
	p.cli = func(args ...string) result {
		return exitOf(t, exec.Command("docker", append([]string{"exec", id, "/fairlead"}, args...)...))
	}
	p.stop = func(s syscall.Signal) error {
		if _, err := try("docker", "kill", "-s", fmt.Sprint(int(s)), id); err != nil {
			return err
		}
		code, err := try("docker", "wait", id)
		if err == nil && code != "0" {
			err = fmt.Errorf("exit code %s", code)
		}
		return err
	}
	return p
}

// listens waits until the proxy answers anything at all: its listeners open
// after the first complete list.
func (p *proxy) listens() {
	p.t.Helper()
	if err := poll(ready, func() error {
		c, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err != nil {
			return err
		}
		c.Close()
		_, err = p.get("nobody.invalid", "/")
		return err
	}); err != nil {
		p.t.Fatalf("the proxy did not listen on %s within %v: %v\n%s", p.addr, ready, err, brief(p.logs()))
	}
}

// adminGet asks the control socket of a proxy that runs as a process.
func adminGet(ctx context.Context, dataDir, path string) (int, error) {
	return unixGet(ctx, filepath.Join(dataDir, "admin.sock"), path)
}

// environment turns settings, "data-dir=/x", into variables. The engine is that of
// the environment, so that the same tests hold for all of them (make e2e-std).
func environment(settings []string) []string {
	env := make([]string, 0, len(settings)+1)
	if engine := os.Getenv("FAIRLEAD_ENGINE"); engine != "" {
		env = append(env, "FAIRLEAD_ENGINE="+engine)
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if name == "DOCKER_HOST" {
			env = append(env, s)
			continue
		}
		env = append(env, "FAIRLEAD_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
	}
	return env
}

// socketPath is where this machine's engine listens.
func socketPath() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// brief leaves out all but the last requests of a log.
func brief(log string) string {
	var kept, requests []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"request_id"`) {
			requests = append(requests, line)
		} else {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "") + strings.Join(requests[max(0, len(requests)-10):], "")
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
