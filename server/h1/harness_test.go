package h1

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = conntest.Patience

// link says how connections look to the engine.
type link string

const (
	byCallback link = "callback" // as they are: on Linux they are served in a callback
	byMethods  link = "methods"  // by their methods alone, as elsewhere
)

// bare has the methods of net.Conn and no others.
type bare struct{ net.Conn }

// start makes an engine that serves h until the test ends.
func start(t testing.TB, h http.HandlerFunc, change ...func(*Config)) *Engine {
	t.Helper()
	cfg := Config{Handler: h, Poison: true, ErrorLog: func(line string) { t.Logf("engine: %s", line) }}
	for _, f := range change {
		f(&cfg)
	}
	e := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shut down at the end of the test: %v", err)
		}
	})
	return e
}

// dial opens a connection to e.
func dial(t testing.TB, e *Engine, how link) *conntest.Client {
	t.Helper()
	near, far := conntest.Pipe(t)
	if how == byMethods {
		e.ServeConn(bare{far})
	} else {
		e.ServeConn(far)
	}
	return conntest.NewClient(t, near)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// each runs f for both kinds of connections.
func each(t *testing.T, f func(t *testing.T, how link)) {
	for _, how := range []link{byCallback, byMethods} {
		t.Run(string(how), func(t *testing.T) { f(t, how) })
	}
}

// within fails the test unless c is closed, or gives something, in time.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// waits reports whether the newest connection waits for the rest of a head or
// body.
func (e *Engine) waits() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first != nil && (phaseOf(e.first.state.Load()) == heading || e.first.bodyDue.Load() > 0)
}
