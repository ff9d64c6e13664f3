package server

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// idlers is an engine whose connections are idle from the first byte on, which
// it sends back.
type idlers struct {
	mu   sync.Mutex
	idle []net.Conn // guarded by mu; oldest first
	gone sync.WaitGroup
}

func (e *idlers) ServeConn(c net.Conn) {
	e.gone.Go(func() {
		defer c.Close()
		b := make([]byte, 1)
		if _, err := c.Read(b); err != nil {
			return
		}
		e.mu.Lock()
		e.idle = append(e.idle, c)
		e.mu.Unlock()
		c.Write(b)
		c.Read(b)
	})
}

func (e *idlers) Trim(n int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n = min(n, len(e.idle))
	for _, c := range e.idle[:n] {
		c.SetReadDeadline(time.Unix(1, 0))
	}
	e.idle = e.idle[n:]
	return n
}

func (e *idlers) Shutdown(context.Context) error {
	e.Trim(math.MaxInt)
	e.gone.Wait()
	return nil
}

func (*idlers) Close() error { return nil }

// alive reports whether one byte comes back.
func alive(c net.Conn) bool {
	b := []byte("x")
	c.Write(b)
	_, err := io.ReadFull(c, b)
	return err == nil
}

// closed waits for the other side to end c.
func closed(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	return err == nil || !strings.Contains(err.Error(), "timeout")
}

func TestNewcomerGetsThePlaceOfWhoIsIdleLongest(t *testing.T) {
	e := &idlers{}
	s := &Server{Limits: Limits{Conns: 2}, Engine: func(EntryPoint) Engine { return e }}
	r := start(t, s, StdConfig{}, EntryPoint{})
	first, second := r.dial(t), r.dial(t)
	if !alive(first) || !alive(second) {
		t.Fatal("connections within the limit were refused")
	}
	third := r.dial(t)
	if !alive(third) || !closed(first) {
		t.Error("the newcomer was refused, or the oldest was not given up for it")
	}
	until(t, func() bool { return r.Stats().Conns == 2 })
	if st := r.Stats(); st.GivenUp != 1 || st.RefusedTotal != 0 || st.Accepted != 3 {
		t.Errorf("stats %+v, want one given up and nobody refused", st)
	}
	e.mu.Lock()
	e.idle = nil // both have something to do
	e.mu.Unlock()
	if fourth := r.dial(t); alive(fourth) {
		t.Error("a newcomer was let in where nobody is idle")
	}
	if st := r.Stats(); st.GivenUp != 1 || st.RefusedTotal != 1 {
		t.Errorf("stats %+v, want the newcomer refused", st)
	}
	second.Close()
	third.Close()
}

// Who has too many connections already does not cost others theirs.
func TestNobodyIsGivenUpForAClientAtItsOwnLimit(t *testing.T) {
	e := &idlers{}
	s := &Server{Limits: Limits{Conns: 1, ConnsPerIP: 1}, Engine: func(EntryPoint) Engine { return e }}
	r := start(t, s, StdConfig{}, EntryPoint{})
	if !alive(r.dial(t)) || alive(r.dial(t)) {
		t.Fatal("want the first connection and no second")
	}
	if st := r.Stats(); st.GivenUp != 0 || st.RefusedPerIP != 1 || st.Conns != 1 {
		t.Errorf("stats %+v, want the second refused", st)
	}
}

// trims is an engine that notes how many connections it was asked for.
type trims struct {
	Hangup
	asked []int
}

func (t *trims) Trim(n int) int { t.asked = append(t.asked, n); return n }

func TestIdleConnectionsAreGivenUpWhileMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &trims{}
		var said []string
		s := &Server{engines: []Engine{Hangup{}, e}, Log: func(msg string, err error) { said = append(said, msg+": "+err.Error()) }}
		s.guests.open = map[*guest]struct{}{}
		for range 80 {
			s.guests.open[&guest{}] = struct{}{}
		}
		feed := make(chan memory)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.relieve(ctx, func() memory { return <-feed }); close(ended) }()
		collect := func(cycle, percent uint64) {
			feed <- memory{needed: percent << 20, limit: 100 << 20, cycle: cycle}
			synctest.Wait()
		}
		collect(1, 79)
		if len(e.asked) != 0 || len(said) != 0 {
			t.Errorf("at 79 %%: asked %v, said %q, want nothing", e.asked, said)
		}
		collect(2, 81)
		collect(2, 81)
		if len(e.asked) != 1 || e.asked[0] != 11 {
			t.Errorf("after one collection at 81 %%: asked %v, want 11 of 80, once", e.asked)
		}
		collect(3, 90)
		collect(4, 50)
		if len(e.asked) != 2 {
			t.Errorf("after one more, and one at 50 %%: asked %v, want twice", e.asked)
		}
		if got := s.Stats().GivenUp; got != 22 {
			t.Errorf("%d counted, want 22", got)
		}
		if len(said) != 1 || !strings.Contains(said[0], "81 of 100 MiB are needed, 11 idle") {
			t.Errorf("said %q, want it once, with figures", said)
		}
		collect(5, 99)
		if len(said) != 2 {
			t.Errorf("said %q, want the second shortage, too", said)
		}
		cancel()
		<-ended
	})
}

func TestMemoryIsWhatTheCollectorCannotFree(t *testing.T) {
	const size = 64 << 20
	runtime.GC()
	before := readMemory()
	held := make([]byte, size)
	runtime.GC()
	with := readMemory()
	runtime.KeepAlive(held)
	runtime.GC()
	after := readMemory()
	if grown := int64(with.needed - before.needed); grown < size*9/10 || grown > size*11/10 {
		t.Errorf("64 MiB that are alive count as %d", grown)
	}
	if left := int64(after.needed - before.needed); left > size/10 {
		t.Errorf("%d bytes of them count when they are garbage", left)
	}
	if with.cycle <= before.cycle || after.cycle <= with.cycle {
		t.Errorf("collections %d, %d, %d, want them counted", before.cycle, with.cycle, after.cycle)
	}
	if want := debug.SetMemoryLimit(-1); before.limit != uint64(want) {
		t.Errorf("limit %d, want %d", before.limit, want)
	}
}

func TestServerUnderALimitOfMemoryGivesUpIdleConnections(t *testing.T) {
	runtime.GC()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(readMemory().needed)))
	e := &idlers{}
	r := start(t, &Server{Engine: func(EntryPoint) Engine { return e }}, StdConfig{}, EntryPoint{})
	c := r.dial(t)
	if !alive(c) {
		t.Fatal("the connection was not served")
	}
	if !closed(c) {
		t.Error("the idle connection is still open")
	}
	if st := r.Stats(); st.GivenUp == 0 {
		t.Errorf("stats %+v, want it counted", st)
	}
}
