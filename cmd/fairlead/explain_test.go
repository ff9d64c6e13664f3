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
