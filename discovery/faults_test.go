package discovery

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

// impatient asks again quickly. A call may take as long as in production: a
// busy machine is no fault of the engine.
func impatient(c *Config) {
	c.Timing.Reconcile, c.Timing.RetryMin, c.Timing.RetryMax = 30*time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
}

// hurried is impatient and gives up calls that hang, after a time that one
// which does not hang needs on no machine.
func hurried(c *Config) {
	impatient(c)
	c.Timing.List, c.Timing.Call = 2*time.Second, 2*time.Second
}

func stale(s spec.Snapshot) bool { return s.Stale != "" }
func fresh(s spec.Snapshot) bool { return s.Stale == "" }

// Whatever is wrong with the engine, nothing is taken away, what is known keeps
// its pointer, and what changed meanwhile is found when it is over.
func TestErrorsTakeNothingAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(e *dockertest.Engine) (heal func())
		stale string // in what Stale says
	}{
		{"lists fail", func(e *dockertest.Engine) func() {
			e.Fail(dockertest.List, 500)
			return func() { e.Fail(dockertest.List, 0) }
		}, "lists fail"},
		{"lists hang", func(e *dockertest.Engine) func() { return e.Hang(dockertest.List) }, "unreachable"},
		{"everything hangs", func(e *dockertest.Engine) func() {
			var release []func()
			for _, p := range []string{dockertest.Ping, dockertest.Info, dockertest.Events, dockertest.List, dockertest.Inspect} {
				release = append(release, e.Hang(p))
			}
			e.Cut()
			return func() {
				for _, r := range release {
					r()
				}
			}
		}, "unreachable"},
		{"engine is away", func(e *dockertest.Engine) func() { e.Down(); return func() { e.Up() } }, "unreachable"},
		{"engine restarts and answers 500", func(e *dockertest.Engine) func() {
			for _, p := range []string{dockertest.Ping, dockertest.Info, dockertest.Events, dockertest.List} {
				e.Fail(p, 500)
			}
			e.Cut()
			return func() {
				for _, p := range []string{dockertest.Ping, dockertest.Info, dockertest.Events, dockertest.List} {
					e.Fail(p, 0)
				}
			}
		}, "engine"}, // a list may fail before the stream is seen cut
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			e.Run(dockertest.Container{Name: "web"})
			leaves := e.Run(dockertest.Container{Name: "leaves"})
			w := run(t, e, hurried)
			web := find(w.first(), "web")
			heal := tt.fault(e)
			if s := w.until("a mark", stale); !strings.Contains(s.Stale, tt.stale) || find(s, "web") != web || find(s, "leaves") == nil {
				t.Errorf("while away: %s", dump(s))
			}
			if got := w.d.Status(); got.LastError == "" {
				t.Errorf("status names no error: %+v", got)
			}
			e.Lose(func(string, string) bool { return true })
			e.Run(dockertest.Container{Name: "new"})
			e.Remove(leaves)
			e.Lose(nil)
			heal()
			s := w.until("the mark gone", fresh)
			if find(s, "web") != web {
				t.Errorf("an unchanged workload has another pointer")
			}
			w.state("new", spec.Running)
			w.state("leaves", spec.Gone)
			for _, s := range w.all() {
				if find(s, "web") == nil || find(s, "web").State != spec.Running {
					t.Fatalf("web was taken away:\n%s", dump(s))
				}
			}
		})
	}
}

func TestCutStreamIsReopenedAndListed(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, nil)
	web := find(w.first(), "web")
	for i := range 5 {
		name := fmt.Sprintf("new%d", i)
		e.Lose(func(string, string) bool { return true })
		e.Run(dockertest.Container{Name: name})
		e.Lose(nil)
		e.Cut()
		if x := w.state(name, spec.Running); addrs(x) == "" {
			t.Errorf("%s has no address", name)
		}
		eventually(t, "a stream", func() bool { return e.Streams() == 1 })
	}
	for _, s := range w.all() {
		if find(s, "web") != web {
			t.Fatalf("an unchanged workload has another pointer:\n%s", dump(s))
		}
	}
	if got := w.d.Status(); got.Reconnects != 5 || !got.Connected {
		t.Errorf("status = %+v, want connected after 5 reconnects", got)
	}
}

func TestStreamCutInTheMiddleOfABurst(t *testing.T) {
	e := dockertest.New(t)
	w := run(t, e, nil)
	w.first()
	eventually(t, "a stream", func() bool { return e.Streams() == 1 })
	e.CutAfter(7)
	for i := range 20 {
		e.Run(dockertest.Container{Name: fmt.Sprintf("c%d", i)})
	}
	for i := range 20 {
		w.state(fmt.Sprintf("c%d", i), spec.Running)
	}
}

// With a second an answer, a start costs one inspect and waits for nothing else.
func TestSlowEngine(t *testing.T) {
	e := dockertest.New(t)
	for i := range 30 {
		e.Run(dockertest.Container{Name: fmt.Sprintf("old%d", i)})
	}
	w := run(t, e, nil)
	w.first()
	e.Delay(dockertest.Inspect, time.Second)
	e.Delay(dockertest.List, time.Second)
	e.ResetCalls()
	began := time.Now()
	for i := range 8 {
		e.Run(dockertest.Container{Name: fmt.Sprintf("new%d", i)})
	}
	for i := range 8 {
		w.state(fmt.Sprintf("new%d", i), spec.Running)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("8 starts took %s, want them inspected in parallel", took)
	}
	if calls := e.Calls(); len(calls) != 1 || calls[dockertest.Call{Method: "GET", Endpoint: dockertest.Inspect}] != 8 {
		t.Errorf("calls = %v, want 8 inspects and nothing else", calls)
	}
}

func TestHangingInspectHoldsUpNobodyElse(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, nil)
	w.first()
	release := e.Hang(dockertest.Inspect)
	e.Run(dockertest.Container{Name: "new"})
	eventually(t, "an inspect", func() bool { return e.Count(dockertest.Inspect) == 2 })
	e.Kill(id, 15)
	w.state("web", spec.Draining)
	release()
	w.state("new", spec.Running)
}

// One container the engine cannot show is served from what the list says.
func TestFailingInspectOfOneContainer(t *testing.T) {
	e := dockertest.New(t)
	bad := e.Run(dockertest.Container{Name: "bad", Labels: map[string]string{"a": "b"}})
	e.Run(dockertest.Container{Name: "good"})
	e.FailFor(dockertest.Inspect, bad, 500)
	w := run(t, e, impatient)
	s := w.first()
	if x := find(s, "bad"); x == nil || x.State != spec.Running || addrs(x) == "" || x.Labels["a"] != "b" || !x.StartedAt.IsZero() {
		t.Errorf("got %+v, want what the list says", x)
	}
	if x := find(s, "good"); x.StartedAt.IsZero() {
		t.Errorf("good suffers from bad: %+v", x)
	}
	e.Fail(dockertest.Inspect, 0)
	w.until("bad inspected", func(s spec.Snapshot) bool { return !find(s, "bad").StartedAt.IsZero() })
}

func TestFailedListAtTheStartPublishesNothing(t *testing.T) {
	e := dockertest.New(t)
	e.Run(dockertest.Container{Name: "web"})
	e.Fail(dockertest.List, 500)
	w := run(t, e, impatient)
	eventually(t, "some lists", func() bool { return e.Count(dockertest.List) > 3 })
	if n := len(w.all()); n != 0 {
		t.Fatalf("%d snapshots without a list, want none", n)
	}
	e.Fail(dockertest.List, 0)
	w.state("web", spec.Running)
}

// The engine is talked to with the newest version both know, by GET alone.
func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		min, max string
		hide     bool
		noBody   bool
		want     string
	}{
		{"Docker 20.10", "1.12", "1.41", false, false, "1.41"},
		{"Docker 29", "1.44", "1.52", false, false, "1.51"},
		{"Docker 29, field stripped", "1.44", "1.52", true, false, "1.51"},
		{"Docker 29, field stripped, /version refused", "1.44", "1.52", true, true, "1.44"},
		{"Docker 20.10, field stripped, /version refused", "1.12", "1.41", true, true, "1.24"},
		{"Docker 1.12", "1.12", "1.24", false, false, "1.24"},
		{"Docker 1.12, field stripped", "1.12", "1.24", true, true, "1.24"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.NewTCP(t)
			e.GetOnly()
			e.Versions(tt.min, tt.max)
			if tt.hide {
				e.HideVersion()
			}
			if tt.noBody {
				e.Fail(dockertest.Version, 403)
			}
			e.Run(dockertest.Container{Name: "web"})
			w := run(t, e, nil)
			w.state("web", spec.Running)
			if got := w.d.Status().API; got != tt.want {
				t.Errorf("API version %s, want %s", got, tt.want)
			}
			onlyGETs(t, e)
		})
	}
}

// A socket proxy that allows only what is needed is enough.
func TestWithoutInfo(t *testing.T) {
	e := dockertest.New(t)
	e.GetOnly()
	e.Fail(dockertest.Info, 403)
	e.Fail(dockertest.Version, 403)
	e.Before(dockertest.List, func() { e.Run(dockertest.Container{Name: "web"}) })
	w := run(t, e, nil)
	w.state("web", spec.Running)
}

func TestTLS(t *testing.T) {
	e, ca := dockertest.NewTLS(t)
	e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, func(c *Config) { c.CA = ca })
	w.state("web", spec.Running)
	onlyGETs(t, e)

	e, _ = dockertest.NewTLS(t)
	w = run(t, e, func(c *Config) { c.CA = ca; c.Host = strings.Replace(e.Host(), "127.0.0.1", "localhost", 1) })
	eventually(t, "an error", func() bool { return strings.Contains(w.d.Status().LastError, "certificate") })
	if n := len(w.all()); n != 0 {
		t.Errorf("%d snapshots from an engine whose certificate is not valid", n)
	}
}

func TestConfirm(t *testing.T) {
	e := dockertest.New(t)
	web := e.Run(dockertest.Container{Name: "web"})
	host := e.Run(dockertest.Container{Name: "host", Mode: "host"})
	guest := e.Run(dockertest.Container{Name: "guest", Mode: "container:" + web})
	stopped := e.Run(dockertest.Container{Name: "stopped"})
	e.Stop(stopped)
	paused := e.Run(dockertest.Container{Name: "paused"})
	e.Pause(paused)
	w := run(t, e, nil)
	s := w.first()
	for _, tt := range []struct {
		id, name string
		running  bool
		addrs    string
	}{
		{web, "web", true, "[172.17.0.2]"},
		{host, "host", true, "[127.0.0.1 ::1]"},
		{guest, "guest", true, "[172.17.0.2]"},
		{stopped, "stopped", false, "[]"},
		{paused, "paused", false, "[172.17.0.3]"},
	} {
		c, err := w.d.Confirm(t.Context(), tt.id)
		if err != nil || c.Running != tt.running || fmt.Sprint(c.Addrs) != tt.addrs || !c.StartedAt.Equal(find(s, tt.name).StartedAt) {
			t.Errorf("Confirm(%s) = %+v, %v, want running %t at %s", tt.name, c, err, tt.running, tt.addrs)
		}
	}
	if _, err := w.d.Confirm(t.Context(), strings.Repeat("0", 64)); !errors.Is(err, ErrGone) {
		t.Errorf("Confirm of nothing: %v, want ErrGone", err)
	}
	release := e.Hang(dockertest.Inspect)
	if _, err := w.d.Confirm(t.Context(), web); !errors.Is(err, ErrSlow) {
		t.Errorf("Confirm while it hangs: %v, want ErrSlow", err)
	}
	release()
	e.Fail(dockertest.Inspect, 500)
	if _, err := w.d.Confirm(t.Context(), web); err == nil || errors.Is(err, ErrGone) || errors.Is(err, ErrAway) {
		t.Errorf("Confirm while it fails: %v, want neither ErrGone nor ErrAway", err)
	}
	e.Fail(dockertest.Inspect, 0)
	e.Down()
	if _, err := w.d.Confirm(t.Context(), web); !errors.Is(err, ErrAway) {
		t.Errorf("Confirm while away: %v, want ErrAway", err)
	}
}

func TestConfirmIsCoalesced(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, func(c *Config) { c.Timing.Confirm = patience })
	w.first()
	release := e.Hang(dockertest.Inspect)
	e.ResetCalls()
	errs := make(chan error)
	for range 50 {
		go func() { _, err := w.d.Confirm(t.Context(), id); errs <- err }()
	}
	eventually(t, "one inspect", func() bool { return e.Count(dockertest.Inspect) == 1 })
	release()
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := e.Count(dockertest.Inspect); n > 25 {
		t.Errorf("%d inspects for 50 callers, want few", n)
	}
}

// What a confirmation finds out is known to everybody at once.
func TestConfirmTeaches(t *testing.T) {
	e := dockertest.New(t)
	id := e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, nil)
	w.first()
	e.Lose(func(string, string) bool { return true })
	e.Stop(id)
	if _, err := w.d.Confirm(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.state("web", spec.Exited)
	e.Remove(id)
	if _, err := w.d.Confirm(t.Context(), id); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	w.state("web", spec.Gone)
}

func TestMissingSocketSaysWhatToMount(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "docker.sock")
	w := run(t, nil, func(c *Config) { c.Host = "unix://" + sock; impatient(c) })
	eventually(t, "five tries", func() bool { return w.d.Status().Calls["ping"] >= 5 })
	if got, want := w.d.Status().LastError, "mount it: -v "+sock+":"+sock+":ro"; !strings.Contains(got, want) {
		t.Errorf("status says %q, want %q in it", got, want)
	}
	if n := strings.Count(w.logs.String(), "engine unreachable"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, w.logs)
	}
}

func TestRefusedSocketNamesItsGroup(t *testing.T) {
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	if err := os.WriteFile(sock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gid := os.Getgid()
	if os.Getuid() == 0 { // root may give files away
		gid = 4711
		if err := os.Chown(sock, -1, gid); err != nil {
			t.Fatal(err)
		}
	}
	var refused error = &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	d := &dialer{socket: sock}
	d.last.Store(&refused)
	got := explain(d, errors.New("whatever the client says")).Error()
	for _, want := range []string{"permission denied", sock, fmt.Sprintf("group %d", gid), fmt.Sprintf(`group_add: ["%d"]`, gid)} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Host: "/var/run/docker.sock"}, "want unix:///path or tcp://host:port"},
		{Config{Host: "ssh://host"}, "ssh is not supported"},
		{Config{Host: "tcp://host"}, "missing port"},
		{Config{Host: "tcp://host:2376", Cert: "c.pem"}, "go together"},
		{Config{Host: "tcp://host:2376", CA: "/no/ca.pem"}, "ca.pem"},
	} {
		if _, err := New(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want %q in it", tt.c, err, tt.want)
		}
	}
}
