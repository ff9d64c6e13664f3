package main

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/servertest"
)

// THREATS 27: clients that trickle their heads or bodies, or do not read, are
// cut; and beside 2,000 of them a good one is served as ever.
func TestThreat27SlowClientsAreCutAndHarmNobody(t *testing.T) {
	t.Parallel()
	const big = 16 << 20
	p, _ := site(t, func(c *appConn, r *seen) bool {
		if r.target() != "/big" {
			return c.ok("fine")
		}
		c.say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", big)
		c.pad(big)
		return false
	}, "--log-level", "warn", "--head-timeout", "15s", "--idle-timeout", "15s", "--min-body-rate", "1g", "--write-stall", "10s")
	p.client.CloseIdleConnections()

	slow := map[string][]net.Conn{}
	for name, kind := range map[string]struct {
		n    int
		text string
	}{
		"nothing": {500, ""},
		"head":    {950, "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: "},
		"body":    {500, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\nbegin"},
		"reading": {50, request("GET", "app.test", "/big")}, // each fills the buffers of four sockets
	} {
		for range kind.n {
			c := p.dial()
			io.WriteString(c, kind.text)
			slow[name] = append(slow[name], c)
		}
	}
	eventually(t, "2,000 slow clients were let in", func() bool { return p.server.Stats().Accepted >= 2000 })
	for range 20 {
		if r := p.get("app.test", "/"); r.status != 200 || r.body != "fine" {
			t.Fatalf("a good client beside 2,000 slow ones got %v", r)
		}
	}
	if servertest.Std() {
		return // it cuts them as well, each by a timer of its own: see server/listen_test.go
	}
	var ends sync.WaitGroup
	for name, conns := range slow {
		for _, c := range conns {
			ends.Go(func() {
				c.SetReadDeadline(time.Now().Add(4 * patience))
				if name == "reading" {
					return // what is cut is what it does not read
				}
				if _, err := io.Copy(io.Discard, c); isTimeout(err) {
					t.Errorf("%s: still open", name)
				}
			})
		}
	}
	ends.Wait()
	eventually(t, "nobody is left", func() bool { return p.server.Stats().Conns == 0 })
	st, own := p.server.Stats(), p.engines.stats()["http"]
	if own.HeadTimeouts < 1450 || own.SlowBodies < 500 || st.Stalled < 50 {
		t.Errorf("counted %+v, %+v", own, st)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
