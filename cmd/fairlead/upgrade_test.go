package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/internal/dockertest"
)

// executeAgain starts the program of a world once more, with the same arguments
// and more.
func (p *proxy) executeAgain(more ...string) *program {
	p.Helper()
	return execute(p.TB, nil, append(append([]string{}, p.args...), more...)...)
}

// statusPID returns the process that answers commands, 0 if none does.
func (p *proxy) statusPID() int {
	var v statusView
	if p.admin.Get(context.Background(), "status", nil, &v) != nil {
		return 0
	}
	return v.PID
}

// lineWith reports whether one line of text has every part.
func lineWith(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		ok := true
		for _, part := range parts {
			ok = ok && strings.Contains(line, part)
		}
		if ok {
			return true
		}
	}
	return false
}

func pidField(pid int) string { return `"pid":` + strconv.Itoa(pid) + `,` }

func TestAProcessOnTheSameDataDirectoryTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	x, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	l := p.load(4, "app.test", nil)
	ws := p.upgrade("app.test")
	l.more(50)

	y := p.executeAgain()
	eventually(t, "the new process answers commands", func() bool { return p.statusPID() == y.cmd.Process.Pid })
	l.more(50)
	if !lineWith(x.stderr(), `"handed over"`, pidField(y.cmd.Process.Pid)) || !lineWith(y.stderr(), `"took over"`, pidField(x.cmd.Process.Pid)) {
		t.Errorf("the logs do not say who handed over to whom:\n%s\n%s", x.stderr(), y.stderr())
	}
	if !ws.says("still here") {
		t.Error("the websocket of the old process ended")
	}
	ws.Close()
	if code := x.code(); code != 0 {
		t.Errorf("the old process ended with %d, want 0 once nothing goes on:\n%s", code, x.stderr())
	}
	l.more(50)
	l.noneFailed()
	if got := p.statusPID(); got != y.cmd.Process.Pid {
		t.Errorf("commands are answered by %d, want the new process still", got)
	}
}

func TestUpgradeStartsTheBinaryAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	x, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	l := p.load(4, "app.test", nil)
	old := x.cmd.Process.Pid
	for range 3 {
		c := execute(t, nil, "upgrade", "--admin", p.admin.Socket)
		if code := c.code(); code != 0 {
			t.Fatalf("upgrade ended with %d: %s\n%s", code, c.stderr(), x.stderr())
		}
		m := regexp.MustCompile(`^upgraded: pid (\d+) \(dev\) → pid (\d+) \(dev\)\n$`).FindStringSubmatch(c.stdout())
		if m == nil || m[1] != strconv.Itoa(old) || m[2] == m[1] {
			t.Fatalf("upgrade said %q, want that %d was followed by another", c.stdout(), old)
		}
		old, _ = strconv.Atoi(m[2])
		t.Cleanup(func() { syscall.Kill(old, syscall.SIGKILL) })
		if got := p.statusPID(); got != old {
			t.Errorf("commands are answered by %d, want %d", got, old)
		}
		l.more(20)
	}
	l.noneFailed()
	// The last one writes where the first one did.
	syscall.Kill(old, syscall.SIGTERM)
	eventually(t, "its log is the first one's", func() bool { return lineWith(x.stderr(), `"draining"`) && lineWith(x.stderr(), `"stopped"`) })
}

// standIn makes path be a program of the test's for the time of an upgrade.
func standIn(t *testing.T, path, content string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// copyOfTheProgram returns the path of one that a test may replace.
func (w *world) copyOfTheProgram() string {
	w.Helper()
	path := filepath.Join(w.dir, "fairlead")
	if out, err := exec.Command("cp", os.Args[0], path).CombinedOutput(); err != nil {
		w.Fatalf("copy the program: %v: %s", err, out)
	}
	return path
}

func TestAnUpgradeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	path := w.copyOfTheProgram()
	x, p := w.executeFile(path, nil)
	p.await("app.test", 200, "web ")
	l := p.load(2, "app.test", nil)
	for name, tt := range map[string]struct {
		content string
		want    []string
	}{
		"fails":             {"#!/bin/sh\necho cannot do that >&2\nexit 3\n", []string{"exit status 3", "cannot do that"}},
		"another program":   {"#!/bin/sh\nexit 0\n", []string{"ended (exit status 0)"}},
		"wrong environment": {"#!/bin/sh\nFAIRLEAD_NONSENSE=1 exec " + os.Args[0] + " \"$@\"\n", []string{"FAIRLEAD_NONSENSE"}},
		"no program":        {"\x7fELF nonsense", []string{"start " + path}},
		"other sockets":     {"#!/bin/sh\nexec " + os.Args[0] + " \"$@\" --routes /no/such/file.yaml\n", []string{"file.yaml", "does not exist"}},
	} {
		standIn(t, path, tt.content)
		c := execute(t, nil, "upgrade", "--admin", p.admin.Socket)
		if code := c.code(); code != exitNo {
			t.Errorf("%s: exit code %d, want %d", name, code, exitNo)
		}
		for _, want := range append(tt.want, fmt.Sprintf("pid %d serves on", x.cmd.Process.Pid)) {
			if !strings.Contains(c.stderr(), want) {
				t.Errorf("%s: said %q, want %q in it", name, c.stderr(), want)
			}
		}
		if got := p.statusPID(); got != x.cmd.Process.Pid {
			t.Errorf("%s: commands are answered by %d, want the old process", name, got)
		}
		l.more(10)
	}
	l.noneFailed()
}

// claimTakeover is a new process up to the moment at which it has the sockets.
func claimTakeover(t *testing.T, p *proxy, c claim) (*admin.Session, error) {
	t.Helper()
	s, err := p.admin.Open(context.Background(), "takeover", c)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { s.Close() })
	var o offer
	files, err := s.Receive(&o)
	for _, f := range files {
		f.Close()
	}
	switch {
	case err != nil:
		t.Fatal(err)
	case o.Refused != "":
		return nil, fmt.Errorf("%s", o.Refused)
	case len(files) != len(p.addrs) || len(o.Sockets) != len(files):
		t.Fatalf("got %d files and %+v, want %d sockets", len(files), o, len(p.addrs))
	}
	return s, nil
}

func TestATakeoverThatIsGivenUpChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	l := p.load(2, "app.test", nil)
	for why, end := range map[string]func(*admin.Session){
		"it ended":     func(s *admin.Session) { s.Close() },
		"disk is full": func(s *admin.Session) { s.Send(note{GivenUp: "disk is full"}) },
	} {
		s, err := claimTakeover(t, p, ownClaim())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := claimTakeover(t, p, ownClaim()); err == nil || !strings.Contains(err.Error(), "taking over already") {
			t.Errorf("a second takeover beside: %v, want it refused", err)
		}
		end(s)
		eventually(t, "the log says why", func() bool { return len(p.lines("nothing was handed over, serving on", why)) > 0 })
		l.more(10)
	}
	l.noneFailed()
	// Claims are written again.
	w.run(labelled("later", "host=later.test"), nil)
	eventually(t, "the ledger has a new host", func() bool {
		b, _ := os.ReadFile(p.settings.dataDir + "/claims.json")
		return strings.Contains(string(b), "later.test")
	})
	if p.ready() != nil {
		t.Errorf("it is not ready any more: %v", p.ready())
	}
}

func TestClaimsAreNotWrittenWhileAnotherProcessTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	ledger := func() string { b, _ := os.ReadFile(p.settings.dataDir + "/claims.json"); return string(b) }
	// No wait for it: what is offered has been written.
	s, err := claimTakeover(t, p, ownClaim())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(ledger(), "app.test") {
		t.Errorf("the ledger is %q when the sockets are offered, want every claim in it", ledger())
	}
	if err := os.Remove(p.settings.dataDir + "/claims.json"); err != nil {
		t.Fatal(err)
	}
	w.run(labelled("later", "host=later.test"), nil)
	p.await("later.test", 200, "later ")
	if err := s.Send(note{Serving: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(&note{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	p.client.CloseIdleConnections()
	eventually(t, "it has drained", func() bool { return len(p.lines(`"stopped"`)) > 0 })
	if got := ledger(); got != "" {
		t.Errorf("it wrote %q, want nothing: the ledger is the other process's", got)
	}
}

func TestTakeoversThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	for name, tt := range map[string]struct {
		change func(*claim)
		want   string
	}{
		"protocol": {func(c *claim) { c.Protocol, c.Version = 9, "v9.9" }, "hands over by protocol 1 and not by 9 of version v9.9: stop it"},
		"network":  {func(c *claim) { c.Network = "net:[1]" }, "another network namespace"},
	} {
		c := ownClaim()
		tt.change(&c)
		if _, err := claimTakeover(t, p, c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if p.ready() != nil {
		t.Errorf("not ready any more: %v", p.ready())
	}
}

// A proxy that cannot hand over, because it is older or has not begun, is not
// disturbed.
func TestAProxyThatDoesNotHandOverIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	defer w.engine.Hang(dockertest.List)() // so that the first does not serve yet
	early := w.startUnready()
	socket := filepath.Join(w.dir, "old.sock")
	ln, err := admin.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&admin.Server{}).Serve(ctx, ln) }()
	defer func() { cancel(); <-ended }()
	eventually(t, "the first answers", func() bool { return early.statusPID() != 0 })
	for at, want := range map[string]string{
		early.admin.Socket: "the containers have not been read yet",
		socket:             "its version cannot: stop it",
	} {
		x := execute(t, nil, "run", "--docker-host", w.engine.Host(), "--http", "127.0.0.1:0", "--data-dir", filepath.Join(w.dir, "d"), "--admin", at)
		if code := x.code(); code != exitUsage || !strings.Contains(x.stderr(), "another fairlead is running on "+at) || !strings.Contains(x.stderr(), want) {
			t.Errorf("exit code %d: %s; want %d and %q", code, x.stderr(), exitUsage, want)
		}
	}
}

func TestEntryPointsMayChangeInATakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	gone := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	x, p := w.execute(nil, "--http", "gone="+gone)
	p.await("app.test", 200, "web ")
	added := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	y := execute(t, nil, "run", "--docker-host", w.engine.Host(), "--http", "kept="+p.addr, "--http", "added="+added, "--data-dir", filepath.Dir(p.admin.Socket), "--log-format", "json")
	p.client.CloseIdleConnections()
	x.code()
	for _, addr := range []string{p.addr, added} {
		p.addr = addr
		p.client.CloseIdleConnections()
		p.await("app.test", 200, "web ")
	}
	if c, err := net.Dial("tcp", gone); err == nil {
		c.Close()
		t.Error("the port that is configured no more is still open")
	}
	if !lineWith(y.stderr(), "inherited port closed", gone) {
		t.Errorf("the log does not name the port that was closed:\n%s", y.stderr())
	}
}

// One stack instead of both is another socket, which the old one is in the way of.
func TestAnAddressInTheWayIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := strconv.Itoa(freePort(t))
	x, p := w.execute(nil, "--http", "all=0.0.0.0:"+port)
	y := execute(t, nil, "run", "--docker-host", w.engine.Host(), "--http", "127.0.0.1:"+port, "--data-dir", filepath.Dir(p.admin.Socket))
	if code := y.code(); code != exitUsage || !strings.Contains(y.stderr(), "only a restart can change") {
		t.Errorf("exit code %d: %s; want %d and what is in the way", code, y.stderr(), exitUsage)
	}
	eventually(t, "the old one serves on", func() bool { return lineWith(x.stderr(), "nothing was handed over, serving on", "only a restart") })
	if !p.accepts() {
		t.Error("the old process does not accept any more")
	}
}

func TestAProcessKilledBeforeItServesLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	x, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	l := p.load(2, "app.test", nil)
	release := w.engine.Hang(dockertest.List)
	y := p.executeAgain()
	eventually(t, "it has the sockets", func() bool { return lineWith(x.stderr(), `"handing over"`, pidField(y.cmd.Process.Pid)) })
	y.cmd.Process.Kill()
	eventually(t, "the old one serves on", func() bool { return lineWith(x.stderr(), "nothing was handed over, serving on") })
	release()
	l.more(20)
	if got := p.statusPID(); got != x.cmd.Process.Pid {
		t.Errorf("commands are answered by %d, want the old process", got)
	}
	z := p.executeAgain()
	eventually(t, "the next one takes over", func() bool { return p.statusPID() == z.cmd.Process.Pid })
	l.more(20)
	l.noneFailed()
}

func TestAProcessGoesOnIfTheOldOneDiesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	x, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	release := w.engine.Hang(dockertest.List)
	y := p.executeAgain()
	eventually(t, "it has the sockets", func() bool { return lineWith(x.stderr(), `"handing over"`) })
	x.cmd.Process.Kill()
	<-x.done
	release()
	eventually(t, "it serves all the same", func() bool { return p.statusPID() == y.cmd.Process.Pid })
	p.client.CloseIdleConnections()
	p.await("app.test", 200, "web ")
}

// A container ends with its first process: that must not end, or it would be
// started again and take over in turn.
func TestTheFirstProcessOfAContainerWaitsToBeStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.prepare()
	p.surroundings = surroundings{pid: 1}
	p.begin()
	p.awaitReady()
	if _, err := command("upgrade", "--admin", p.admin.Socket); err == nil {
		t.Error("upgrade began in a container, want it refused")
	}
	q := w.start("--data-dir", p.settings.dataDir)
	eventually(t, "the first waits", func() bool { return len(p.lines("waiting to be stopped")) > 0 })
	if len(p.lines(`"stopped"`)) > 0 {
		t.Error("it ended by itself")
	}
	p.stop()
	if len(p.lines(`"stopped"`)) == 0 {
		t.Error("it did not end when it was told to")
	}
	q.await("app.test", 200, "web ")
}

func TestWhoMayLeaveItsPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		s    surroundings
		want string
	}{
		"plain":                          {surroundings{pid: 7, parent: 3}, ""},
		"plain, started at boot":         {surroundings{pid: 7, parent: 1}, ""},
		"first in a container":           {surroundings{pid: 1, container: true}, "--scale fairlead=2"},
		"behind the init of a container": {surroundings{pid: 7, parent: 1, container: true}, "--scale fairlead=2"},
		"started by hand in a container": {surroundings{pid: 30, parent: 20, container: true}, ""},
		"unit that is told nothing":      {surroundings{pid: 7, parent: 1, unit: "7"}, "Type=notify"},
		"unit with Type=notify":          {surroundings{pid: 7, parent: 1, unit: "7", notified: true}, ""},
		"below another process's unit":   {surroundings{pid: 7, parent: 6, unit: "6"}, ""},
	} {
		err := tt.s.stays()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestTermShortensTheDrainAfterAHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	x, p := w.execute(nil, "--shutdown-timeout", "1s")
	p.await("app.test", 200, "web ")
	ws := p.upgrade("app.test")
	y := p.executeAgain()
	eventually(t, "the new process answers", func() bool { return p.statusPID() == y.cmd.Process.Pid })
	if !ws.says("x") {
		t.Fatal("the websocket ended with the handover")
	}
	began := time.Now()
	x.cmd.Process.Signal(syscall.SIGTERM)
	if code := x.code(); code != 0 || time.Since(began) > 8*time.Second {
		t.Errorf("exit code %d after %s, want 0 after about 1s", code, time.Since(began))
	}
	if got := p.statusPID(); got != y.cmd.Process.Pid {
		t.Errorf("commands are answered by %d, want the new process", got)
	}
}

func TestUpgradeDrainBoundsWhatTheOldProcessKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	x, p := w.execute(nil, "--upgrade-drain", "1s")
	p.await("app.test", 200, "web ")
	ws := p.upgrade("app.test")
	p.executeAgain()
	if code := x.code(); code != 0 || !strings.Contains(x.stderr(), "1 were still in use") {
		t.Errorf("exit code %d, want 0 and the one connection cut:\n%s", code, x.stderr())
	}
	if ws.says("x") {
		t.Error("the websocket is still open")
	}
}

// With the control socket elsewhere, a data directory that cannot be written
// costs what would be in it, and not the takeover.
func TestADataDirectoryThatCannotBeWrittenDoesNotStopATakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	sock := filepath.Join(w.dir, "admin.sock")
	x, p := w.execute(nil, "--admin", sock)
	p.admin.Socket = sock
	p.await("app.test", 200, "web ")
	data := p.args[6]
	eventually(t, "the ledger is written", func() bool { _, err := os.Stat(data + "/claims.json"); return err == nil })
	if err := os.RemoveAll(data); err != nil { // root may write anywhere, but not here
		t.Fatal(err)
	}
	write(t, data, "in the way")
	y := p.executeAgain("--data-dir", filepath.Join(w.dir, "elsewhere"))
	eventually(t, "the new process answers", func() bool { return p.statusPID() == y.cmd.Process.Pid })
	if !lineWith(x.stderr(), `"level":"error"`, "claims could not be written for the process that takes over") {
		t.Errorf("the log does not say that the claims were not written:\n%s", x.stderr())
	}
	p.await("app.test", 200, "web ")
}

func TestATakeoverIsRevokedOrDone(t *testing.T) {
	h := handover{done: make(chan struct{})}
	if !h.revoke(7) {
		t.Error("revoked too late, before anybody has taken over")
	}
	if err := h.set(peer{PID: 7}); err == nil || h.takenBy() != nil {
		t.Errorf("taken over after it was revoked: %v, by %v", err, h.takenBy())
	}
	if err := h.set(peer{PID: 8}); err != nil || h.takenBy().PID != 8 {
		t.Errorf("another one: %v, by %v", err, h.takenBy())
	}
	if h.revoke(8) {
		t.Error("revoked after it has taken over")
	}
	if err := h.join(); err == nil || !strings.Contains(err.Error(), "pid 8") {
		t.Errorf("one more: %v, want it refused, with who has taken over", err)
	}
}

func TestOrdersGoOverToTheNewProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	_, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	order := func(args ...string) {
		t.Helper()
		c := execute(t, nil, append(args, "--admin", p.admin.Socket)...)
		if code := c.code(); code != 0 {
			t.Errorf("%v ended with %d: %s", args, code, c.stderr())
		}
	}
	order("maintenance", "web", "on")
	p.await("app.test", 503, "maintenance")
	l := p.load(2, "app.test", func(status int, body string) string {
		if status != 503 || !strings.Contains(body, "maintenance") {
			return fmt.Sprint(status, " ", body)
		}
		return ""
	})
	y := p.executeAgain()
	eventually(t, "the new process answers commands", func() bool { return p.statusPID() == y.cmd.Process.Pid })
	l.more(20)
	l.noneFailed()
	order("maintenance", "web", "off")
	p.await("app.test", 200, "web ")
}
