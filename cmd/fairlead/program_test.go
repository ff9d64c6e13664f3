package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/servertest"
)

// A program is the command as a process of its own.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	dir  string
	mu   sync.Mutex // guards the buffers
	out  bytes.Buffer
	errs bytes.Buffer
	done chan struct{} // closed when it ended
}

// execute starts the program with a clean environment and further variables.
// It listens for HTTPS only where a test asks for it.
func execute(t testing.TB, env []string, args ...string) *program {
	t.Helper()
	return executeFile(t, os.Args[0], env, args...)
}

// executeFile is execute for a copy of the program.
func executeFile(t testing.TB, path string, env []string, args ...string) *program {
	t.Helper()
	return launch(t, exec.Command(path, args...), env)
}

// launch starts cmd as execute does.
func launch(t testing.TB, cmd *exec.Cmd, env []string) *program {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl")
	if err != nil {
		t.Fatal(err)
	}
	x := &program{t: t, dir: dir, done: make(chan struct{}), cmd: cmd}
	x.cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_DATA_HOME=" + dir, "FAIRLEAD_HTTPS=off", "FAIRLEAD_ENGINE=" + servertest.Name()}, env...)
	x.cmd.Stdout, x.cmd.Stderr = lockedWriter{x, &x.out}, lockedWriter{x, &x.errs}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { x.cmd.Wait(); close(x.done) }()
	t.Cleanup(func() {
		x.cmd.Process.Kill()
		<-x.done
		os.RemoveAll(dir)
	})
	return x
}

type lockedWriter struct {
	x *program
	w io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.x.mu.Lock()
	defer l.x.mu.Unlock()
	return l.w.Write(p)
}

func (x *program) stdout() string { x.mu.Lock(); defer x.mu.Unlock(); return x.out.String() }
func (x *program) stderr() string { x.mu.Lock(); defer x.mu.Unlock(); return x.errs.String() }

// code waits for the end and returns the exit code.
func (x *program) code() int {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatalf("%v still runs after %s:\n%s", x.cmd.Args[1:], patience, x.stderr())
	}
	return x.cmd.ProcessState.ExitCode()
}

// execute runs the proxy of a world as a process and waits until it is ready.
func (w *world) execute(env []string, args ...string) (*program, *proxy) {
	w.Helper()
	return w.executeFile(os.Args[0], env, args...)
}

func (w *world) executeFile(path string, env []string, args ...string) (*program, *proxy) {
	w.Helper()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(w)))
	data := filepath.Join(w.dir, "data"+strconv.Itoa(int(subnets.Add(1))))
	args = append([]string{"run", "--docker-host", w.engine.Host(), "--http", addr, "--data-dir", data, "--log-format", "json"}, args...)
	x := executeFile(w, path, env, args...)
	p := &proxy{TB: w.TB, addr: addr, addrs: map[string]string{"http": addr}, args: args}
	p.admin.Socket = filepath.Join(data, "admin.sock")
	p.client = p.newClient()
	w.Cleanup(p.client.CloseIdleConnections)
	within(w, patience, "the process listens", func() bool {
		select {
		case <-x.done:
			w.Fatalf("it ended:\n%s", x.stderr())
		default:
		}
		return p.accepts()
	})
	return x, p
}

// Whatever cannot work ends at once with exit code 2 and one line that says
// what to do.
func TestWrongUsageIsOneLineAndExitCode2(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "not a directory")
	long := filepath.Join(dir, strings.Repeat("x", 120))
	for name, tt := range map[string]struct {
		env, args []string
		want      []string
	}{
		"port in use":          {nil, []string{"--http", taken.Addr().String()}, []string{taken.Addr().String(), "in use"}},
		"one of two ports":     {nil, []string{"--http", "127.0.0.1:0", "--http", "b=" + taken.Addr().String()}, []string{"in use", "b"}},
		"data dir is a file":   {nil, []string{"--http", "127.0.0.1:0", "--data-dir", file}, []string{"data directory", file}},
		"data dir below file":  {nil, []string{"--http", "127.0.0.1:0", "--data-dir", file + "/x"}, []string{"data directory", file}},
		"data dir unwritable":  {nil, []string{"--http", "127.0.0.1:0", "--data-dir", "/proc/fairlead"}, []string{"data directory", "/proc/fairlead"}},
		"admin path too long":  {nil, []string{"--http", "127.0.0.1:0", "--admin", long}, []string{"admin"}},
		"admin is a file":      {nil, []string{"--http", "127.0.0.1:0", "--admin", file}, []string{file, "no socket"}},
		"unknown flag":         {nil, []string{"--htpp", ":80"}, []string{"--htpp", "did you mean --http?"}},
		"unknown command":      {nil, []string{"rout"}, []string{"rout"}},
		"unknown variable":     {[]string{"FAIRLEAD_DATADIR=/x"}, []string{"run"}, []string{"FAIRLEAD_DATADIR", "did you mean FAIRLEAD_DATA_DIR?"}},
		"lower case variable":  {[]string{"FAIRLEAD_http=:80"}, []string{"run"}, []string{"FAIRLEAD_http", "FAIRLEAD_HTTP"}},
		"variable of command":  {[]string{"FAIRLEAD_NONSENSE=1"}, []string{"routes"}, []string{"FAIRLEAD_NONSENSE"}},
		"bad value of var":     {[]string{"FAIRLEAD_CLAIM_GRACE=10"}, []string{"run"}, []string{"FAIRLEAD_CLAIM_GRACE"}},
		"bad http":             {nil, []string{"--http", "80"}, []string{"--http 80", ":8080"}},
		"bad http name":        {nil, []string{"--http", "a=127.0.0.1:0", "--http", "a=127.0.0.1:0"}, []string{"taken"}},
		"bad port":             {nil, []string{"--http", "127.0.0.1:99999"}, []string{"99999"}},
		"bad trusted-proxies":  {nil, []string{"--trusted-proxies", "10.0.0.0/33"}, []string{"--trusted-proxies", "10.0.0.0/33"}},
		"bad engine":           {nil, []string{"--engine", "nginx"}, []string{"--engine", "nginx"}},
		"bad docker-host":      {nil, []string{"--docker-host", "ssh://x"}, []string{"ssh"}},
		"bad docker-host tcp":  {nil, []string{"--docker-host", "tcp://x"}, []string{"tcp://x"}},
		"bad log level":        {nil, []string{"--log-level", "loud"}, []string{"loud", "debug, info, warn or error"}},
		"bad log format":       {nil, []string{"--log-format", "xml"}, []string{"xml"}},
		"bad access log":       {nil, []string{"--access-log", dir + "/no/such/log"}, []string{"access log"}},
		"bad size":             {nil, []string{"--max-head-bytes", "big"}, []string{"--max-head-bytes"}},
		"bad rate":             {nil, []string{"--min-body-rate", "-1"}, []string{"--min-body-rate"}},
		"default unknown":      {nil, []string{"--default", "header.respone.X=1"}, []string{"header.respone.X", `did you mean`}},
		"default no policy":    {nil, []string{"--default", "host=a.test"}, []string{"host", "not a policy"}},
		"default without =":    {nil, []string{"--default", "log"}, []string{"KEY=VALUE"}},
		"default bad value":    {nil, []string{"--default", "log=maybe"}, []string{"log=maybe"}},
		"routes missing":       {nil, []string{"--http", "127.0.0.1:0", "--routes", dir + "/none.yaml"}, []string{"none.yaml", "does not exist"}},
		"routes is directory":  {nil, []string{"--http", "127.0.0.1:0", "--routes", dir}, []string{"not a regular file"}},
		"label prefix empty":   {nil, []string{"--http", "127.0.0.1:0", "--label-prefix", ""}, []string{"--label-prefix"}},
		"label prefix dotted":  {nil, []string{"--http", "127.0.0.1:0", "--label-prefix", "a.b"}, []string{"--label-prefix"}},
		"negative connections": {nil, []string{"--http", "127.0.0.1:0", "--max-client-conns", "-1"}, []string{"--max-client-conns"}},
		"bad share-host":       {nil, []string{"--http", "127.0.0.1:0", "--share-host", "a b"}, []string{"--share-host a b"}},
		"negative timeout":     {nil, []string{"--http", "127.0.0.1:0", "--head-timeout", "-1s"}, []string{"--head-timeout"}},
		"no timeout":           {nil, []string{"--http", "127.0.0.1:0", "--write-stall", "0"}, []string{"--write-stall", "more than 0"}},
		"too few fields":       {nil, []string{"--http", "127.0.0.1:0", "--max-fields", "0"}, []string{"--max-fields", "1 to 1000"}},
		"negative requests":    {nil, []string{"--http", "127.0.0.1:0", "--max-requests-per-conn", "-1"}, []string{"--max-requests-per-conn"}},
		"requests with std":    {nil, []string{"--http", "127.0.0.1:0", "--engine", "std", "--max-requests-per-conn", "100"}, []string{"--max-requests-per-conn", "net/http"}},
		"no copies":            {nil, []string{"--http", "127.0.0.1:0", "--assets-max-total", "0"}, []string{"--assets-max-total", "more than 0"}},
		"bad size of a copy":   {nil, []string{"--assets-max-copy", "1 apple"}, []string{"--assets-max-copy", "1 apple"}},
		"no file":              {nil, []string{"--http", "127.0.0.1:0", "--assets-max-file", "0"}, []string{"--assets-max-file", "more than 0"}},
		"negative entries":     {nil, []string{"--http", "127.0.0.1:0", "--assets-max-entries", "-1"}, []string{"--assets-max-entries", "more than 0"}},
		"no time to copy":      {nil, []string{"--http", "127.0.0.1:0", "--assets-copy-timeout", "0s"}, []string{"--assets-copy-timeout", "more than 0"}},
		"bad domain":           {nil, []string{"--http", "127.0.0.1:0", "--domain", "a b"}, []string{"--domain"}},
		"too many arguments":   {nil, []string{"explain"}, []string{"arg"}},
		"bad explain URL":      {nil, []string{"health", "x"}, []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := tt.args
			if len(args) > 0 && strings.HasPrefix(args[0], "--") && !strings.Contains(strings.Join(args, " "), "--docker-host") {
				args = append([]string{"--docker-host", "unix://" + dir + "/no.sock"}, args...)
			}
			if !strings.Contains(strings.Join(args, " "), "--data-dir") && strings.HasPrefix(args[0], "--") {
				args = append(args, "--data-dir", filepath.Join(dir, strings.ReplaceAll(name, " ", "-")))
			}
			x := execute(t, tt.env, args...)
			code := x.code()
			text := x.stderr()
			var last string
			plain := 0
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "{") {
					last, plain = line, plain+1
				}
			}
			if code != exitUsage || plain != 1 || !strings.HasPrefix(last, "fairlead: ") {
				t.Fatalf("exit code %d and\n%s\nwant %d and one line for people", code, text, exitUsage)
			}
			for _, part := range tt.want {
				if !strings.Contains(last, part) {
					t.Errorf("said %q, want it to mention %q", last, part)
				}
			}
		})
	}
}

func TestSettingsComeFromTheEnvironmentAndFlagsWin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := labelled("web", "host=app.test")
	c.Labels["edge.host"] = "edge.test"
	w.run(c, nil)
	_, p := w.execute([]string{"FAIRLEAD_LABEL_PREFIX=edge", "FAIRLEAD_LOG_LEVEL=nonsense", "FAIRLEAD_TRUSTED_PROXIES=127.0.0.8/32,10.0.0.0/8", "FAIRLEAD_SECRET_X=y",
		"FAIRLEAD_DEFAULT=header.response.X-A=1, 2\nheader.response.X-B=b"}, "--log-level", "debug")
	p.await("edge.test", 200, "web ")
	r := p.get("edge.test", "/")
	if r.header.Get("X-A") != "1, 2" || r.header.Get("X-B") != "b" {
		t.Errorf("defaults from the environment gave %v", r.header)
	}
	if r := p.get("app.test", "/"); r.status != 404 {
		t.Errorf("a label of the usual prefix: %v, want 404", r)
	}
}

func TestTermDrainsAndExitsWith0(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hold := make(chan bool)
			a, _ := w.run(labelled("web", "host=app.test"), func(c *appConn, r *seen) bool {
				if r.target() == "/slow" {
					<-hold
				}
				return c.ok("done " + r.target())
			})
			x, p := w.execute(nil)
			p.await("app.test", 200, "done")
			idle, slow := p.dial(), p.dial()
			io.WriteString(slow, request("GET", "app.test", "/slow"))
			eventually(t, "the slow request is on its way", func() bool { return a.last(t).target() == "/slow" })
			x.cmd.Process.Signal(sig)
			if _, err := idle.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the idle connection got %v, want it closed", err)
			}
			eventually(t, "nobody is let in any more", func() bool { return !p.accepts() })
			select {
			case <-x.done:
				t.Fatalf("it ended with a request in progress:\n%s", x.stderr())
			default:
			}
			close(hold)
			b, _ := io.ReadAll(slow)
			if !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(b), "done /slow") {
				t.Errorf("the running request got %q, want it finished", b)
			}
			if code := x.code(); code != 0 || !strings.Contains(x.stderr(), `"draining"`) || !strings.Contains(x.stderr(), `"stopped"`) {
				t.Errorf("exit code %d, want 0 after a drain; log:\n%s", code, x.stderr())
			}
			if !strings.Contains(x.stdout(), `"path":"/slow"`) {
				t.Errorf("the access log lacks the last request:\n%s", x.stdout())
			}
			if _, err := os.Stat(p.admin.Socket); !os.IsNotExist(err) {
				t.Errorf("the admin socket is still there: %v", err)
			}
		})
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := make(chan bool)
	defer close(hold)
	a, _ := w.run(labelled("web", "host=app.test"), func(c *appConn, r *seen) bool {
		if r.target() == "/slow" {
			<-hold
		}
		return c.ok("done")
	})
	x, p := w.execute(nil)
	p.await("app.test", 200, "done")
	slow := p.dial()
	io.WriteString(slow, request("GET", "app.test", "/slow"))
	eventually(t, "the slow request is on its way", func() bool { return a.last(t).target() == "/slow" })
	x.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return strings.Contains(x.stderr(), `"draining"`) })
	began := time.Now()
	x.cmd.Process.Signal(syscall.SIGTERM)
	if code := x.code(); code != exitNo || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %s, want %d at once", code, time.Since(began), exitNo)
	}
}

func TestADrainEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	x, p := w.execute(nil, "--shutdown-timeout", "300ms")
	p.await("app.test", 200, "web ")
	s := p.upgrade("app.test")
	began := time.Now()
	x.cmd.Process.Signal(syscall.SIGTERM)
	if code := x.code(); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %s, want 0 after 300ms", code, time.Since(began))
	}
	if s.says("x") {
		t.Error("the websocket is still open")
	}
}

func TestHupAndUsr1ReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	log, routes := filepath.Join(w.dir, "access"), filepath.Join(w.dir, "routes.yaml")
	write(t, routes, "x: {host: x.test, respond: 200 one}\n")
	x, p := w.execute(nil, "--access-log", log, "--routes", routes)
	p.await("app.test", 200, "web ")
	for i, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		if err := os.Rename(log, log+strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		x.cmd.Process.Signal(sig)
		p.access = log
		eventually(t, "the log is written under its name again", func() bool {
			p.fetch("app.test", "/after")
			return len(p.accessLines("/after")) > 0
		})
		if st, err := os.Stat(log); err != nil || st.Mode().Perm()&0o007 != 0 {
			t.Errorf("access log: %v %v, want a mode that others cannot read", st.Mode(), err)
		}
	}
	if !lineWith(x.stderr(), `"files are read again"`, `"routes":"`+routes, `"access_log":"`+log) {
		t.Errorf("the log does not say what is read again:\n%s", x.stderr())
	}
	write(t, routes, "x: {host: x.test, respond: 200 two}\n")
	x.cmd.Process.Signal(syscall.SIGHUP)
	p.await("x.test", 200, "two")
	if status, _, err := p.fetch("app.test", "/"); status != 200 {
		t.Errorf("after HUP: %d %v, want 200", status, err)
	}
}

func TestKilledProxyStartsAgainOnItsDataDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	x, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	x.cmd.Process.Kill()
	<-x.done
	y := execute(t, nil, p.args...)
	eventually(t, "it serves again", func() bool { status, _, _ := p.fetch("app.test", "/"); return status == 200 })
	y.cmd.Process.Signal(syscall.SIGTERM)
	if code := y.code(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, y.stderr())
	}
	for path, want := range map[string]os.FileMode{filepath.Dir(p.admin.Socket): 0o700, filepath.Dir(p.admin.Socket) + "/claims.json": 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want mode %v", path, st, err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	x := execute(t, nil, "version")
	if code := x.code(); code != 0 || !strings.HasPrefix(x.stdout(), "fairlead ") {
		t.Errorf("exit code %d and %q", code, x.stdout())
	}
}
