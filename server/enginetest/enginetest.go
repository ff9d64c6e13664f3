// Package enginetest is the contract of server.Engine for HTTP/1.1: bytes that
// go in, and what must come out. The engine of net/http is the reference.
//
// Handlers of the suite keep nothing of a request beyond their return, so it
// holds engines that use requests, headers and buffers again.
package enginetest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
	"github.com/fairlead/fairlead/server"
)

// patience is how long an answer may take before a test fails: long, for a
// machine that is busy, and never waited for when all is well.
const patience = conntest.Patience

// A Config is what the suite asks of an engine. What is zero is the engine's
// choice, and more than a test needs.
type Config struct {
	Handler      http.Handler
	HeadTimeout  time.Duration // for the head of a request, from its first byte or from accept on
	IdleTimeout  time.Duration // between requests
	MaxHeadBytes int           // of a request line and its fields; the engine may let through 4 KiB more
	// MinBodyRate is how slowly, in bytes a second, the body of a request may
	// come for longer than BodyGrace; less than 0 turns it off.
	MinBodyRate int
	BodyGrace   time.Duration
	ErrorLog    func(line string) // never nil; called from any goroutine
}

// Make makes an engine. It is called for each test, from several goroutines.
type Make func(Config) server.Engine

// Std makes the reference.
func Std(c Config) server.Engine {
	return server.NewStd(server.StdConfig{
		Handler: c.Handler, HeadTimeout: c.HeadTimeout, IdleTimeout: c.IdleTimeout, MaxHeadBytes: c.MaxHeadBytes,
		MinBodyRate: c.MinBodyRate, BodyGrace: c.BodyGrace, ErrorLog: c.ErrorLog,
	})
}

var _ Make = Std

// Run runs the suite over plain connections and over TLS. lax names what the
// engine is known to let through or to lack, and something behind it has to make
// up for. Bytes that it names must still be let through; behaviours are left
// out. A name that nothing has is an error.
func Run(t *testing.T, mk Make, lax ...string) {
	for _, name := range lax {
		if !known(name) {
			t.Errorf("lax names %q, and there is no such case", name)
		}
	}
	for _, link := range []string{"tcp", "tls"} {
		t.Run(link, func(t *testing.T) {
			tr := &trial{T: t, mk: mk, tls: link == "tls"}
			tr.run("bytes", func(t *trial) { runCases(t, lax) })
			for _, b := range without(slowBehaviours, lax) {
				tr.run(b.name, b.run)
			}
			for _, b := range without(behaviours, lax) {
				tr.run(b.name, func(t *trial) { t.Parallel(); b.run(t) })
			}
		})
	}
}

// without returns those of all that names does not name.
func without(all []behaviour, names []string) []behaviour {
	return slices.DeleteFunc(slices.Clone(all), func(b behaviour) bool { return slices.Contains(names, b.name) })
}

// known reports whether name is a case or a behaviour.
func known(name string) bool {
	return slices.ContainsFunc(requests, func(rq request) bool { return rq.name == name }) ||
		slices.ContainsFunc(slices.Concat(behaviours, slowBehaviours), func(b behaviour) bool { return b.name == name })
}

// A trial is one test of one engine.
type trial struct {
	*testing.T
	mk  Make
	tls bool // clients speak TLS
	log journal
}

func (t *trial) run(name string, f func(*trial)) {
	t.T.Run(name, func(inner *testing.T) { f(&trial{T: inner, mk: t.mk, tls: t.tls}) })
}

// engine makes an engine that serves h until the test ends, configured by those
// who change it.
func (t *trial) engine(h http.HandlerFunc, change ...func(*Config)) server.Engine {
	t.Helper()
	c := Config{Handler: h, ErrorLog: t.log.add}
	for _, f := range change {
		f(&c)
	}
	e := t.mk(c)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shut down at the end of the test: %v", err)
		}
		if t.Failed() {
			t.Logf("the engine's log: %q", t.log.text())
		}
	})
	return e
}

// A journal is what an engine had logged.
type journal struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

func newGate() chan struct{} { return make(chan struct{}) }
