package label_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
)

// typical are the labels of an ordinary container.
var typical = map[string]string{
	"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.version": "2.30.0",
	"com.docker.compose.config-hash": strings.Repeat("a", 64), "com.docker.compose.oneoff": "False", "com.docker.compose.image": "sha256:" + strings.Repeat("b", 64),
	"com.docker.compose.project.working_dir": "/srv/shop", "org.opencontainers.image.title": "Shop", "org.opencontainers.image.version": "1.2.3", "maintainer": "someone",
	"fairlead.host": "shop.example.com, www.shop.example.com", "fairlead.port": "8080", "fairlead.timeout.response": "90s",
	"fairlead.route.api.path": "/api", "fairlead.route.api.strip": "true", "fairlead.header.response.X-Frame-Options": "DENY",
}

// TestEveryExampleIsRead decodes each label's example and default as a user
// would write them.
func TestEveryExampleIsRead(t *testing.T) {
	s := routing.Schema("fairlead")
	n := 0
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			for _, text := range []string{r.Example, r.Default} {
				if r.Later || text == "" {
					continue
				}
				n++
				name := "fairlead." + strings.Replace(r.Path, "*", r.Key, 1)
				l, problems := s.Read("web", map[string]string{name: text})
				opts, more := s.Decode("web", s.For(l, "", nil))
				// What needs another label beside it is right by itself too.
				lonely := len(more) == 1 && strings.Contains(more[0].Message, "needs both")
				if len(problems) > 0 || len(more) > 0 && !lonely {
					t.Errorf("%s=%s: got %v %v, want no problem", name, text, problems, more)
				}
				if _, ok := opts[k.Name]; !ok && !lonely {
					t.Errorf("%s=%s: got no options", name, text)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("got %d examples, want 30 at least: the schema is not whole", n)
	}
}

// TestTyposAreRecognised holds what is suggested for typical mistakes, and
// whether they refuse the route.
func TestTyposAreRecognised(t *testing.T) {
	s := routing.Schema("fairlead")
	for _, c := range []struct {
		typo, want string // "" for no suggestion
		refuses    bool
	}{
		{"hots", "host", true}, {"hsot", "host", true}, {"hosts", "host", true}, {"Host", "host", true}, {"hostname", "host", true}, {"vhost", "host", true},
		{"prot", "port", false}, {"ports", "port", false}, {"Port", "port", false},
		{"pth", "path", true}, {"paths", "path", true}, {"path-prefix", "path", true}, {"pathPrefix", "path", true},
		{"enabled", "enable", true}, {"enabel", "enable", true},
		{"shceme", "scheme", false}, {"schema", "scheme", false}, {"netwrok", "network", false}, {"networks", "network", false},
		{"alow", "allow", true}, {"allowed", "allow", true}, {"allow-ips", "allow", true}, {"ip-allow", "allow", true}, {"dney", "deny", true},
		{"auth.basci", "auth.basic", true}, {"auth.forwrad", "auth.forward", true}, {"basic-auth", "auth", true}, {"basicauth.users", "auth", true}, {"aut.basic", "auth.basic", true},
		{"ratelimit", "rate-limit", true}, {"rate_limit", "rate-limit", true}, {"rate-limit.burst", "", true}, {"max-body-size", "max-body", true}, {"maxbody", "max-body", true},
		{"timeout.conect", "timeout.connect", false}, {"timout.connect", "timeout.connect", false}, {"timeout-connect", "timeout.connect", false}, {"timeoutIdle", "timeout.idle", false}, {"timeout.read", "", false},
		{"strip-prefix", "strip", false}, {"stripprefix", "", false}, {"redirct", "redirect", false}, {"redirect_from", "redirect-from", false}, {"redirect-to", "redirect", false},
		{"header.respnose.X-A", "header.response.X-A", false}, {"headers.request.X-A", "header.request.X-A", false}, {"match.headers.X-A", "match.header.X-A", true}, {"match.methods", "match.method", true},
		{"upstream-tls.verfy", "upstream-tls.verify", false}, {"upstreamTls.verify", "upstream-tls.verify", false}, {"https", "http", true}, {"listne", "listen", true},
		{"health-path", "health.path", false}, {"frobnicate", "", false}, {"description", "", false}, {"name", "", false}, {"rule", "", false}, {"x", "", false},
	} {
		_, problems := s.Decode("web", map[string]label.Setting{c.typo: {Key: c.typo, Text: "x", Label: "fairlead." + c.typo}})
		if len(problems) != 1 || problems[0].Code != "unknown-label" {
			t.Errorf("%s: got %v, want one unknown-label", c.typo, problems)
			continue
		}
		p := problems[0]
		if want := strings.TrimSuffix("fairlead."+c.want, "fairlead."); c.want == "" && p.Suggest != "" || c.want != "" && p.Suggest != want {
			t.Errorf("%s: got suggestion %q, want %q", c.typo, p.Suggest, c.want)
		}
		if got := p.Effect == label.Refused; got != c.refuses {
			t.Errorf("%s: got effect %q, want the route refused: %v", c.typo, p.Effect, c.refuses)
		}
	}
}

// TestFailClosedLabels holds the list of the contract.
func TestFailClosedLabels(t *testing.T) {
	s := routing.Schema("fairlead")
	for _, name := range []string{"host", "path", "match", "listen", "http", "tls", "auth", "allow", "deny", "rate-limit", "max-body", "max-in-flight", "waf"} {
		if k := s.Kind(name); k == nil || !k.FailClosed {
			t.Errorf("%s does not fail closed", name)
		}
	}
	for _, name := range []string{"port", "scheme", "strip", "redirect", "header", "timeout", "compress", "log", "share"} {
		if k := s.Kind(name); k == nil || k.FailClosed {
			t.Errorf("%s fails closed or is missing", name)
		}
	}
}

// TestInheritance holds what a named route takes over (docs/labels.md).
func TestInheritance(t *testing.T) {
	s := routing.Schema("fairlead")
	for _, name := range []string{"path", "match", "priority", "strip", "add-prefix", "rewrite", "redirect", "redirect-from", "respond", "static", "root", "index-script", "socket", "url", "tcp", "canary"} {
		if k := s.Kind(name); k == nil || k.Inherit != label.Own {
			t.Errorf("%s is inherited or missing", name)
		}
	}
	for _, name := range []string{"port", "scheme", "network", "pool", "upstream-tls", "timeout", "health", "balance"} {
		if k := s.Kind(name); k == nil || k.Inherit != label.AsTarget {
			t.Errorf("%s is not inherited as a target", name)
		}
	}
	for _, name := range []string{"auth", "allow", "deny", "header", "rate-limit", "max-body", "compress", "cache", "tls", "http", "listen", "log"} {
		if k := s.Kind(name); k == nil || k.Inherit != label.AsPolicy {
			t.Errorf("%s is not inherited as a policy", name)
		}
	}
}

// readAll is all that happens to the labels of one container.
func readAll(s *label.Schema, labels map[string]string) (opts []label.Options, problems []label.Problem) {
	l, problems := s.Read("web", labels)
	names := []string{""}
	for name := range l.Routes {
		names = append(names, name)
	}
	for _, name := range names {
		o, more := s.Decode("web", s.For(l, name, nil))
		opts, problems = append(opts, o), append(problems, more...)
	}
	return opts, problems
}

func FuzzLabels(f *testing.F) {
	f.Add("fairlead.host\x00a.ex\x00fairlead.route.api.path\x00/api")
	f.Add("fairlead.route..x\x00\x00fairlead.\x00a\x00fairlead.match.header.\x00~(")
	f.Add("Fairlead.allow\x00\xff\x00fairlead.timeout\x00off\x00fairlead.timeout.connect\x0010000000000y")
	f.Add("fairlead.host\x00*.ex, ~^a\x00fairlead.redirect\x00301 https://x/{uri}\x00fairlead.respond\x00200")
	s := routing.Schema("fairlead")
	f.Fuzz(func(t *testing.T, text string) {
		labels := map[string]string{}
		parts := strings.Split(text, "\x00")
		for i := 0; i+1 < len(parts); i += 2 {
			labels[parts[i]] = parts[i+1]
		}
		l, problems := s.Read("web", labels)
		again, same := s.Read("web", labels)
		if !reflect.DeepEqual(problems, same) || len(l.Routes) > label.MaxRoutes || len(l.Main) > label.MaxOurs {
			t.Fatalf("%q: got %v, then %v", labels, problems, same)
		}
		for _, name := range []string{"", "api", "a"} {
			opts, problems := s.Decode("web", s.For(l, name, nil))
			sameOpts, sameProblems := s.Decode("web", s.For(again, name, nil))
			if !reflect.DeepEqual(opts, sameOpts) || !reflect.DeepEqual(problems, sameProblems) {
				t.Fatalf("%q: got %v %v, then %v %v", labels, opts, problems, sameOpts, sameProblems)
			}
			for _, p := range problems {
				if p.Code == "" || p.Message == "" || p.Effect == "" || p.Container == "" || len(p.Value) > 130 || len(p.Suggest) > 300 {
					t.Fatalf("%q: got an incomplete or endless problem %+v", labels, p)
				}
			}
		}
	})
}

func BenchmarkReadTypicalContainer(b *testing.B) {
	s := routing.Schema("fairlead")
	b.ReportAllocs()
	for b.Loop() {
		if opts, problems := readAll(s, typical); len(opts) != 2 || len(problems) > 0 {
			b.Fatal(opts, problems)
		}
	}
}

// BenchmarkReadHostileContainer is the most work that one container's labels
// can ask for: as many unknown labels as are allowed, inherited by as many
// routes.
func BenchmarkReadHostileContainer(b *testing.B) {
	s := routing.Schema("fairlead")
	labels := map[string]string{}
	for i := range label.MaxRoutes {
		labels["fairlead.route.r"+strings.Repeat("x", i)+".path"] = "/"
	}
	for i := 0; len(labels) < label.MaxOurs; i++ {
		labels["fairlead.allow-"+strings.Repeat("y", i%40)+strings.Repeat("z", i/40)] = "x"
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := readAll(s, labels); len(problems) == 0 {
			b.Fatal("no problems")
		}
	}
}
