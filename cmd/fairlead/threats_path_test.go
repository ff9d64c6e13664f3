package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// guarded is a host whose /admin is another route than the rest.
func guarded(t *testing.T) (p *proxy, public, admin *app) {
	t.Helper()
	w := newWorld(t)
	public, _ = w.run(inProject(labelled("public", "host=app.test"), "site", "public"), nil)
	admin, _ = w.run(inProject(labelled("admin", "host=app.test", "path=/admin"), "site", "admin"), nil)
	w.run(inProject(labelled("api", "host=app.test", "path=/api", "strip=true"), "site", "api"), nil)
	p = w.start()
	eventually(t, "all three are routed", func() bool {
		return p.get("app.test", "/").status == 200 && p.get("app.test", "/admin").body == "admin /admin" && p.get("app.test", "/api/x").body == "api /x"
	})
	public.forget()
	admin.forget()
	return p, public, admin
}

// decodings returns what a lenient app may make of a path.
func decodings(path string) []string {
	forms := []string{path}
	for range 3 {
		for _, f := range forms {
			for _, from := range []string{"%2f/", "%2F/", "%5c\\", "%5C\\", "\\/", "%2e.", "%2E.", "%25%", "//\x00", "%3b;"} {
				to := from[len(from)-1:]
				from = from[:len(from)-1]
				if to == "\x00" {
					from, to = "//", "/"
				}
				if g := strings.ReplaceAll(f, from, to); !slices.Contains(forms, g) {
					forms = append(forms, g)
				}
			}
		}
	}
	return forms
}

func TestThreat17And18PathsWithTwoReadingsAreRefused(t *testing.T) {
	t.Parallel()
	p, public, admin := guarded(t)
	for _, path := range []string{
		"/api../admin", "/api%2e%2e/admin", "/api%2e/admin", "/api/../admin", "/api/%2e%2e/admin", "/api/%2e./admin", "/api/.%2E/admin", "/./admin", "/api/./x", "/api/..", "/..",
		"/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e%2fadmin", "/%2fadmin", "/%2Fadmin", "//admin", "///admin", "/%5cadmin", "/\\admin", "/public/..%5cadmin", "/public\\..\\admin",
		"/%2561dmin", "/%61dmin", "/adm%69n", "/%2e/admin", "/public/%252e%252e/admin", "/public/..%252fadmin", "/admin%00", "/%00", "/a%0ab", "/a%0d%0ab", "/a%7f",
		"/x/..;/admin", "/..;/admin", "/;/admin", "/;x/admin", "/admin;x", "/admin;/x", "/admin%3bx", "/.;/admin", "/admin./x", "/admin%2e", "/admin%2fx", "/admin%2Fx/y", "/x/%2e%2e;/admin",
	} {
		r := p.get("app.test", path)
		if r.status == 400 && r.code() == "two-readings" && r.closed {
			continue
		}
		if strings.HasPrefix(r.body, "public ") && !slices.ContainsFunc(decodings(path), func(f string) bool { return underAdmin(f) || strings.Contains(f, "/..") }) {
			continue // nothing in it leads elsewhere
		}
		t.Errorf("%s: %v, want 400 two-readings and close", path, r)
	}
	if got := admin.requests(); len(got) > 0 {
		t.Errorf("the guarded app got %s", got[0].line)
	}
	for _, s := range public.requests() {
		if slices.ContainsFunc(decodings(s.target()), underAdmin) {
			t.Errorf("the public app got %s, which it may take for /admin", s.line)
		}
	}
}

func underAdmin(path string) bool {
	return path == "/admin" || strings.HasPrefix(path, "/admin/") || strings.HasPrefix(path, "/admin;")
}

func TestThreat18EncodedSeparatorsAreData(t *testing.T) {
	t.Parallel()
	p, public, _ := guarded(t)
	for _, path := range []string{"/projects/group%2Frepo", "/projects/group%2frepo/x", "/@scope%2fname", "/api/queues/%2F/q", "/a%5Cb", "/a;b=c/d", "/a%3Bb", "/100%25", "/a%2525", "/a+b%20c",
		"/%E4%BD%A0", "/a...b", "/.well-known/x", "/a/.hidden", "/~user", "/a//b", "/a'\"<>|^`{}"} {
		public.forget()
		r := p.get("app.test", path)
		if r.status != 200 {
			t.Errorf("%s: %v, want 200", path, r)
			continue
		}
		want := "public " + path
		if rest, ok := strings.CutPrefix(path, "/api"); ok {
			want = "api " + rest
		}
		if r.body != want {
			t.Errorf("%s: the app got %q, want %q", path, r.body, want)
		}
	}
}

func TestThreat19AnyNumberOfHostsIsMatchedAlike(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 100, 101, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			const perContainer = 1000 // what one label may hold
			w := newWorld(t)
			w.listen("web", "0.0.0.0", nil)
			for first := 0; first < n; first += perContainer {
				var hosts []string
				for i := first; i < min(n, first+perContainer); i++ {
					hosts = append(hosts, fmt.Sprintf("h%d.app.test", i))
				}
				c := labelled(fmt.Sprint("web-", first), "host="+strings.Join(hosts, ","))
				w.engine.Run(w.fill(inProject(c, "site", "web"+fmt.Sprint(first))))
			}
			p := w.start()
			p.await("h0.app.test", 200, "web /")
			p.await(fmt.Sprintf("h%d.app.test", n-1), 200, "web /")
			for _, i := range []int{0, n / 2, n - 1} {
				name := fmt.Sprintf("h%d.app.test", i)
				for _, host := range []string{name, strings.ToUpper(name), "H" + name[1:], name + ".", name + ":80", name + ".:8443", strings.ToUpper(name) + ".:0080", name + ":"} {
					if r := p.get(host, "/X"); r.status != 200 || r.body != "web /X" {
						t.Errorf("Host: %s: %v, want the route of %s", host, r, name)
					}
				}
			}
			for _, host := range []string{fmt.Sprintf("h%d.app.test", n), "h0.app.test.x", "x.h0.app.test", "h0.app.tes", "h0-app.test"} {
				if r := p.get(host, "/"); r.status != 404 {
					t.Errorf("Host: %s: %v, want 404", host, r)
				}
			}
		})
	}
}

func TestThreat20TargetsArriveByteForByte(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for _, target := range []string{"/?a=1;b=2&%zz", "/?", "/??", "/?a=b?c=d", "/?a=%00", "/?q=..%2f../x", "/?a&a&a=", "/?+%20%2B", "/x?a=\"<>\\^`{|}", "/?" + strings.Repeat("a=1&", 2000), "/%41?%41", "/a%2fb?c%2fd", "/?\xff\xfe"} {
		r := p.get("app.test", target)
		if r.status != 200 {
			t.Errorf("%.40q: %v, want 200", target, r)
			continue
		}
		if got, want := a.last(t).line, "GET "+target+" HTTP/1.1"; got != want {
			t.Errorf("the app got %.80q, want %.80q", got, want)
		}
	}
}

func TestThreat21RedirectsIgnoreForwardedPrefix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	redirects := func(c *appConn, r *seen) bool {
		c.say("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")
		return true
	}
	w.run(inProject(labelled("a", "host=app.test", "path=/dir/"), "site", "a"), nil)
	w.run(inProject(labelled("b", "host=app.test", "path=/moved", "redirect=/to"), "site", "b"), nil)
	w.run(inProject(labelled("c", "host=app.test", "path=/api", "strip=true"), "site", "c"), redirects)
	w.run(inProject(labelled("d", "host=app.test", "path=/keep", "redirect={uri}/new"), "site", "d"), nil)
	w.run(inProject(labelled("e", "host=new.test", "redirect-from=old.test"), "site", "e"), nil)
	p := w.start("--trusted-proxies", "127.0.0.8/32")
	eventually(t, "the app is routed", func() bool { return p.get("app.test", "/api").status == 302 })
	for _, from := range []string{"127.0.0.1", "127.0.0.8"} {
		for _, evil := range []string{"//evil.test", "https://evil.test", "/\\evil.test"} {
			for _, tt := range []struct{ host, target, want string }{
				{"app.test", "/dir", "/dir/"}, {"app.test", "/moved", "/to"}, {"app.test", "/api/x", "/api/login"}, {"app.test", "/keep", "/keep/new"}, {"old.test", "/x", "http://new.test/x"},
			} {
				r := p.rawFrom(from, request("GET", tt.host, tt.target, "X-Forwarded-Prefix: "+evil))
				if got := r.header.Get("Location"); r.status/100 != 3 || got != tt.want {
					t.Errorf("%s%s from %s with prefix %s: %d to %q, want to %q", tt.host, tt.target, from, evil, r.status, got, tt.want)
				}
			}
		}
	}
	for _, target := range []string{"//evil.test/keep", "/keep//evil.test/%2e%2e", "//evil.test/%2f..", "/\\evil.test"} {
		if r := p.get("app.test", target); strings.HasPrefix(r.header.Get("Location"), "//") || strings.HasPrefix(r.header.Get("Location"), "/\\") {
			t.Errorf("%s: redirected to %q, another host", target, r.header.Get("Location"))
		}
	}
}
