package h1

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
)

// short is a limit that a test waits for.
const short = 60 * time.Millisecond

func TestLimitsOfTimeAreKept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		send   string // before the client falls silent
		limit  func(*Config)
		want   string // the beginning of what it gets
		counts func(Stats) uint64
	}{
		{"nothing comes", "", func(c *Config) { c.HeadTimeout = short }, "", func(s Stats) uint64 { return s.HeadTimeouts }},
		{"half a head comes", "GET / HTTP/1.1\r\nHo", func(c *Config) { c.HeadTimeout = short }, "", func(s Stats) uint64 { return s.HeadTimeouts }},
		{"half a second head comes", get + "GET /", func(c *Config) { c.HeadTimeout = short }, "HTTP/1.1 200 OK", func(s Stats) uint64 { return s.HeadTimeouts }},
		{"no second request comes", get, func(c *Config) { c.IdleTimeout = short }, "HTTP/1.1 200 OK", func(s Stats) uint64 { return s.IdleTimeouts }},
		{"no body comes", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", func(c *Config) { c.BodyGrace = short }, "HTTP/1.1 408", func(s Stats) uint64 { return s.SlowBodies }},
		{"half a chunk comes", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", func(c *Config) { c.BodyGrace = short }, "HTTP/1.1 408", func(s Stats) uint64 { return s.SlowBodies }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, how link) {
				e := start(t, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); errors.Is(err, os.ErrDeadlineExceeded) {
						w.WriteHeader(http.StatusRequestTimeout)
					} else if err != nil {
						t.Errorf("read the body: %v", err)
					}
				}, tt.limit)
				c := dial(t, e, how)
				began := time.Now()
				c.Send(tt.send)
				got := c.Rest()
				if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if took := time.Since(began); took < short {
					t.Errorf("it was cut after %v, before its time", took)
				}
				if got := e.Stats(); tt.counts(got) != 1 {
					t.Errorf("it was not counted: %+v", got)
				}
			})
		})
	}
}

// A head that comes byte by byte gets no more time for that.
func TestAHeadThatDripsIsCut(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, echo, func(c *Config) { c.HeadTimeout = short })
		c := dial(t, e, how)
		tick := time.NewTicker(short / 10)
		defer tick.Stop()
		for n := 0; e.Stats().HeadTimeouts == 0; n++ {
			if _, err := io.WriteString(c, "X"); err != nil || n > 1000 {
				break
			}
			<-tick.C
		}
		if got := e.Stats().HeadTimeouts; got != 1 {
			t.Errorf("%d heads were cut, want 1", got)
		}
	})
}

// A body that comes fast enough is read for longer than its grace.
func TestABodyThatComesFastEnoughIsNotCut(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, echo, func(c *Config) { c.BodyGrace, c.MinBodyRate = short, 10 })
		c := dial(t, e, how)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n")
		tick := time.NewTicker(short / 3)
		defer tick.Stop()
		for range 12 {
			c.Send("a")
			<-tick.C
		}
		if _, got := c.Answer("GET"); got != `POST / "aaaaaaaaaaaa" <nil>` {
			t.Errorf("got %q", got)
		}
	})
}

// Requests that take their time are nobody's business here.
func TestAHandlerMayTakeItsTime(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		release := make(chan bool)
		e := start(t, func(w http.ResponseWriter, r *http.Request) { <-release }, func(c *Config) {
			c.HeadTimeout, c.IdleTimeout, c.BodyGrace = short, short, short
		})
		c := dial(t, e, how)
		c.Send(get)
		time.AfterFunc(4*short, func() { close(release) })
		if res, _ := c.Answer("GET"); res.StatusCode != http.StatusOK {
			t.Errorf("got %d", res.StatusCode)
		}
	})
}

func TestTrimClosesTheIdlestFirst(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, echo)
		var all []*conntest.Client
		for i, since := range []int64{3, 1, 4, 2} {
			c := dial(t, e, how)
			c.Send(get)
			c.Answer("GET")
			all = append(all, c)
			waitFor(t, "it to be idle", func() bool { return idles(e) == i+1 })
			e.first.state.Store(stamped(idle, since))
		}
		if got := e.Trim(2); got != 2 {
			t.Errorf("Trim closed %d, want 2", got)
		}
		all[1].Rest()
		all[3].Rest()
		for _, i := range []int{0, 2} {
			all[i].Send(get)
			all[i].Answer("GET")
		}
		waitFor(t, "the others to be idle", func() bool { return idles(e) == 2 })
		if got := e.Trim(5); got != 2 {
			t.Errorf("Trim of more than there are closed %d, want 2", got)
		}
		if got := e.Stats().Trimmed; got != 4 {
			t.Errorf("counted %d, want 4", got)
		}
	})
}

// idles returns how many connections are idle.
func idles(e *Engine) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := e.first; c != nil; c = c.next {
		if phaseOf(c.state.Load()) == idle {
			n++
		}
	}
	return n
}

// A connection that asked nothing has a moment for it when the engine leaves.
func TestARequestThatIsOnItsWayAtShutdownIsServed(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, echo)
		c := dial(t, e, how)
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			ended <- e.Shutdown(ctx)
		}()
		waitFor(t, "Shutdown", e.leaving.Load)
		c.Send(get)
		if res, body := c.Answer("GET"); !res.Close || body != `GET / "" <nil>` {
			t.Errorf("got close %v, %q", res.Close, body)
		}
		if err := within(t, ended, "Shutdown"); err != nil {
			t.Error(err)
		}
	})
}

func TestTheJanitorEndsWithTheLastConnection(t *testing.T) {
	e := start(t, echo, func(c *Config) { c.HeadTimeout = short })
	for range 3 {
		c := dial(t, e, byCallback)
		c.Send(get)
		c.Answer("GET")
		c.Close()
		waitFor(t, "the janitor to end", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return !e.sweeps
		})
	}
}
