package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// explained returns what the command says, with ports and addresses of the test
// replaced.
func (p *proxy) explained(ok bool, args ...string) string {
	p.Helper()
	out, err := command(append([]string{"explain", "--admin", p.admin.Socket}, args...)...)
	if (err == nil) != ok || err != nil && !errors.Is(err, errNo) {
		p.Errorf("explain %q: %v, want ok %v; it said\n%s", args, err, ok, out)
	}
	out = regexp.MustCompile(`\b127\.(?:1[6-9]|[2-9]\d|1\d\d|2\d\d)\.0\.(\d+)`).ReplaceAllString(out, "172.18.0.$1")
	out = regexp.MustCompile(`\(port \d+\)`).ReplaceAllString(out, "(port 80)")
	return out
}

// A page of it, word for word: people read it.
func TestExplainTellsTheWholeWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := func(name string) *app {
		a, _ := w.run(inProject(labelled(name, "host=app.test", "path=/api", "strip=true", "header.request.X-Client={client-ip} {request-id}"), "shop", "web"), nil)
		return a
	}
	web("shop-web-1")
	web("shop-web-2")
	w.run(inProject(labelled("shop-root-1", "host=app.test"), "shop", "root"), nil)
	p := w.start("--https", "127.0.0.1:0", "--trusted-proxies", "10.0.0.0/8")
	p.settle()
	got := strings.ReplaceAll(p.explained(true, "http://app.test/api/x?q=1", "--from", "192.0.2.1",
		"--header", "X-Forwarded-For: 1.2.3.4", "--header", "Connection: X-Foo, close", "--header", "X-Foo: 1", "--header", "Cookie: a=b"), strconv.Itoa(w.port), "80")
	const want = `http://app.test/api/x?q=1: goes to shop/web:80

       client: 192.0.2.1 by entry point http (port 80), which is no trusted proxy: its X-Forwarded-For is not believed (--trusted-proxies)
         host: matches app.test, held by shop
         path: shop/web matches /api
         path: shop/root matches / as well, which is less specific
   plain HTTP: served: there is no certificate for HTTPS that browsers trust by themselves
       passes: header, strip
      rewrite: /api/x?q=1 → /x?q=1
         pool: shop/web:80: shop-web-1 172.18.0.2:80 gets it (round-robin among 2)
  certificate: from the internal authority, at the first handshake

route shop/web, from the labels of shop-web-2: serving
  shop-web-1 172.18.0.2:80 ready
  shop-web-2 172.18.0.3:80 ready

the app would receive
  GET /x?q=1 HTTP/1.1
  Host: app.test
  Cookie: a=b
  X-Client: 192.0.2.1 <new>
  X-Forwarded-For: 192.0.2.1
  X-Forwarded-Host: app.test
  X-Forwarded-Port: 80
  X-Forwarded-Prefix: /api
  X-Forwarded-Proto: http
  X-Real-Ip: 192.0.2.1
  X-Request-Id: <new>
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, tt := range []struct {
		ok   bool
		args []string
		want []string
	}{
		{true, []string{"https://app.test/", "--from", "10.1.2.3", "--header", "X-Forwarded-For: 1.2.3.4", "--header", "X-Request-Id: mine"},
			[]string{"client: 1.2.3.4 by entry point https", "as the trusted proxy 10.1.2.3 says", "X-Forwarded-Proto: https", "X-Request-Id: mine", "X-Forwarded-For: 1.2.3.4, 10.1.2.3"}},
		{false, []string{"http://a..b/"}, []string{"400: The host of this request is not valid.", "refused (bad-host)", "nothing stands between two dots"}},
		{false, []string{"app.test/", "--method", "CONNECT"}, []string{"405: This is no forward proxy."}},
		{false, []string{"http://user@app.test/"}, []string{"400", "user names do not belong there"}},
	} {
		out := p.explained(tt.ok, tt.args...)
		for _, part := range tt.want {
			if !strings.Contains(out, part) {
				t.Errorf("explain %q lacks %q:\n%s", tt.args, part, out)
			}
		}
	}
}

// What the app would receive is what it receives.
func TestExplainShowsWhatTheAppReceives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app, _ := w.run(inProject(labelled("web", "host=app.test", "path=/api", "strip=/api", "add-prefix=/v2", "header.request.User-Agent=off",
		"header.request.X-Where={scheme} {host} {port}", "host-header=inner.test:81"), "shop", "web"), nil)
	p := w.start()
	p.settle()
	for _, headers := range [][]string{
		nil,
		{"Cookie: a=b", "Accept: text/html", "Accept-Encoding: gzip, br"},
		{"X-Forwarded-For: 9.9.9.9", "Forwarded: for=9.9.9.9", "X_Forwarded_Host: evil", "Proxy: x", "Te: trailers, deflate"},
		{"Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Upgrade: h2c"},
		{"Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
		{"X-Two: 1", "X-Two: 2", "Remote-User: admin"},
	} {
		args := []string{"--json", "http://app.test/api/a%20b?q=/x", "--method", "GET"}
		for _, h := range headers {
			args = append(args, "--header", h)
		}
		var e explanation
		if err := json.Unmarshal([]byte(p.explained(true, args...)), &e); err != nil {
			t.Fatal(err)
		}
		before := len(app.requests())
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("GET /api/a%20b?q=/x HTTP/1.1\r\nHost: app.test\r\n" + strings.Join(append(headers, "", ""), "\r\n")))
		eventually(t, "the app is asked", func() bool { return len(app.requests()) > before })
		c.Close()
		got := app.requests()[before]
		lines := append([]string{got.line}, got.fields...)
		for i, l := range lines {
			if strings.HasPrefix(l, "X-Request-Id: ") {
				lines[i] = "X-Request-Id: <new>"
			}
		}
		slices.Sort(lines)
		slices.Sort(e.Request)
		if !slices.Equal(lines, e.Request) {
			t.Errorf("with %q explain says\n%s\nand the app received\n%s", headers, strings.Join(e.Request, "\n"), strings.Join(lines, "\n"))
		}
	}
}

// Asking changes nothing: not whose turn it is, not what is counted, not what is
// known to be wrong.
func TestExplainLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := w.run(inProject(labelled("web-1", "host=app.test", "match.client-ip=10.0.0.0/8, 127.0.0.0/8"), "shop", "web"), nil)
	two, _ := w.run(inProject(labelled("web-2", "host=app.test", "match.client-ip=10.0.0.0/8, 127.0.0.0/8"), "shop", "web"), nil)
	w.run(labelled("sticky", "host=sticky.test", "sticky=true"), nil)
	p := w.start()
	p.settle()
	first := p.explained(true, "app.test", "--from", "10.0.0.1")
	for range 4 {
		if again := p.explained(true, "app.test", "--from", "10.0.0.1"); again != first {
			t.Fatalf("first\n%s\nthen\n%s", first, again)
		}
	}
	p.explained(false, "app.test", "--from", "127.0.0.1") // a gateway of "here", so hidden
	p.explained(true, "sticky.test")
	if n := len(one.requests()) + len(two.requests()); n != 0 {
		t.Errorf("apps got %d requests, want none", n)
	}
	v := p.view()
	for _, r := range v.Routes {
		if n := r.Count.Total(); n != 0 {
			t.Errorf("%s counts %d requests, want none", r.ID, n)
		}
	}
	if got := v.problem("client-address-hidden"); got != "" {
		t.Errorf("a problem appeared that no request has shown: %s", got)
	}
	if n := len(p.accessLines("app.test")); n != 0 {
		t.Errorf("the access log has %d lines, want none", n)
	}
}

// A browser that is told http://, or nothing, ends on HTTPS; what lies behind is told
// too. Two services that match the same are both described while neither is there.
func TestExplainFollowsToHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test", "http=redirect"), nil)
	for _, name := range []string{"blue", "green"} {
		app, id := w.run(inProject(labelled(name, "host=away.test"), "shop", name), nil)
		app.close()
		w.engine.Stop(id)
	}
	w.run(labelled("only", "host=only.test", "http=refuse"), nil)
	w.run(labelled("new", "host=new.test", "tls.min-version=1.3"), nil)
	p := w.start("--https", "127.0.0.1:0")
	eventually(t, "three routes serve", func() bool {
		return strings.Count(mustJSON(t, p.view().Routes), `"state": "serving"`) == 3
	})
	for _, tt := range []struct {
		ok   bool
		args []string
		want []string
	}{
		{true, []string{"http://app.test/x"}, []string{": 307: to https://app.test", "plain HTTP: 307 to https://app.test"}},
		{true, []string{"app.test/x"}, []string{"https://app.test:", "/x: goes to web/web:", "plain HTTP: 307 to https://app.test", "X-Forwarded-Proto: https"}},
		{true, []string{"https://app.test/x"}, []string{"https://app.test/x: goes to web/web:"}},
		{false, []string{"http://only.test/"}, []string{"403: the site is served over HTTPS only"}},
		{false, []string{"https://new.test/", "--sni", "app.test"}, []string{"421: the handshake was for", "asks for TLS 1.3 at least"}},
		{true, []string{"https://new.test/"}, []string{"TLS: asks for TLS 1.3 at least"}},
		{false, []string{"http://away.test/"}, []string{"route shop/", "the same is matched by shop/", "blue is exited", "green exited", "nobody gets it now"}},
		{true, []string{"app.test", "--entry", "https"}, []string{"https://app.test/: goes to web/web:"}},
	} {
		out := p.explained(tt.ok, tt.args...)
		for _, part := range tt.want {
			if !strings.Contains(out, part) {
				t.Errorf("explain %q lacks %q:\n%s", tt.args, part, out)
			}
		}
	}
	if out, err := command("explain", "app.test", "--entry", "none", "--admin", p.admin.Socket); err == nil || !strings.Contains(err.Error(), "want one of http, https") {
		t.Errorf("an unknown entry point: %v\n%s", err, out)
	}
	var e explanation
	if err := p.admin.Get(t.Context(), "explain", map[string][]string{"url": {"http://away.test/"}, "method": {http.MethodGet}}, &e); err != nil || len(e.Rivals) != 1 {
		t.Errorf("%v: %d rivals, want 1", err, len(e.Rivals))
	}
}

// What --send shows is what went over both sides.
func TestExplainSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app, _ := w.run(inProject(labelled("web", "host=app.test", "path=/api", "strip=true"), "shop", "web"), func(c *appConn, r *seen) bool {
		c.say("HTTP/1.1 201 Made\r\nX-App: yes\r\nContent-Length: 5\r\n\r\nhello")
		return true
	})
	w.run(labelled("big", "host=big.test"), func(c *appConn, r *seen) bool {
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		c.repeat("0123456789", 10000)
		return true
	})
	w.run(labelled("late", "host=late.test"), func(c *appConn, r *seen) bool { return false })
	w.run(labelled("ws", "host=ws.test"), func(c *appConn, r *seen) bool {
		c.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		c.Conn.(*net.TCPConn).SetLinger(0) // it ends with a reset, which is nothing to tell of
		return false
	})
	p := w.start("--https", "127.0.0.1:0")
	p.settle()
	send := func(args ...string) (s sent, err error) {
		t.Helper()
		out, err := command(append([]string{"explain", "--send", "--json", "--admin", p.admin.Socket}, args...)...)
		if jerr := json.Unmarshal([]byte(out), &s); jerr != nil {
			t.Fatalf("%q: %v, %v: %s", args, jerr, err, out)
		}
		return s, err
	}
	for _, scheme := range []string{"http", "https"} {
		s, err := send(scheme+"://app.test/api/x?q", "--data", "body", "--header", "X-A: 1")
		if err != nil || s.Status != 201 || s.Body != "hello" || s.Bytes != 5 || s.More || s.Code != "" || len(s.Attempts) != 1 || s.Route != "shop/web" {
			t.Fatalf("%s: %v, %+v", scheme, err, s)
		}
		got, a := app.last(t), s.Attempts[0]
		if want := append([]string{got.line}, got.fields...); !slices.Equal(a.Request, want) || got.body != "body" {
			t.Errorf("%s: sent to the app, it says:\n%q\nand the app got\n%q and %q", scheme, a.Request, want, got.body)
		}
		if want := []string{"HTTP/1.1 201 Made", "X-App: yes", "Content-Length: 5"}; !slices.Equal(a.Answer, want) || a.Container != "web" {
			t.Errorf("%s: %s answered %q, want %q of web", scheme, a.Container, a.Answer, want)
		}
		if s.Request[0] != "POST /api/x?q HTTP/1.1" || !slices.Contains(s.Request, "X-A: 1") || s.Answer[0] != "HTTP/1.1 201 Created" && s.Answer[0] != "HTTP/1.1 201 Made" || !slices.Contains(s.Answer, "X-App: yes") {
			t.Errorf("%s: the client's side was %q and %q", scheme, s.Request, s.Answer)
		}
		if (s.TLS != nil) != (scheme == "https") || s.TLS != nil && (s.TLS.Names[0] != "app.test" || s.TLS.Distrust == "") {
			t.Errorf("%s: TLS is %+v", scheme, s.TLS)
		}
		if s.Done < s.First || s.First < s.Connected || a.Answered < a.Sent || s.Done <= 0 {
			t.Errorf("%s: times out of order: %+v", scheme, s)
		}
	}
	if s, err := send("http://big.test/"); err != nil || s.Bytes != 100000 || len(s.Body) != sendShown || !s.More {
		t.Errorf("%v: %d bytes, %d shown, more %v; want 100000, %d, true", err, s.Bytes, len(s.Body), s.More, sendShown)
	}
	if s, err := send("http://late.test/"); err != errNo || s.Status != 502 || s.Code == "" || len(s.Attempts) == 0 || s.Attempts[0].Err == "" {
		t.Errorf("a dead app: %v, %+v", err, s)
	}
	if s, err := send("http://none.test/"); err != nil || s.Status != 404 || s.Code != "no-route" || len(s.Attempts) != 0 {
		t.Errorf("no route: %v, %+v", err, s)
	}
	if s, err := send("http://ws.test/", "--header", "Connection: Upgrade", "--header", "Upgrade: websocket", "--header", "Sec-WebSocket-Version: 13", "--header", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="); err != nil || s.Status != 101 || s.Cause != "" {
		t.Errorf("an upgrade: %v, %+v", err, s)
	}
	out, err := command("explain", "--send", "http://app.test/api/x", "--admin", p.admin.Socket)
	for _, part := range []string{"http://app.test/api/x: 201 ", ", by web 127.", "\nto the proxy at 127.0.0.1:", "  > GET /api/x HTTP/1.1\n", "  < X-App: yes\n", "\nto the app, web 127.", "  > GET /x HTTP/1.1\n", "body of 5 bytes", "\nhello\n"} {
		if err != nil || !strings.Contains(out, part) {
			t.Errorf("%v: lacks %q:\n%s", err, part, out)
		}
	}
	if _, err := command("explain", "--send", "--from", "10.0.0.1", "app.test", "--admin", p.admin.Socket); err == nil {
		t.Error("--from with --send was taken")
	}
	if n := p.probes.Len(); n != 0 {
		t.Errorf("%d probes are left", n)
	}
}

func TestExplainSendGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	w.run(labelled("slow", "host=slow.test"), func(*appConn, *seen) bool { <-release; return false })
	defer close(release)
	p := w.start()
	p.settle()
	out, err := command("explain", "--send", "--timeout", "50ms", "http://slow.test/", "--admin", p.admin.Socket)
	if err != errNo || !strings.Contains(out, "no complete answer came in time") || !strings.Contains(out, "to the app, slow ") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// Asking about a route whose container is away answers at once, and says how long a
// request would wait.
func TestExplainWaitsForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, hold := range []string{"10m", "0"} {
		app, id := w.run(labelled("hold-"+hold, "host="+hold+".test", "hold="+hold), nil)
		app.close()
		w.engine.Stop(id)
	}
	starting := w.engine.Create(w.fill(labelled("starting", "host=starting.test", "hold=10m")))
	w.engine.Start(starting) // and nothing listens there
	w.run(baked("web", map[string]string{"a.css": "a{}"}), nil)
	p := w.start()
	p.awaitFile("/static/a.css", "a{}")
	for _, tt := range []struct {
		ok   bool
		args []string
		want []string
	}{
		{false, []string{"http://starting.test/"}, []string{": waits up to 10m0s for a container to be ready", "nobody gets it now, so it waits up to 10m0s (label hold)"}},
		{false, []string{"http://0.test/"}, []string{"503 with Retry-After", "the label hold lets nobody wait"}},
		{true, []string{"http://app.ex/static/a.css"}, []string{"200: a file of the route", "file: found: text/css"}},
		{true, []string{"http://app.ex/static/none"}, []string{"goes to shop/web", "file: none answers this, so it is the app's", "  GET /static/none HTTP/1.1"}},
		{false, []string{"https://app.ex/"}, []string{"nobody answers: no entry point speaks TLS"}},
	} {
		out := p.explained(tt.ok, tt.args...)
		for _, part := range tt.want {
			if !strings.Contains(out, part) {
				t.Errorf("explain %q lacks %q:\n%s", tt.args, part, out)
			}
		}
	}
	if out, err := command("explain", "--send", "https://app.ex/", "--admin", p.admin.Socket); err == nil || !strings.Contains(err.Error(), "no entry point speaks TLS") {
		t.Errorf("--send without TLS: %v\n%s", err, out)
	}
}
