package enginetest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// slowBehaviours are those that wait for clocks. They are not run beside others.
var slowBehaviours = []behaviour{
	{"Hijack ends the engine's timeouts", hijackTimeouts},
	{"write deadlines reach the connection", writeDeadline},
	{"read deadlines end with their request", deadlineEnds},
	{"heads that do not come are not waited for (THREATS 26, 27)", slowHead},
	{"idle connections are closed", idle},
	{"timeouts end with what they are for", timeoutsEnd},
	{"bodies that come too slowly are cut (THREATS 27)", slowBody},
	{"bodies that come slowly enough are not cut", patientBody},
	{"answers wait for clients that read slowly (THREATS 30)", slowReader},
	{"bodies wait for handlers that read slowly (THREATS 30)", slowHandler},
}

// shortTime is a timeout that tests wait for.
const shortTime = 60 * time.Millisecond

// short is for tests that show that no timeout of heads is left running.
func short(c *Config) { c.HeadTimeout, c.IdleTimeout = shortTime, shortTime }

// drip sends s byte by byte, again and again, faster than any timeout, until
// nobody takes it.
func (c *client) drip(s string) <-chan struct{} {
	return beside(func() {
		if s == "" {
			return
		}
		tick := time.NewTicker(shortTime / 10)
		defer tick.Stop()
		for i := 0; ; i = (i + 1) % len(s) {
			if _, err := io.WriteString(c, s[i:i+1]); err != nil {
				return
			}
			<-tick.C
		}
	})
}

// slowHead has clients that stop, and clients that never come to an end.
func slowHead(t *trial) {
	var calls atomic.Int32
	e := t.engine(func(w http.ResponseWriter, r *http.Request) { calls.Add(1) }, func(c *Config) { c.HeadTimeout = shortTime })
	for _, tt := range []struct {
		name, begin, drip string
		want              string
	}{
		{"nothing", "", "", ""},
		{"one byte", "G", "", ""},
		{"half a head", "GET / HTTP/1.1\r\nHost: x\r\n", "", ""},
		{"half a head behind a request", get("") + "GET / HTTP/1.1\r\nHost: x\r\n", "", "200"},
		{"a target without end", "GET /", "a", ""},
		{"fields without end", "GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", ""},
		{"fields without end behind a request", get("") + "GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", "200"},
	} {
		t.run(tt.name, func(t *trial) {
			c := t.begin(e, tt.begin)
			dripped := c.drip(tt.drip)
			got := codes(c.Rest())
			if why := strings.TrimSpace(strings.TrimPrefix(got, tt.want)); !strings.HasPrefix(got, tt.want) || why != "" && why != "400" && why != "408" {
				t.Errorf("got %q, want %q, and why it was closed at most", got, tt.want)
			}
			c.Close()
			<-dripped
			if got, want := int(calls.Swap(0)), len(strings.Fields(tt.want)); got != want {
				t.Errorf("%d requests were served, want %d", got, want)
			}
		})
	}
}

// idle: nothing is sent to idle clients, who would take it for the answer to
// the request they are about to send.
func idle(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {}, func(c *Config) { c.IdleTimeout = shortTime })
	for _, in := range []string{get(""), post("Content-Length: 3\r\n", "abc")} {
		c := t.begin(e, strings.Repeat(in, 3))
		raw := c.Rest()
		if got := codes(raw); got != "200 200 200" || !strings.HasSuffix(raw, "\r\n\r\n") {
			t.Errorf("got %q", raw)
		}
	}
}

// timeoutsEnd has handlers and bodies that take longer than any timeout of heads
// and idle connections.
func timeoutsEnd(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 1)
		io.ReadFull(r.Body, first)
		http.NewResponseController(w).EnableFullDuplex()
		http.NewResponseController(w).Flush()
		<-time.After(3 * shortTime)
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Errorf("body: %v", err)
		}
		if r.Context().Err() != nil {
			t.Errorf("the context has ended: %v", r.Context().Err())
		}
	}, short)
	c := t.begin(e, post("Content-Length: 5\r\n", "h"))
	c.Line()
	for c.Line() != "" {
	}
	<-time.After(3 * shortTime)
	c.Send("ello")
	if got := c.Line(); got != "4" {
		t.Errorf("got %q", got)
	}
	if got := c.Line(); got != "ello" {
		t.Errorf("got %q", got)
	}
}

// slowBody has clients that stop in a body, and clients that send it byte by
// byte below the rate.
func slowBody(t *trial) {
	for _, framing := range []struct{ fields, begin, drip string }{
		{"Content-Length: 1000000\r\n", "abc", ""},
		{"Content-Length: 1000000\r\n", "abc", "x"},
		{"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", ""},
		{"Transfer-Encoding: chunked\r\n", "fffff\r\nabc", "x"},
		{"Transfer-Encoding: chunked\r\n", "", "1\r\nx\r\n"},
		{"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-A: ", "x"},
		{"Expect: 100-continue\r\nContent-Length: 5\r\n", "", ""},
	} {
		ends := make(chan error, 1)
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ends <- err
			w.WriteHeader(http.StatusRequestTimeout)
		}, func(c *Config) { c.MinBodyRate, c.BodyGrace = 100_000, shortTime })
		c.Send(post(framing.fields, framing.begin))
		dripped := c.drip(framing.drip)
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%+q: the handler read to %v", framing, err)
		}
		if got := strings.TrimPrefix(codes(c.Rest()), "100 "); got != "408" && got != "" {
			t.Errorf("%+q: got %q", framing, got)
		}
		c.Close()
		<-dripped
	}
}

// patientBody has a handler that rests for longer than the grace, and a client
// that takes longer than that and earns it by what it sends.
func patientBody(t *trial) {
	for _, tt := range []struct {
		name        string
		grace, rest time.Duration // of the engine, of the handler
		at          int           // how much of the body is sent at once
	}{
		{"the handler rests", shortTime, 3 * shortTime, 60},
		{"the client earns", time.Second, 0, 0},
	} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			<-time.After(tt.rest)
			if n, err := io.Copy(io.Discard, r.Body); n != 60 || err != nil {
				t.Errorf("%s: read %d, %v", tt.name, n, err)
			}
		}, func(c *Config) { c.MinBodyRate, c.BodyGrace = 10, tt.grace })
		c.Send(post("Content-Length: 60\r\n", strings.Repeat("x", tt.at)))
		tick := time.NewTicker(20 * time.Millisecond)
		for range 60 - tt.at {
			<-tick.C
			c.Send("x")
		}
		tick.Stop()
		if res, _ := c.Answer("POST"); res.StatusCode != 200 {
			t.Errorf("%s: got %d", tt.name, res.StatusCode)
		}
	}
}

// A progress is how far a transfer has come.
type progress struct{ atomic.Int64 }

// stall waits until there is no progress any more and returns where it stands.
func (p *progress) stall() int64 {
	for at := p.Load(); ; {
		<-time.After(shortTime)
		next := p.Load()
		if next == at && at > 0 {
			return at
		}
		at = next
	}
}

// Both ends' socket buffers hold some of a transfer; an engine may hold a little.
const (
	transfer = 64 << 20
	inFlight = 24 << 20
)

func slowReader(t *trial) {
	var written progress
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		for piece := pattern(32 << 10); written.Load() < transfer; {
			n, err := w.Write(piece)
			written.Add(int64(n))
			if err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
	})
	c.Send(get(""))
	if got := written.stall(); got > inFlight {
		t.Errorf("%d bytes were written to a client that does not read", got)
	}
	res, err := http.ReadResponse(c.R, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != transfer || err != nil {
		t.Errorf("got %d bytes, %v, want %d", n, err, transfer)
	}
}

func slowHandler(t *trial) {
	release := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		<-release
		if n, err := io.Copy(io.Discard, r.Body); n != transfer || err != nil {
			t.Errorf("read %d bytes, %v, want %d", n, err, transfer)
		}
	}, func(c *Config) { c.MinBodyRate = -1 })
	var sent progress
	done := beside(func() {
		io.WriteString(c, post("Content-Length: 67108864\r\n", ""))
		for piece := pattern(32 << 10); sent.Load() < transfer; {
			n, err := c.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	got := sent.stall()
	close(release)
	if got > inFlight {
		t.Errorf("%d bytes were taken that no handler has read", got)
	}
	if res, _ := c.Answer("POST"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
	<-done
}
