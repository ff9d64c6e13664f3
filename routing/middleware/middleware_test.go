package middleware

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/spec"
)

// run sends a request through the middlewares that settings ask for, to app.
func run(t *testing.T, settings map[string]string, app http.HandlerFunc) (*http.Response, *exchange.Exchange) {
	t.Helper()
	s := label.NewSchema("fairlead", Kinds()...)
	read := map[string]label.Setting{}
	for key, text := range settings {
		read[key] = label.Setting{Key: key, Text: text, Label: "fairlead." + key}
	}
	opts, problems := s.Decode("c", read)
	b := &build.Build{Prefix: "fairlead", Keeper: &build.Keeper{}, Route: &spec.Route{ID: "r", Pool: "p", Matches: []spec.HostPath{{Path: spec.Path{Kind: spec.PathPrefix, Text: "/api"}}}}}
	h, more := Chain(b, opts, app)
	if len(problems)+len(more) > 0 {
		t.Fatalf("%v: %v %v", settings, problems, more)
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/x?y", nil)
	r.Header.Set("X-Client", "a lie")
	r.Host = "app.ex:8080"
	x, w, r := exchange.Begin(rec, r)
	x.Matched, x.Host, x.Port, x.Scheme, x.ID, x.Client = "/api", "app.ex", "8080", "https", "id1", netip.MustParseAddr("2001:db8::1")
	h.ServeHTTP(w, r)
	return rec.Result(), x
}

func TestHeaders(t *testing.T) {
	var got http.Header
	resp, _ := run(t, map[string]string{
		"header.request.X-Client": "{client-ip} {host} {scheme} {port} {request-id} {other}", "header.request.user-agent": "off", "header.request.X.Y": "dotted",
		"header.response.Server": "False", "header.response.x-frame-options": "DENY", "header.response.X-Two": "2",
	}, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Header().Set("Server", "secret/1.0")
		w.Header()["X-Frame-Options"] = []string{"ALLOW", "TWICE"}
		w.WriteHeader(http.StatusOK)
	})
	if want := "2001:db8::1 app.ex https 8080 id1 {other}"; got.Get("X-Client") != want || len(got["User-Agent"]) != 0 || got.Get("X.y") != "dotted" {
		t.Errorf("the app got %v, want X-Client %q, no User-Agent, X.y", got, want)
	}
	if h := resp.Header; h.Get("Server") != "" || len(h["X-Frame-Options"]) != 1 || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Two") != "2" {
		t.Errorf("the client got %v", h)
	}
}

func TestHeadersOfTheProxysOwnPages(t *testing.T) {
	resp, _ := run(t, map[string]string{"header.response.Content-Type": "application/wasm", "header.response.X-Frame-Options": "DENY"}, func(w http.ResponseWriter, r *http.Request) {
		exchange.Refuse(w, r, exchange.Refusal{Status: 503, Code: "no-endpoint", Message: "away"})
	})
	if h := resp.Header; !strings.HasPrefix(h.Get("Content-Type"), "text/") || h.Get("X-Frame-Options") != "DENY" {
		t.Errorf("the client got %v, want the page's own type and DENY", h)
	}
}

func TestHeadersThatCannotBeSet(t *testing.T) {
	s := label.NewSchema("fairlead", Kinds()...)
	for _, key := range []string{"Connection", "content-length", "Transfer-Encoding", "Host", "Upgrade", "TE", "a b", "a:b", "ä"} {
		for _, side := range []string{"request.", "response."} {
			_, problems := s.Decode("c", map[string]label.Setting{"x": {Key: "header." + side + key, Text: "x", Label: "x"}})
			if len(problems) != 1 {
				t.Errorf("header.%s%s: %v, want a problem", side, key, problems)
			}
		}
	}
}

func TestStripMapsTheAnswerBack(t *testing.T) {
	tests := []struct{ name, field, app, want string }{
		{"a path", "Location", "/login", "/api/login"},
		{"the root", "Location", "/", "/api/"},
		{"what has the prefix", "Location", "/api/x", "/api/x"},
		{"what begins like it", "Location", "/apiary", "/api/apiary"},
		{"a query", "Location", "/?a=/b", "/api/?a=/b"},
		{"a URL of ours", "Location", "https://APP.ex:8080/x?y#z", "https://APP.ex:8080/api/x?y#z"},
		{"without a path", "Location", "http://app.ex:8080?x", "http://app.ex:8080/api/?x"},
		{"another port", "Location", "http://app.ex/x", "http://app.ex/x"},
		{"another host", "Location", "https://evil.ex/app.ex:8080/", "https://evil.ex/app.ex:8080/"},
		{"another scheme", "Location", "app://app.ex:8080/x", "app://app.ex:8080/x"},
		{"no scheme, another host", "Location", "//evil.ex/x", "//evil.ex/x"},
		{"backslashes", "Location", `/\evil.ex`, `/api/\evil.ex`},
		{"userinfo", "Location", "http://app.ex:8080@evil.ex/", "http://app.ex:8080@evil.ex/"},
		{"relative", "Location", "next?a=//app.ex:8080/", "next?a=//app.ex:8080/"},
		{"a slash in the query", "Location", "/x?next=//evil.ex", "/api/x?next=//evil.ex"},
		{"a cookie", "Set-Cookie", "a=b; Path=/; HttpOnly", "a=b; Path=/api; HttpOnly"},
		{"a cookie's path", "Set-Cookie", "a=b;path=/x", "a=b; Path=/api/x"},
		{"a cookie with the prefix", "Set-Cookie", "a=b; Path=/api", "a=b; Path=/api"},
		{"a cookie without path", "Set-Cookie", "path=/x; Secure", "path=/x; Secure"},
		{"a cookie of the host", "Set-Cookie", "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := ""
			resp, _ := run(t, map[string]string{"strip": "true"}, func(w http.ResponseWriter, r *http.Request) {
				target = r.RequestURI + " " + r.Header.Get("X-Forwarded-Prefix")
				w.Header().Set(tt.field, tt.app)
				w.WriteHeader(302)
			})
			if got := resp.Header.Get(tt.field); got != tt.want {
				t.Errorf("%s %q became %q, want %q", tt.field, tt.app, got, tt.want)
			}
			if want := "/x?y /api"; target != want {
				t.Errorf("the app was asked for %q, want %q", target, want)
			}
		})
	}
}

func TestStripOfAnotherPrefix(t *testing.T) {
	for prefix, want := range map[string]string{"/api": "/x?y", "/api/": "/x?y", "/ap": "/api/x?y", "/api/x": "/?y", "/other": "/api/x?y", "false": "/api/x?y"} {
		got := ""
		run(t, map[string]string{"strip": prefix}, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
		if got != want {
			t.Errorf("strip %s: the app was asked for %s, want %s", prefix, got, want)
		}
	}
}

func TestLogSampling(t *testing.T) {
	for share, want := range map[string]float64{"on": 1, "off": 0, "False": 0, "100%": 1, "0%": 0, "10%": 0.1, "50%": 0.5} {
		const n = 4000
		logged := 0
		for range n {
			if _, x := run(t, map[string]string{"log": share}, func(http.ResponseWriter, *http.Request) {}); !x.Quiet {
				logged++
			}
		}
		if got := float64(logged) / n; got < want-0.05 || got > want+0.05 || (want == 0 || want == 1) && got != want {
			t.Errorf("log %s: %v of all are logged, want %v", share, got, want)
		}
	}
	s := label.NewSchema("fairlead", Kinds()...)
	for _, text := range []string{"maybe", "-1%", "101%", "NaN%", "10", "%"} {
		if _, problems := s.Decode("c", map[string]label.Setting{"log": {Key: "log", Text: text}}); len(problems) != 1 {
			t.Errorf("log %s: %v, want a problem", text, problems)
		}
	}
}
