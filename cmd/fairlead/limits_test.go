package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/servertest"
	"github.com/fairlead/fairlead/server"
)

// conns returns the counters of connections as a command is told them.
func (p *proxy) conns() server.Stats {
	p.Helper()
	var v statusView
	if err := p.admin.Get(context.Background(), "status", nil, &v); err != nil {
		p.Fatalf("status: %v", err)
	}
	return v.Conns
}

func TestFieldsOfARequestAreLimited(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil, "--max-fields", "12")
	few, many := make([]string, 11), make([]string, 12) // besides Host
	for i := range many {
		many[i] = "X-A: 1"
	}
	copy(few, many)
	if r := p.get("app.test", "/", few...); r.status != 200 {
		t.Errorf("12 fields: %v, want 200", r)
	}
	a.forget()
	if r := p.get("app.test", "/", many...); r.status != 431 || !r.closed || len(a.requests()) != 0 {
		t.Errorf("13 fields: %v and %d requests at the app, want 431, close and none", r, len(a.requests()))
	}
}

// THREATS 27: a client that does not read its answer.
func TestClientThatDoesNotReadIsCut(t *testing.T) {
	t.Parallel()
	p, _ := site(t, func(c *appConn, r *seen) bool {
		if r.target() != "/big" {
			return c.ok("web")
		}
		c.say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 64<<20)
		c.pad(64 << 20)
		return false
	}, "--write-stall", "300ms")
	io.WriteString(p.dial(), request("GET", "app.test", "/big"))
	eventually(t, "the client that does not read is cut, and counted", func() bool { return p.conns().Stalled == 1 })
	if r := p.get("app.test", "/"); r.status != 200 {
		t.Errorf("a good client got %v", r)
	}
}

// THREATS 26: handshakes that stall.
func TestHandshakesThatStallAreCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start("--https", withTLS, "--handshake-timeout", "300ms")
	before := p.conns() // the harness has looked whether the port takes connections
	for _, sent := range []string{"", "\x16\x03\x01\x02\x00\x01\x00"} {
		c, err := net.Dial("tcp", p.addrs["https"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, sent)
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%q: %v, want it closed", sent, err)
		}
	}
	if got := p.conns().HandshakeTimeouts - before.HandshakeTimeouts; got != 2 {
		t.Errorf("%d handshakes counted as timed out, want 2", got)
	}
}

func TestMemoryLimitIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, p := w.execute([]string{"GOMEMLIMIT=512MiB"})
	if !lineWith(x.stderr(), "memory limit set", `"bytes":536870912`) {
		t.Errorf("with GOMEMLIMIT=512MiB the log does not say so:\n%s", x.stderr())
	}
	p.await("nobody.test", 404, "")
}

func TestRequestsOfAConnectionAreASetting(t *testing.T) {
	t.Parallel()
	if servertest.Std() {
		return // it is refused with net/http, which has no such limit: TestWrongUsageIsOneLineAndExitCode2
	}
	p, _ := site(t, nil, "--max-requests-per-conn", "3")
	c := p.dial()
	io.WriteString(c, strings.Repeat(request("GET", "app.test", "/"), 5))
	all, err := io.ReadAll(c)
	if got := string(all); err != nil || strings.Count(got, "HTTP/1.1 200 OK") != 3 || strings.Count(got, "Connection: close") != 1 {
		t.Errorf("got %q, %v, want three answers, of which the last says close", all, err)
	}
}
