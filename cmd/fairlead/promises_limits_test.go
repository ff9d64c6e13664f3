package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// Promise 6: the same input gives the same table, whatever order it came in.
func TestPromise6TheSameInputGivesTheSameTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.AddNetwork(dockertest.Network{Name: "zeta"})
	w.engine.AddNetwork(dockertest.Network{Name: "alpha"})
	file := w.dir + "/routes.yaml"
	write(t, file, "b: {host: b.test, url: http://127.0.0.1:1}\na: {host: a.test, url: http://127.0.0.1:1}\n")
	w.listen("any", "0.0.0.0", nil)
	for i := range 12 {
		for j := range 3 {
			c := inProject(labelled(fmt.Sprintf("c%d-%d", i, j), fmt.Sprintf("host=app%d.test, ~re%d\\..*, *.w%d.test", i%7, i, i%4), "path=/b, /a", "nonsense=1", "striip=1"), fmt.Sprint("project", i%5), fmt.Sprint("service", i))
			c.Networks = []string{"zeta", "apps", "alpha"}
			c.Labels["fairlead.network"] = "apps"
			c.Labels["fairlead.route.z.path"], c.Labels["fairlead.route.a.path"] = "/z", "/a2"
			w.engine.Run(w.fill(c))
		}
	}
	args := []string{"--routes", file}
	first := w.start(args...)
	data := first.settings.dataDir
	first.settle()
	first.stop()
	ledger, err := os.ReadFile(data + "/claims.json")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for i := range 3 {
		dir := fmt.Sprintf("%s/copy%d", w.dir, i)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/claims.json", string(ledger))
		p := w.start(append(args, "--data-dir", dir)...)
		p.settle()
		out, err := command("routes", "--json", "--admin", p.admin.Socket)
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, withoutTimes(out))
	}
	for i, got := range tables[1:] {
		if got != tables[0] {
			t.Errorf("process %d shows another table:\n%s", i+1, firstDifference(tables[0], got))
		}
	}
	if !strings.Contains(tables[0], "app6.test") {
		t.Errorf("the table lacks app6.test: %s", tables[0])
	}
}

// settle waits until nothing starts any more.
func (p *proxy) settle() {
	p.Helper()
	eventually(p, "all endpoints are ready", func() bool {
		n := 0
		for _, r := range p.view().Routes {
			for _, e := range r.Endpoints {
				if n++; e.State != "ready" {
					return false
				}
			}
		}
		return n > 0
	})
}

func withoutTimes(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"since"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			return fmt.Sprintf("line %d: %q\n   and: %q", i, x[i], append(y, "")[min(i, len(y))])
		}
	}
	return "it is longer"
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Promise 8: connections are bounded, and counted.
func TestPromise8ConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for name, flag := range map[string]string{"per client": "--max-conns-per-ip", "in all": "--max-client-conns"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := site(t, nil, flag, "5")
			p.client.CloseIdleConnections()
			eventually(t, "no connection is left", func() bool { return p.server.Stats().Conns == 0 })
			var open []net.Conn
			for range 5 {
				open = append(open, p.dial())
			}
			eventually(t, "five are let in", func() bool { return p.server.Stats().Conns == 5 })
			c := p.dial()
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the sixth connection got an answer")
			}
			st := p.server.Stats()
			if st.RefusedPerIP+st.RefusedTotal == 0 {
				t.Errorf("stats = %+v, want the refusal counted", st)
			}
			open[0].Close()
			eventually(t, "there is room again", func() bool { s, _, err := p.fetch("app.test", "/"); return err == nil && s == 200 })
		})
	}
}

// Promise 8: a client that is slow to say what it wants does not hold a
// connection, and harms nobody.
func TestPromise8SlowHeadsAreCut(t *testing.T) {
	t.Parallel()
	p, _ := site(t, nil, "--head-timeout", "300ms", "--idle-timeout", "300ms")
	silent, half, idle := p.dial(), p.dial(), p.dial()
	io.WriteString(half, "GET / HTTP/1.1\r\nHost: app")
	io.WriteString(idle, request("GET", "app.test", "/"))
	for name, c := range map[string]net.Conn{"silent": silent, "half a head": half, "idle": idle} {
		began := time.Now()
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: still open after %s", name, time.Since(began))
		}
	}
	if r := p.get("app.test", "/x"); r.body != "web /x" {
		t.Errorf("a good client got %v", r)
	}
}

// Promise 9: what is forwarded is what was understood.
func TestPromise9WhatIsForwardedIsWhatWasUnderstood(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, raw := range map[string]string{
		"two lengths":       "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"signed length":     "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: +3\r\n\r\nabc",
		"list of lengths":   "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3, 4\r\n\r\nabcd",
		"unknown coding":    "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"coding twice":      "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"obsolete fold":     "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: 1\r\n\tfolded\r\n\r\n",
		"NUL in value":      "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: a\x00b\r\n\r\n",
		"version":           "GET / HTTP/3.7\r\nHost: app.test\r\n\r\n",
		"no version":        "GET /\r\nHost: app.test\r\n\r\n",
		"method with colon": "G:T / HTTP/1.1\r\nHost: app.test\r\n\r\n",
	} {
		a.forget()
		r := p.raw(raw)
		if r.status/100 == 2 && name == "obsolete fold" {
			if got := a.last(t).field("X-A"); len(got) == 1 && got[0] == "1 folded" {
				continue // RFC 9112, 5.2 lets a server replace it by a blank
			}
		}
		if r.status/100 != 4 && r.status/100 != 5 || !r.closed || len(a.requests()) > 0 {
			t.Errorf("%s: %v and %d requests at the app, want a refusal, close and none", name, r, len(a.requests()))
		}
	}
	a.forget()
	r := p.raw("POST /up HTTP/1.1\r\nHost: app.test\r\nTE: trailers, deflate\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic eA==\r\nX-Keep: é\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
	s := a.last(t)
	if r.status != 200 || s.body != "hello world" || !slices.Equal(s.field("TE"), []string{"trailers"}) || !slices.Equal(s.field("X-Keep"), []string{"é"}) {
		t.Errorf("got %v; the app got\n%s\n%q, want body and end-to-end fields as they were", r, s.head(), s.body)
	}
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authorization"} {
		if got := s.field(name); len(got) > 0 {
			t.Errorf("the app got %s: %q", name, got)
		}
	}
}

// A body sent in full is an answer in full: lengths, chunks and early ends.
func TestPromise9AnswersEndWhereTheAppEndedThem(t *testing.T) {
	t.Parallel()
	p, _ := site(t, func(c *appConn, r *seen) bool {
		switch r.target() {
		case "/short":
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
			return false
		case "/chunks-cut":
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			return false
		case "/close":
			c.say("HTTP/1.1 200 OK\r\n\r\nuntil the end")
			return false
		case "/nonsense":
			c.say("SSH-2.0-OpenSSH_9.2\r\n")
			return false
		}
		return c.ok("web")
	})
	for target, want := range map[string]string{"/short": "cut", "/chunks-cut": "cut", "/close": "until the end"} {
		if r := p.get("app.test", target); r.status == 200 && !strings.Contains(r.body, want) || r.status == 0 && want != "cut" {
			t.Errorf("%s: %v, want %s", target, r, want)
		}
	}
	if r := p.get("app.test", "/nonsense"); r.status != http.StatusBadGateway || r.code() != "bad-answer" {
		t.Errorf("no HTTP at all: %v, want 502 bad-answer", r)
	}
}
