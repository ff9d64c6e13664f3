package routing

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// TestPlainHTTP goes through everything the label http can meet.
func TestPlainHTTP(t *testing.T) {
	const host, sent = "app.ex", "X-Target"
	n := 0
	for _, policy := range []string{"", "redirect", "serve", "refuse"} {
		for _, clientCA := range []string{"", "\ttls.client-ca: file:/a.pem\n"} {
			for _, port := range []string{"443", "8443", ""} {
				for _, standing := range []spec.Standing{spec.Untrusted, spec.Expected, spec.Trusted} {
					if policy == "serve" && clientCA != "" {
						continue // exclude each other: spec.Parse refuses the route
					}
					n++
					w, certs := secure(t, port)
					certs.standing = standing
					labels := clientCA
					if policy != "" {
						labels += "\thttp: " + policy + "\n"
					}
					w.read("web web@shop\n\thost: " + host + "\n" + labels)
					w.turn()
					resp := w.ask("GET " + host + "/a?b")
					got := fmt.Sprint(resp.StatusCode, " ", cmp.Or(resp.Header.Get("Location"), resp.Header.Get(sent)))
					if want := plainWant(policy, clientCA != "", port, standing); strings.TrimSpace(got) != want {
						t.Errorf("http=%s, client-ca %v, port %q, standing %d: got %q, want %q", policy, clientCA != "", port, standing, got, want)
					}
					if to := resp.Header.Get("Location"); to != "" && (resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Length") != "0") {
						t.Errorf("the redirect to %s has Cache-Control %q and Content-Length %q, want no-store and 0", to, resp.Header.Get("Cache-Control"), resp.Header.Get("Content-Length"))
					}
					w.retireAll()
				}
			}
		}
	}
	if n != 63 {
		t.Errorf("went through %d cases, want 63", n)
	}
}

func plainWant(policy string, clientCA bool, port string, standing spec.Standing) string {
	redirects := policy == "redirect" || policy == "" && standing != spec.Untrusted || clientCA
	switch {
	case policy == "refuse", clientCA && port == "":
		return "403"
	case !redirects || port == "":
		return "200 /a?b"
	}
	status := map[bool]string{true: "308 ", false: "307 "}[standing == spec.Trusted]
	return status + map[string]string{"443": "https://app.ex/a?b", "8443": "https://app.ex:8443/a?b"}[port]
}

func TestRedirectsToHTTPSKeepTheTarget(t *testing.T) {
	w, certs := secure(t, "8443")
	certs.standing = spec.Trusted
	w.read("web web@shop\n\thost: app.ex, 192.0.2.7, [2001:db8::1]\n\tpath: /\n")
	w.turn()
	for _, target := range []string{"/", "/?", "/a?b=1&c=%zz;d", "/%41%2F%5c%3B%25", "/ä/\xff", "/a;b=c", "//evil.test/x", "/a?u=https://evil.test/", "/'\"<>|{}^`", "/..."} {
		if got, want := w.ask("GET app.ex"+target).Header.Get("Location"), "https://app.ex:8443"+target; got != want {
			t.Errorf("%q: got Location %q, want %q", target, got, want)
		}
	}
	w.wants(`
		GET APP.ex.:8080/x    => 308 shop/web https://app.ex:8443/x
		GET 192.0.2.7/        => 308 shop/web https://192.0.2.7:8443/
		GET [2001:db8::1]:80/ => 308 shop/web https://[2001:db8::1]:8443/
		HEAD app.ex/x         => 308 shop/web https://app.ex:8443/x
		POST app.ex/x         => 308 shop/web https://app.ex:8443/x
		OPTIONS app.ex/x Origin=https://x.ex => 308 shop/web https://app.ex:8443/x
		GET app.ex/ws Connection=Upgrade Upgrade=websocket => 308 shop/web https://app.ex:8443/ws
	`)
}

// Redirects keep method and body: on the wire too, for every method.
func TestRedirectsToHTTPSOnTheWire(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Expected
	w.read("web web@shop\n\thost: 127.0.0.1\n")
	w.turn()
	s := httptest.NewServer(&exchange.Arrival{Entry: "http", CloseChunked: true, Next: w.live})
	defer s.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/x%2Fy?z", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 307 || resp.Header.Get("Location") != "https://127.0.0.1/x%2Fy?z" || len(body) > 0 {
			t.Errorf("%s: got %d to %q with %q, want 307 to https://127.0.0.1/x%%2Fy?z without a body", method, resp.StatusCode, resp.Header.Get("Location"), body)
		}
	}
}

// A redirect leads to an entry point that the route listens on.
func TestListenRestrictsRedirectsToHTTPS(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Trusted
	var asked []string
	inner := w.env.HTTPSPort
	w.env.HTTPSPort = func(entry string, listen []string) string {
		asked = append(asked, fmt.Sprint(entry, listen))
		return inner(entry, listen)
	}
	w.read("web web@shop\n\thost: a.ex\n\tlisten: http, lan\n\troute.both.host: b.ex\n\troute.both.listen: lan, https\n\troute.all.host: c.ex\n\troute.all.listen: off\n\troute.serve.host: d.ex\n\troute.serve.http: serve\n")
	w.turn()
	w.wants(`
		GET a.ex/           => 200 shop/web /
		GET b.ex/           => 404 no-route
		GET b.ex/ entry=lan => 308 shop/web.both https://b.ex/
		GET c.ex/           => 308 shop/web.all https://c.ex/
	`)
	if want := []string{"http[http lan]", "lan[lan https]", "http[]"}; !slices.Equal(asked, want) {
		t.Errorf("asked for the port of %q, want %q", asked, want)
	}
}

// Without certificates nothing is served over TLS, and what needs it is not
// served at all.
func TestPlainHTTPWithoutCertificates(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web web@shop\n\thost: a.ex\n\troute.redirect.host: b.ex\n\troute.redirect.http: redirect\n\troute.refuse.host: c.ex\n\troute.refuse.http: refuse\n\troute.mtls.host: d.ex\n\troute.mtls.tls.client-ca: file:/a.pem\n")
	w.turn()
	w.wants(`
		GET a.ex/ => 200 shop/web /
		GET b.ex/ => 200 shop/web.redirect /
		GET c.ex/ => 403 shop/web.refuse https-only
		GET d.ex/ => 403 shop/web.mtls https-only
		GET d.ex/ X-Forwarded-Proto=https from=` + trusted + ` => 421 shop/web.mtls misdirected
		GET d.ex/ sni=d.ex client=file:/a.pem => 421 shop/web.mtls misdirected
		GET a.ex/ sni=a.ex => 200 shop/web /
	`)
}

// Requests of HTTP/1.0 may name no host, and then cannot be redirected to one.
func TestPlainHTTPWithoutAHost(t *testing.T) {
	for labels, want := range map[string]int{"\thttp: redirect\n": 200, "\thttp: refuse\n": 403, "\ttls.client-ca: file:/a.pem\n": 403} {
		w, certs := secure(t, "443")
		certs.standing = spec.Trusted
		w.read("web web@shop\n\thost: *\n" + labels)
		w.turn()
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.ProtoMinor = "", 0
		rec := httptest.NewRecorder()
		(&exchange.Arrival{Next: w.live}).ServeHTTP(rec, r)
		if rec.Code != want || rec.Header().Get("Location") != "" {
			t.Errorf("%s: got %d to %q, want %d", strings.TrimSpace(labels), rec.Code, rec.Header().Get("Location"), want)
		}
		w.retireAll()
	}
}
