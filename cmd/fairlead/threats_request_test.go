package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// site is one app under app.test behind a proxy.
func site(t *testing.T, answer func(*appConn, *seen) bool, args ...string) (*proxy, *app) {
	t.Helper()
	w := newWorld(t)
	a, _ := w.run(labelled("web", "host=app.test"), answer)
	p := w.start(args...)
	p.await("app.test", 200, "")
	a.forget()
	return p, a
}

// forget drops what was seen so far.
func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = nil
}

func (a *app) dialled() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dials
}

func TestThreat04EmptyFieldName(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for _, line := range []string{": x", " : x", ":", "\x00: x", "a b: x", "a : x", "(a): x"} {
		r := p.get("app.test", "/", line, "X-Behind: 1")
		if r.status != 400 || !r.closed {
			t.Errorf("field line %q: %v, want 400 and close", line, r)
		}
	}
	if got := a.requests(); len(got) != 0 {
		t.Errorf("the app got %q, want nothing", got[0].head())
	}
}

func TestThreat07FragmentOrControlByteInTarget(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for _, target := range []string{"/a#/admin", "/#", "/a\x01b", "/a\x7f", "/a\tb", "/a?q=\x02", "a", "//host#x", "http://app.test/#a", "*"} {
		if r := p.get("app.test", target); r.status != 400 || !r.closed {
			t.Errorf("target %q: %v, want 400 and close", target, r)
		}
	}
	if got := a.requests(); len(got) != 0 {
		t.Errorf("the app got %q, want nothing", got[0].head())
	}
}

func TestThreat08OnlyWebsocketUpgradesPass(t *testing.T) {
	t.Parallel()
	p, a := site(t, func(c *appConn, r *seen) bool {
		if len(r.field("Upgrade")) > 0 {
			c.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
			return false
		}
		return c.ok("plain")
	})
	for _, fields := range [][]string{
		{"Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		{"Upgrade: H2C", "Connection: upgrade"},
		{"uPGRADE: h2c, websocket", "Connection: Upgrade"},
		{"Upgrade: websocket", "Upgrade: h2c", "Connection: Upgrade"},
		{"Upgrade: websocket, h2c", "Connection: Upgrade"},
		{"Upgrade: TLS/1.2", "Connection: Upgrade"},
		{"Upgrade: h2c"},
	} {
		a.forget()
		if r := p.get("app.test", "/", fields...); r.status != 200 || r.body != "plain" {
			t.Errorf("%q: %v, want 200 as for a request without an upgrade", fields, r)
			continue
		}
		s := a.last(t)
		for _, name := range []string{"Upgrade", "HTTP2-Settings", "Connection"} {
			if got := s.field(name); len(got) > 0 {
				t.Errorf("%q: the app got %s: %q", fields, name, got)
			}
		}
	}
	if r := p.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); r.status/100 != 4 && r.status/100 != 5 && r.status != 0 {
		t.Errorf("a preface of HTTP/2 got %v", r)
	}
}

func TestThreat09ConnectIsRefusedBeforeAnyDial(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	p.client.CloseIdleConnections()
	before := a.dialled()
	for _, target := range []string{"app.test:443", "app.test", "127.0.0.1:22", "/", "http://app.test/"} {
		r := p.raw("CONNECT " + target + " HTTP/1.1\r\nHost: app.test\r\n\r\nGET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if r.status != 405 && r.status != 501 && r.status != 400 || !r.closed {
			t.Errorf("CONNECT %s: %v, want 405 and close", target, r)
		}
	}
	if got := a.dialled(); got != before || len(a.requests()) > 0 {
		t.Errorf("%d dials and %d requests reached the app, want none", got-before, len(a.requests()))
	}
}

func TestThreat10OnlyASwitchIsATunnel(t *testing.T) {
	t.Parallel()
	const extra = "RAW BYTES BEHIND THE ANSWER"
	for _, status := range []int{200, 403, 426} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p, a := site(t, func(c *appConn, r *seen) bool {
				if len(r.field("Upgrade")) == 0 {
					return c.ok("plain")
				}
				c.say("HTTP/1.1 %d X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno%s", status, extra)
				io.Copy(io.Discard, c.r)
				return false
			})
			c := p.dial()
			handshake := request("GET", "app.test", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
			io.WriteString(c, handshake+request("GET", "unknown.test", "/", "Connection: close"))
			all, _ := io.ReadAll(c)
			if got := string(all); strings.Contains(got, extra) || !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d", status)) || !strings.Contains(got, "404 Not Found") {
				t.Errorf("the client got %q, want %d, then the proxy's own 404 for what it sent next", got, status)
			}
			if n := len(a.requests()); n != 1 {
				t.Errorf("the app got %d requests, want the handshake alone", n)
			}
		})
	}
	t.Run("unasked 101", func(t *testing.T) {
		t.Parallel()
		p, _ := site(t, func(c *appConn, r *seen) bool {
			if r.target() == "/" {
				return c.ok("plain")
			}
			c.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n%s", extra)
			return false
		})
		if r := p.get("app.test", "/switch"); r.status != 502 || strings.Contains(r.body, extra) {
			t.Errorf("got %v, want 502 and none of the app's bytes", r)
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		t.Parallel()
		p, _ := site(t, func(c *appConn, r *seen) bool {
			if len(r.field("Upgrade")) == 0 {
				return c.ok("plain")
			}
			c.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n%s", extra)
			return false
		})
		r := p.get("app.test", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
		if r.status != 502 || strings.Contains(r.body, extra) {
			t.Errorf("got %v, want 502 and none of the app's bytes", r)
		}
	})
}

// ourFields are what the proxy tells every app, with what it should be for a
// request to app.test from 127.0.0.1.
var ourFields = map[string]string{
	"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "app.test",
	"X-Forwarded-Port": "80", "X-Real-Ip": "127.0.0.1",
}

func TestThreat11NominatedFieldsOfOursStay(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, want := range ourFields {
		for _, spelt := range []string{strings.ToLower(name), strings.ToUpper(name), name} {
			p.get("app.test", "/", "Connection: close, "+spelt, name+": spoofed")
			if got := a.last(t).field(name); !slices.Equal(got, []string{want}) {
				t.Errorf("Connection: %s: the app got %s: %q, want %q", spelt, name, got, want)
			}
		}
	}
	p.get("app.test", "/", "Connection: X-Request-Id")
	if got := a.last(t).field("X-Request-Id"); len(got) != 1 || got[0] == "" {
		t.Errorf("Connection: X-Request-Id: the app got %q, want one id", got)
	}
	p.get("app.test", "/", "Connection: X-Own, keep-alive", "X-Own: hop")
	if s := a.last(t); len(s.field("X-Own"))+len(s.field("Connection")) > 0 {
		t.Errorf("the app got what Connection names:\n%s", s.head())
	}
}

func TestThreat12ForwardingFieldsOfStrangersAreReplaced(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, want := range ourFields {
		p.get("app.test", "/", name+": 203.0.113.9", name+": 203.0.113.10")
		if got := a.last(t).field(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: the app got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Original-Url", "X-Rewrite-Url",
		"Remote-User", "X-Remote-User", "X-Auth-Request-Email", "X-Authentik-Username", "True-Client-Ip", "Cf-Connecting-Ip"} {
		p.get("app.test", "/", name+": evil")
		if got := a.last(t).field(name); len(got) > 0 {
			t.Errorf("%s of an untrusted peer: the app got %q, want nothing", name, got)
		}
	}
	p.get("app.test", "/", "X-Request-Id: chosen-by-client")
	if got := a.last(t).field("X-Request-Id"); len(got) != 1 || got[0] == "chosen-by-client" {
		t.Errorf("X-Request-Id = %q, want a fresh one", got)
	}
}

func TestThreat12ForwardingFieldsOfTrustedPeersAreKept(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil, "--trusted-proxies", "127.0.0.8/32,203.0.113.0/24")
	fields := []string{"X-Forwarded-For: 198.51.100.7, 203.0.113.5", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.test", "X-Forwarded-Prefix: /p",
		"X-Request-Id: from-the-edge", "Remote-User: alice", "Forwarded: for=198.51.100.7"}
	if r := p.rawFrom("127.0.0.8", request("GET", "app.test", "/", fields...)); r.status != 200 {
		t.Fatalf("got %v, want 200", r)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "198.51.100.7, 203.0.113.5, 127.0.0.8", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test", "X-Forwarded-Port": "443",
		"X-Forwarded-Prefix": "/p", "X-Request-Id": "from-the-edge", "Remote-User": "alice", "Forwarded": "for=198.51.100.7", "X-Real-Ip": "198.51.100.7",
	} {
		if got := a.last(t).field(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	p.rawFrom("127.0.0.9", request("GET", "app.test", "/", fields...))
	if got := a.last(t).field("X-Forwarded-For"); !slices.Equal(got, []string{"127.0.0.9"}) {
		t.Errorf("X-Forwarded-For of a peer that is not trusted = %q, want its own address alone", got)
	}
}

func TestThreat13AliasesAreDropped(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil, "--trusted-proxies", "127.0.0.8/32")
	for _, name := range []string{"X_Forwarded_For", "X.Forwarded.For", "x_real_ip", "Remote.User", "remote_user", "REMOTE_USER", "X-Forwarded_Proto",
		"Content_Length", "Transfer_Encoding", "X_Auth_Request_User", "Forwarded_", "X_FORWARDED_PREFIX"} {
		for _, from := range []string{"127.0.0.1", "127.0.0.8"} {
			a.forget()
			r := p.rawFrom(from, request("GET", "app.test", "/", name+": 5"))
			if r.status == 400 {
				continue // refused is as good as dropped
			}
			for _, line := range a.last(t).fields {
				if strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":") && name != "Forwarded_" {
					t.Errorf("from %s the app got %q", from, line)
				}
			}
		}
	}
}

func TestThreat22HostConfusion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.run(labelled("web", "host=app.test"), nil)
	b, _ := w.run(labelled("other", "host=*"), nil)
	p := w.start()
	p.await("app.test", 200, "web")
	p.await("x.test", 200, "other")
	a.forget()
	b.forget()
	for _, host := range []string{"app.test,other.test", "app.test, other.test", "user@app.test", "[::1", "app.test:abc", "app.test:80:80", "app.test:99999",
		"app..test", ".app.test", "app.test%00", "app.test/x", "app.test?x", "app.test\\x", "app test", "%61pp.test", "[fe80::1%25eth0]", ":80", "*.test", "a\x80.test"} {
		if r := p.get(host, "/"); r.status != 400 || !r.closed {
			t.Errorf("Host: %q: %v, want 400 and close", host, r)
		}
	}
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\nhost: app.test\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:\r\n\r\n",
		"GET http://user@app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"GET http:///x HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"GET ftp://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n",
	} {
		if r := p.raw(raw); r.status != 400 || !r.closed {
			t.Errorf("%q: %v, want 400 and close", raw, r)
		}
	}
	if n := len(a.requests()) + len(b.requests()); n > 0 {
		t.Errorf("%d of these reached an app, want none", n)
	}
	r := p.raw("GET http://app.test/x?y HTTP/1.1\r\nHost: other.test\r\n\r\n")
	if r.status != 200 || r.body != "web /x?y" || len(b.requests()) > 0 {
		t.Fatalf("absolute form against Host: %v, want the target's app", r)
	}
	s := a.last(t)
	if s.line != "GET /x?y HTTP/1.1" || !slices.Equal(s.field("Host"), []string{"app.test"}) || !slices.Equal(s.field("X-Forwarded-Host"), []string{"app.test"}) {
		t.Errorf("absolute form: the app got\n%s\nwant the target's host everywhere", s.head())
	}
}

func TestThreat47ProxyFieldIsDropped(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil, "--trusted-proxies", "127.0.0.8/32")
	for _, from := range []string{"127.0.0.1", "127.0.0.8"} {
		for _, name := range []string{"Proxy", "proxy", "PROXY"} {
			p.rawFrom(from, request("GET", "app.test", "/", name+": http://evil/"))
			if got := a.last(t).field("Proxy"); len(got) > 0 {
				t.Errorf("%s from %s: the app got %q, want nothing", name, from, got)
			}
		}
	}
}

func TestThreat48APostIsSentOnce(t *testing.T) {
	t.Parallel()
	closes := func(c *appConn, r *seen) bool { return r.target() == "/" && c.ok("fine") }
	w := newWorld(t)
	a, _ := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), closes)
	b, _ := w.run(inProject(labelled("web-2", "host=app.test"), "shop", "web"), closes)
	p := w.start()
	eventually(t, "both are ready", func() bool {
		p.fetch("app.test", "/")
		return len(a.requests()) > 0 && len(b.requests()) > 0
	})
	for i, method := range []string{"POST", "PATCH", "POST", "POST"} { // on kept connections and fresh ones
		a.forget()
		b.forget()
		r := p.raw(fmt.Sprintf("%s /once HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello", method))
		if r.status != http.StatusBadGateway {
			t.Errorf("%d: %s: %v, want 502", i, method, r)
		}
		if n := len(a.requests()) + len(b.requests()); n != 1 {
			t.Errorf("%d: %s was sent %d times, want once", i, method, n)
		}
	}
}
