package spec_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
)

// TestHostsAreWrittenAsRequestsAreRead: a host of a label that is a name is what
// the same text in a request's Host comes to, else it would never match.
func TestHostsAreWrittenAsRequestsAreRead(t *testing.T) {
	for _, text := range []string{
		"a.ex", "A.EX", "a.ex.", "my_app.local", "bücher.example", "BÜ_cher.example", "faß.example", "例え。テスト", "ＡＢＣ.example", "127.0.0.1", "[::1]", "[2001:DB8::1]", "[::ffff:1.2.3.4]",
		"a..b", ".", "℀.ex", "a\u200db.ex", "-a-.ex", "xn--bcher-kva.example", "xn--a.ex", "１２７.0.0.1", strings.Repeat("a", 63) + ".ex", strings.Repeat("a", 64) + ".ex",
	} {
		h, err := spec.ParseHostPattern(text)
		host, _, ok := exchange.ParseHost(text)
		if (err == nil) != ok || ok && h.Text != host {
			t.Errorf("%q: a label reads %q (%v), a request %q (%v)", text, h.Text, err, host, ok)
		}
	}
}

func parse(t *testing.T, labels map[string]string) (*spec.Unit, spec.Spec) {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &spec.Workload{
		ID: "1", Name: "web", State: spec.Running, Created: now, StartedAt: now, Exposed: []int{80}, Labels: map[string]string{},
		Networks: []spec.Attachment{{Network: "net", Driver: "bridge", IPv4: netip.MustParseAddr("10.0.0.2")}},
	}
	for key, text := range labels {
		w.Labels["fairlead."+key] = text
	}
	p := spec.NewParser(spec.Config{Schema: routing.Schema("fairlead"), Domain: "localhost", Entries: []string{"http", "80"}})
	s := p.Parse(spec.Snapshot{Self: spec.Self{HostNet: true, Bridges: true}, Workloads: []*spec.Workload{w}})
	return s.Units[0], s
}

// TestRedirectFromIsReadByTheRealRedirect: the route it expands to depends on a
// kind of another package.
func TestRedirectFromIsReadByTheRealRedirect(t *testing.T) {
	u, s := parse(t, map[string]string{"host": "a.ex", "redirect-from": "www.a.ex", "log": "off"})
	if len(u.Routes) != 2 || len(s.Problems()) > 0 {
		t.Fatalf("got %d routes and %v, want 2 and no problem", len(u.Routes), s.Problems())
	}
	r := u.Routes[1]
	if _, ok := r.Options["redirect"]; !ok || r.Origin != "redirect-from" || r.Matches[0].Host.Text != "www.a.ex" || r.Pool != "" {
		t.Errorf("got %+v, want a redirect of www.a.ex", r)
	}
	if _, ok := r.Options["log"]; !ok {
		t.Errorf("got %v, want the policies of its route", r.Options)
	}
}

// TestStaticIsStrippedByTheRealStrip: what a static route hands to the app goes
// where its own route would have it go, and nothing else of that is lost.
func TestStaticIsStrippedByTheRealStrip(t *testing.T) {
	for strip, want := range map[string]string{"true": "/app", "On": "/app", "/v1": "/v1", "false": "", "": ""} {
		labels := map[string]string{"host": "a.ex", "path": "/app/, /x", "static": "/static/:/app/staticfiles", "maintenance": "true", "timeout.idle": "5m", "balance": "ip-hash", "hold": "3s", "redirect-from": "b.ex"}
		if strip != "" {
			labels["strip"] = strip
		}
		u, s := parse(t, labels)
		if len(u.Routes) != 3 || len(s.Problems()) > 0 {
			t.Fatalf("%s: got %d routes and %v, want 3 and no problem", strip, len(u.Routes), s.Problems())
		}
		main, r := u.Routes[0], u.Routes[1]
		if r.Origin != "static" || r.Pool != main.Pool || r.Files == nil || main.Files != nil || r.Matches[0].Path.Text != "/static/" {
			t.Errorf("%s: got %+v, want files before the pool of %+v", strip, r, main)
		}
		got := fmt.Sprintf("%+v", r.Options["strip"])
		if want != "" && !strings.Contains(got, "Prefix:"+strings.TrimRight(want, "/")+"}") || want == "" && strings.Contains(got, "On:true") {
			t.Errorf("strip=%s: got %s, want %q", strip, got, want)
		}
		for kind, o := range main.Options {
			switch kind {
			case "host", "path", "static", "redirect-from":
				if _, ok := r.Options[kind]; ok {
					t.Errorf("%s: the static route has it too", kind)
				}
			case "strip":
			default:
				if !reflect.DeepEqual(r.Options[kind], o) {
					t.Errorf("%s: got %v, want %v as its route has it", kind, r.Options[kind], o)
				}
			}
		}
	}
}

// TestOneMistakeOfEachProtectingLabelRefuses: none of them is left out.
func TestOneMistakeOfEachProtectingLabelRefuses(t *testing.T) {
	for key, text := range map[string]string{
		"path": "", "match.method": "?", "match.header.X": "~(", "match.client-ip": "lan", "listen": "nowhere", "http": "", "tls": "", "tls.client-ca": "x",
		"auth.basic": "x", "auth": "x", "allow": "x", "deny": "x", "rate-limit": "x", "max-body": "x", "max-in-flight": "x", "maintenance": "soon", "waf": "blok",
		"alow": "x", "auth.basci": "x", "pth": "/x", "rate-limt": "x", "tls.clientca": "x", "maxbody": "x", "matsh.method": "GET",
	} {
		u, s := parse(t, map[string]string{"host": "a.ex", key: text, "route.free.host": "b.ex", "route.free." + strings.Split(key, ".")[0]: "off"})
		if u.Routes[0].Refused == nil {
			t.Errorf("%s=%q: got an open route and %v, want it refused", key, text, s.Problems())
		}
		u, s = parse(t, map[string]string{"host": "a.ex", key: text, "static": "/static/:/app/static"})
		for _, r := range u.Routes {
			if len(u.Routes) != 2 || r.Refused == nil || r.LastResort != u.Routes[0].LastResort || r.TLSInDoubt != u.Routes[0].TLSInDoubt {
				t.Errorf("%s=%q: got %s refused by %v, want its files refused as it is: %v", key, text, r.ID, r.Refused, s.Problems())
			}
		}
	}
}

// TestOneMistakeElsewhereCostsTheLabel alone.
func TestOneMistakeElsewhereCostsTheLabel(t *testing.T) {
	for key, text := range map[string]string{
		"port": "http", "scheme": "spdy", "timeout.connect": "5", "header.request.Host": "x", "redirect": "there", "strip": "maybe", "share": "", "priority": "high",
		"static": "/static/:app", "static.source": "both", "static.cache": "long", "static.fallback": "none", "static.index": "a/b", "static.list": "maybe", "static.retain": "1y", "root": "/run/secrets",
		"log": "some", "balance": "best", "compress": "x", "cache": "x", "nonsense": "x", "prot": "1", "network": "nowhere", "redirect-from": "a:1",
	} {
		u, s := parse(t, map[string]string{"host": "a.ex", key: text})
		if u.Routes[0].Refused != nil || len(u.Routes) != 1 {
			t.Errorf("%s=%q: got %+v, want the route open", key, text, u.Routes[0].Refused)
		}
		if got := s.Problems(); len(got) != 1 || got[0].Effect == label.Refused {
			t.Errorf("%s=%q: got %v, want one problem that costs the label", key, text, got)
		}
	}
}
