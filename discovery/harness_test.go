package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/internal/logtest"
	"github.com/fairlead/fairlead/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a condition may take to come true on a busy machine.
const patience = 10 * time.Second

// A watch is a running Docker and all it published.
type watch struct {
	t    *testing.T
	d    *Docker
	logs *logtest.Buffer

	mu      sync.Mutex // guards the rest
	snaps   []spec.Snapshot
	changed chan struct{}
}

// run watches e until the test ends. By default no list comes to the rescue of
// what events should have told.
func run(t *testing.T, e *dockertest.Engine, change func(*Config)) *watch {
	t.Helper()
	w := &watch{t: t, logs: &logtest.Buffer{}, changed: make(chan struct{})}
	c := Config{
		Log:        zerolog.New(w.logs).Level(zerolog.DebugLevel),
		SelfID:     func() string { return "" },
		LocalAddrs: func() []netip.Addr { return nil },
		Timing:     Timing{Reconcile: time.Hour, Confirm: 2 * time.Second},
	}
	if e != nil {
		c.Host = e.Host()
	}
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w.d = d
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx, w.publish) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil when its context ends", err)
		}
	})
	return w
}

func (w *watch) publish(s spec.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.snaps = append(w.snaps, s)
	close(w.changed)
	w.changed = make(chan struct{})
}

// all is everything published so far.
func (w *watch) all() []spec.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]spec.Snapshot(nil), w.snaps...)
}

// until waits for a snapshot for which ok is true and returns it.
func (w *watch) until(what string, ok func(spec.Snapshot) bool) spec.Snapshot {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		changed := w.changed
		var last spec.Snapshot
		have := len(w.snaps) > 0
		if have {
			last = w.snaps[len(w.snaps)-1]
		}
		w.mu.Unlock()
		if have && ok(last) {
			return last
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("no snapshot with %s; the last is:\n%s\nlog:\n%s", what, dump(last), w.logs)
		}
	}
}

// state waits until a container is in a state.
func (w *watch) state(name string, want spec.State) *spec.Workload {
	w.t.Helper()
	s := w.until(fmt.Sprintf("%s %s", name, want), func(s spec.Snapshot) bool {
		x := find(s, name)
		return x != nil && x.State == want
	})
	return find(s, name)
}

// first waits for the first snapshot.
func (w *watch) first() spec.Snapshot {
	w.t.Helper()
	return w.until("anything", func(spec.Snapshot) bool { return true })
}

// eventually waits for something that is not published.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

func find(s spec.Snapshot, name string) *spec.Workload {
	for _, x := range s.Workloads {
		if x.Name == name {
			return x
		}
	}
	return nil
}

func dump(s spec.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "stale=%q self=%+v\n", s.Stale, s.Self)
	for _, x := range s.Workloads {
		fmt.Fprintf(&b, "  %.8s %s %s %s %q %v\n", x.ID, x.Name, x.State, x.Health, x.Reason, x.Networks)
	}
	return b.String()
}

// addrs are a workload's addresses in words.
func addrs(x *spec.Workload) string {
	var out []string
	for _, a := range x.Networks {
		out = append(out, a.Network+"="+a.IPv4.String())
	}
	return strings.Join(out, " ")
}

// onlyGETs fails the test if anything but GET reached the engine.
func onlyGETs(t *testing.T, e *dockertest.Engine) {
	t.Helper()
	for c, n := range e.Calls() {
		if c.Method != "GET" {
			t.Errorf("%d calls %s %s, want GET only", n, c.Method, c.Endpoint)
		}
	}
}
