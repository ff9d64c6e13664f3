package spec

import (
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/label"
)

// suggestion returns what err suggests instead.
func suggestion(err error) string {
	var ve *label.ValueError
	if errors.As(err, &ve) {
		return ve.Suggest
	}
	return ""
}

// code returns the code of err, as a Problem has it.
func code(err error) string {
	var ve *label.ValueError
	if errors.As(err, &ve) {
		return ve.Code
	}
	return ""
}

func TestParseHostPattern(t *testing.T) {
	for text, want := range map[string]Host{
		"*": {Kind: AnyHost}, "a.ex": {ExactHost, "a.ex"}, "A.Ex.": {ExactHost, "a.ex"}, "*.A.ex": {WildcardHost, "a.ex"}, "localhost": {ExactHost, "localhost"},
		"my_app.local": {ExactHost, "my_app.local"}, "bücher.example": {ExactHost, "xn--bcher-kva.example"}, "BÜCHER.example": {ExactHost, "xn--bcher-kva.example"}, "bü_cher.example": {ExactHost, "xn--b_cher-3ya.example"},
		"*.bücher.example": {WildcardHost, "xn--bcher-kva.example"}, "例え。テスト": {ExactHost, "xn--r8jz45g.xn--zckzah"}, "faß.example": {ExactHost, "xn--fa-hia.example"},
		"127.0.0.1": {ExactHost, "127.0.0.1"}, "::1": {ExactHost, "[::1]"}, "[::1]": {ExactHost, "[::1]"}, "2001:DB8:0::1": {ExactHost, "[2001:db8::1]"}, "::ffff:1.2.3.4": {ExactHost, "[::ffff:1.2.3.4]"},
	} {
		got, err := ParseHostPattern(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
			continue
		}
		if again, err := ParseHostPattern(got.String()); err != nil || again != got {
			t.Errorf("%q: %q reads as %v and %v, want the same again", text, got, again, err)
		}
	}
	for text, near := range map[string]string{
		"": "", ".": "", "a..b": "", ".a": "", "a b": "", "a,b": "", "a/b": "", "a@b": "", "a%2e": "", "a*.ex": "", "*.*.ex": "", "**": "", "a.*": "",
		"a.ex:80": "a.ex", "1.2.3.4:80": "1.2.3.4", "[::1]:80": "[::1]", "*:80": "*", "[::1": "", "::1]": "", "[[::1]]": "", "[1.2.3.4]": "", "fe80::1%eth0": "", "[fe80::1%25eth0]": "",
		strings.Repeat("a", 64) + ".ex": "", strings.Repeat("a.", 130) + "ex": "", "℀.ex": "", "\u200b": "", "a\u0000": "", strings.Repeat("ü", 3000): "", "xn--\u0080": "",
	} {
		got, err := ParseHostPattern(text)
		if err == nil {
			t.Errorf("%.40q: got %v, want an error", text, got)
		} else if near != "" && suggestion(err) != near {
			t.Errorf("%.40q: got suggestion %q, want %q", text, suggestion(err), near)
		}
	}
	if _, err := ParseHostPattern("a.ex:80"); !strings.Contains(err.Error(), "listen") {
		t.Errorf("got %v, want the label listen named", err)
	}
}

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		"/": Root, "/api": {PathPrefix, "/api"}, "/app/": {PathPrefix, "/app/"}, "=/x": {ExactPath, "/x"}, "=/": {ExactPath, "/"}, "~/u/\\d+": {PathRegexp, "/u/\\d+"}, "/a.b/c-d_e~f": {PathPrefix, "/a.b/c-d_e~f"},
		"/é": {PathPrefix, "/%C3%A9"}, "/a%2Fb": {PathPrefix, "/a%2Fb"}, "/...": {PathPrefix, "/..."}, "/.well-known/x": {PathPrefix, "/.well-known/x"}, "/@a:b=c&d$e!f'(g)": {PathPrefix, "/@a:b=c&d$e!f'(g)"},
	} {
		if got, err := parsePath(text); err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
		}
	}
	for text, near := range map[string]string{
		"": "", "api": "/api", "=x": "=/x", "/api/*": "/api", "/*": "/", "*": "/", "/a?b": "", "/a#b": "", "/a b": "", "/a;b": "", "/a\\b": "", "//a": "", "/a//b": "",
		"/../a": "", "/a/..": "", "/./a": "", "/a/.": "", "~(": "", "~": "", "=~/a": "=/~/a",
	} {
		got, err := parsePath(text)
		if err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		} else if near != "" && suggestion(err) != near {
			t.Errorf("%q: got suggestion %q, want %q", text, suggestion(err), near)
		}
	}
	if p, err := parsePath("~^/api"); p.Kind != PathRegexp || err == nil || !strings.Contains(err.Error(), ".*") {
		t.Errorf("got %v and %v, want the path and a hint", p, err)
	}
}

func TestParseTarget(t *testing.T) {
	at := func(e Endpoint) string {
		switch {
		case e.Addr.IsValid():
			return e.Scheme + " " + e.Addr.String()
		case e.Socket != "":
			return e.Scheme + " unix:" + e.Socket
		}
		return e.Scheme + " " + e.Host
	}
	for text, want := range map[string]string{
		"http://10.0.0.1": "http 10.0.0.1:80", "https://10.0.0.1": "https 10.0.0.1:443", "https://nas.local:8006/": "https nas.local:8006", "http://[::1]:81": "http [::1]:81", "unix:/run/a.sock": "http unix:/run/a.sock",
	} {
		if got, err := parseTarget(text); err != nil || at(got) != want {
			t.Errorf("%q: got %s and %v, want %s", text, at(got), err, want)
		}
	}
	for _, text := range []string{"", "10.0.0.1:80", "nas", "http://", "http://:80", "ftp://a", "http://a/b", "http://u:p@a", "http://a?b", "http://a#b", "http://a:0", "http://a:99999", "unix:x", "unix:", "h2c://a", "http://a b", "//a", "javascript://a"} {
		if got, err := parseTarget(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, at(got))
		}
	}
}

func TestParseStaticItem(t *testing.T) {
	for text, want := range map[string]staticItem{
		"/static/:/app/staticfiles": {"/static/", "/app/staticfiles"}, "/a:/b/": {"/a", "/b"}, "/:/site": {"/", "/site"}, "/é/ : /app/é": {"/%C3%A9/", "/app/é"},
		"/x/:/running": {"/x/", "/running"}, "/x/:/device": {"/x/", "/device"}, "/x/:/app/run": {"/x/", "/app/run"}, "/x/:/var/www": {"/x/", "/var/www"}, "/x/:/a:b": {"/x/", "/a:b"}, "/.well-known/:/w": {"/.well-known/", "/w"},
	} {
		if got, err := parseStaticItem(text); err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
		}
	}
	for text, near := range map[string]string{
		"": "", "true": "", "static": "", ":": "", ":/app": "/:/app", "/static/": "/static/:/static", "/app/staticfiles": "/staticfiles/:/app/staticfiles", "app/static": "/static/:/app/static",
		"static/:/app": "/static/:/app", "/static/*:/app": "/static:/app", "/a//b:/app": "", "/a/../b:/app": "", "/a?b:/app": "", "=/a:/app": "/a:/app", "~/a:/app": "",
		"/a/:": "", "/a/:app": "/a/:/app", "/a/:./app": "/a/:/app", "/a/:/app/../x": "/a/:/x", "/a/:/app//x": "/a/:/app/x", "/a/:/app/.": "/a/:/app", "/a/:/app/x//": "/a/:/app/x",
		"/a/:file:/app": "/a/:/app", "file:/app": "/app/:/app", "/a/:file:app": "/a/:/app", `C:\app`: "", "C:/app": "", `/a/:C:\app`: "", "/a/:C:/app": "", `/a/:\app`: "", "/a/:/app:ro": "/a/:/app", "/a/:/app:rw": "/a/:/app", "/a/:/app /": "/a/:/app", "/a/:" + strings.Repeat("/a", maxDir): "",
	} {
		got, err := parseStaticItem(text)
		if err == nil || code(err) == "static-refused" {
			t.Errorf("%.40q: got %v and %v, want an error", text, got, err)
		} else if suggestion(err) != near {
			t.Errorf("%.40q: got suggestion %q, want %q (%v)", text, suggestion(err), near, err)
		}
		if _, again := parseStaticItem(suggestion(err)); near != "" && again != nil {
			t.Errorf("%.40q: what is suggested is wrong too: %v", text, again)
		}
	}
	if _, err := parseStaticItem("/a/:C:/app"); !strings.Contains(err.Error(), "in the app's container") {
		t.Errorf("got %v, want it said where the path is meant", err)
	}
}

func TestSecretDirectoriesAreRefused(t *testing.T) {
	for _, dir := range []string{
		"/", "//", "/.", "/x/..", "/proc", "/proc/", "/proc/self/root", "/sys", "/sys/kernel", "/dev", "/dev/shm", "/run", "/run/secrets", "/run/secrets/", "/var/run", "/var/run/docker.sock", "/var", "/app/../run", "run/secrets",
	} {
		if _, err := containerDir(dir); code(err) != "static-refused" {
			t.Errorf("%q: got %v, want it refused", dir, err)
		}
		if _, err := parseStaticItem("/a/:" + dir); code(err) != "static-refused" || !strings.Contains(err.Error(), "nothing of that is served") {
			t.Errorf("/a/:%s: got %v, want it refused", dir, err)
		}
	}
}

func TestStaticSettings(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for text, want := range map[string]FilesCache{
		"30d": {true, 30 * 24 * time.Hour, false}, "1y immutable": {true, year, true}, "1y  IMMUTABLE": {true, year, true}, "1500ms": {true, time.Second, false},
		"off": {Set: true}, "False": {Set: true}, "no": {Set: true}, "10y": {true, 10 * year, false},
	} {
		var o staticOptions
		if err := parseFilesCache(&o, "", text); err != nil || o.Cache != want {
			t.Errorf("cache %q: got %+v and %v, want %+v", text, o.Cache, err, want)
		}
	}
	for text, near := range map[string]string{"immutable": "1y immutable", "60": "60s", "0": "", "999ms": "", "11y": "", "1y forever": "", "on": "", "public": "", "off immutable": "", "max-age=60": ""} {
		var o staticOptions
		if err := parseFilesCache(&o, "", text); err == nil || suggestion(err) != near || o.Cache != (FilesCache{}) {
			t.Errorf("cache %q: got %+v and %v, want an error that suggests %q", text, o.Cache, err, near)
		}
	}
	for _, text := range []string{"upstream", "404", "/index.html", "/app/200.html", "/a b.html"} {
		if err := checkFallback(text); err != nil {
			t.Errorf("fallback %q: got %v", text, err)
		}
	}
	for text, near := range map[string]string{
		"index.html": "/index.html", "upstraem": "upstream", "500": "/500", "/": "/index.html", "/app/": "/app/index.html", "/../x": "", "/a/./b": "", "/a//b": "", "/.env": "", "/a/.git/x": "", "/a?b": "", "/a#b": "", `/a\b`: "", "off": "/off", "a/b": "",
	} {
		if err := checkFallback(text); err == nil || suggestion(err) != near {
			t.Errorf("fallback %q: got %v, want an error that suggests %q", text, err, near)
		}
	}
	for text, want := range map[string]string{"index.htm": "index.htm", "off": "", "False": "", "README": "README"} {
		o := staticOptions{Index: "before"}
		if err := parseIndex(&o, "", text); err != nil || o.Index != want {
			t.Errorf("index %q: got %q and %v, want %q", text, o.Index, err, want)
		}
	}
	for text, near := range map[string]string{"/index.html": "index.html", "a/b.html": "b.html", ".": "", "..": "", "a/..": "", ".hidden": "", "a\nb": "", `a\b`: "", strings.Repeat("a", 256): ""} {
		var o staticOptions
		if err := parseIndex(&o, "", text); err == nil || suggestion(err) != near {
			t.Errorf("index %.20q: got %v, want an error that suggests %q", text, err, near)
		}
	}
}

func TestRootIsAPathAlone(t *testing.T) {
	s := testSchema()
	for text, want := range map[string]string{"/site": "/site", "/site/": "/site", "site": "", "/static/:/site": "", "/a\n/b": "", "/": "", "file:/site": "", "C:/site": ""} {
		opts, problems := s.Decode("web", map[string]label.Setting{"root": {Key: "root", Text: text, Label: "fairlead.root"}})
		o, ok := label.Get[rootOptions](opts, "root")
		if ok != (want != "") || o.Dir != want || ok != (len(problems) == 0) {
			t.Errorf("%q: got %q and %v, want %q", text, o.Dir, problems, want)
		}
	}
	_, problems := s.Decode("web", map[string]label.Setting{"root": {Key: "root", Text: "/static/:/site", Label: "fairlead.root"}})
	if len(problems) != 1 || problems[0].Suggest != "/site" || problems[0].Effect != label.Ignored {
		t.Errorf("got %v, want /site suggested", problems)
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		file, dir, want string
		ok              bool
	}{
		{"/a/b", "/a", "b", true}, {"/a", "/a", "", true}, {"/ab", "/a", "", false}, {"/", "/a", "", false}, {"/a", "/", "a", true}, {"/", "/", "", true}, {"a/b", "", "a/b", true}, {"a/b", "a", "b", true}, {"", "a", "", false}, {"", "", "", true},
	} {
		if got, ok := within(tt.file, tt.dir); got != tt.want || ok != tt.ok {
			t.Errorf("%q in %q: got %q %v, want %q %v", tt.file, tt.dir, got, ok, tt.want, tt.ok)
		}
	}
}

// TestWhereTheProxySeesAFile: what of a container's mount the proxy has, and where.
func TestWhereTheProxySeesAFile(t *testing.T) {
	inContainer := func(words ...string) Self { return Self{ID: "self", Mounts: mounts(words...)} }
	for _, tt := range []struct {
		name, mount, file, want string
		self                    Self
	}{
		{"the same volume", "volume=v:/m", "a/b", "/srv/v/a/b", inContainer("volume=v:/srv/v")},
		{"another volume", "volume=v:/m", "a", "", inContainer("volume=w:/srv/w")},
		{"a volume of nearly that name", "volume=v:/m", "a", "", inContainer("volume=vv:/srv/v")},
		{"a part of it, all here", "volume=v/p:/m", "a", "/srv/v/p/a", inContainer("volume=v:/srv/v")},
		{"all of it, a part here", "volume=v:/m", "p/a", "/srv/p/a", inContainer("volume=v/p:/srv/p")},
		{"all of it, another part here", "volume=v:/m", "a", "", inContainer("volume=v/p:/srv/p")},
		{"the part itself", "volume=v/p/q:/m", "", "/srv/p/q", inContainer("volume=v/p:/srv/p")},
		{"the same bind", "bind=/h:/m", "a", "/b/a", inContainer("bind=/h:/b")},
		{"a parent bind", "bind=/h/x/y:/m", "a", "/b/x/y/a", inContainer("bind=/h:/b")},
		{"a bind of what is below", "bind=/h:/m", "x/a", "/b/a", inContainer("bind=/h/x:/b")},
		{"a bind of a sibling", "bind=/h:/m", "y/a", "", inContainer("bind=/h/x:/b")},
		{"a bind beside it", "bind=/h:/m", "a", "", inContainer("bind=/hh:/b")},
		{"the nearest of two binds", "bind=/h/x:/m", "a", "/c/a", inContainer("bind=/h:/b", "bind=/h/x:/c")},
		{"the directory of all volumes", "volume=v:/m", "a", "/v/v/_data/a", inContainer("bind=/var/lib/docker/volumes:/v")},
		{"all of the host", "bind=/h:/m", "a", "/host/h/a", inContainer("bind=/:/host")},
		{"under another mount", "bind=/h/x:/m", "a", "", inContainer("bind=/h:/b", "volume=w:/b/x")},
		{"under another mount, and elsewhere", "bind=/h/x:/m", "a", "/z/h/x/a", inContainer("bind=/h:/b", "volume=w:/b/x", "bind=/:/z")},
		{"another mount further below", "bind=/h/x:/m", "", "/b/x", inContainer("bind=/h:/b", "volume=w:/b/x/y")},
		{"a tmpfs", "tmpfs=/m", "a", "", inContainer("tmpfs=/m", "bind=/:/host")},
		{"on the host", "bind=/h:/m", "a", "/h/a", Self{HostNet: true}},
		{"a volume, on the host", "volume=v/p:/m", "a", "/var/lib/docker/volumes/v/_data/p/a", Self{HostNet: true}},
		{"a tmpfs, on the host", "tmpfs=/m", "a", "", Self{HostNet: true}},
		{"a container in the host's network", "bind=/h:/m", "a", "", Self{ID: "self", HostNet: true}},
		{"another machine", "bind=/h:/m", "a", "", Self{}},
	} {
		if got := tt.self.sees(&mounts(tt.mount)[0], tt.file).Path(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	// Of a driver that does not say where the volume is.
	remote := Mount{At: "/m", Kind: "volume", Volume: "nfs"}
	both, host := Self{ID: "self", Mounts: []Mount{{At: "/srv/nfs", Kind: "volume", Volume: "nfs"}}}, Self{HostNet: true}
	if got := both.sees(&remote, "a").Path(); got != "/srv/nfs/a" {
		t.Errorf("a volume without a directory: got %q, want /srv/nfs/a", got)
	}
	// An engine may keep its volumes where nothing else is served.
	tmp := Mount{At: "/m", Kind: "volume", Volume: "v", Host: "/run/docker/volumes/v/_data"}
	l := layout{self: &Self{ID: "self", Mounts: []Mount{{At: "/srv/v", Kind: "volume", Volume: "v", Host: tmp.Host}}}}
	if here, why := l.place(&tmp, "a"); here != (Place{"/srv/v", "a"}) || why != "" {
		t.Errorf("a volume of an engine below /run: got %q %q, want /srv/v/a", here, why)
	}
	// Below what is the app's, no link may lead elsewhere; the mount itself is found
	// by those of the host.
	for _, tt := range []struct {
		self        Self
		mount, file string
		want        Place
	}{
		{Self{HostNet: true}, "bind=/h:/m", "a/b", Place{"/h", "a/b"}},
		{inContainer("bind=/h:/b"), "bind=/h/x:/m", "a", Place{"/b/x", "a"}},
		{inContainer("bind=/h/x/y:/b"), "bind=/h/x:/m", "y/a", Place{"/b", "a"}},
		{inContainer("volume=v:/srv/v"), "volume=v/p:/m", "a", Place{"/srv/v/p", "a"}},
	} {
		if got := tt.self.sees(&mounts(tt.mount)[0], tt.file); got != tt.want {
			t.Errorf("%s of %s: got %v, want %v", tt.file, tt.mount, got, tt.want)
		}
	}
	if got := host.sees(&remote, "a").Path(); got != "" {
		t.Errorf("a volume without a directory, on the host: got %q, want nothing", got)
	}
}

func TestSecretsAreNamedNotGiven(t *testing.T) {
	for text, want := range map[string]bool{
		"file:/run/secrets/x": true, "env:FAIRLEAD_SECRET_X": true,
		"env:PATH": false, "env:FAIRLEAD_DATA_DIR": false, "/run/secrets/x": false, "file:x": false, "": false, "-----BEGIN": false,
	} {
		if err := checkSecret(text); (err == nil) != want {
			t.Errorf("%q: got %v, want it accepted: %v", text, err, want)
		}
	}
}

func TestConditionCount(t *testing.T) {
	c := Conditions{Methods: []string{"GET", "HEAD"}, Headers: []Compare{{Name: "A"}, {Name: "B"}}, Query: []Compare{{Name: "c"}}, ClientIP: []ClientRange{{Preset: "loopback"}}}
	if got := c.Count(); got != 5 {
		t.Errorf("got %d, want 5: two headers, a parameter, methods, addresses", got)
	}
	if got := (Conditions{}).Count(); got != 0 {
		t.Errorf("got %d for no conditions, want 0", got)
	}
}

func TestPresets(t *testing.T) {
	for name := range presets {
		r, err := parseClientRange(name)
		if err != nil || len(r.Prefixes()) != len(presets[name]) {
			t.Errorf("%s: got %v and %v", name, r.Prefixes(), err)
		}
	}
	if r, err := parseClientRange("10.0.0.1"); err != nil || len(r.Prefixes()) != 1 || !reflect.DeepEqual(r.Prefixes()[0], r.Prefix) {
		t.Errorf("got %v and %v, want one address", r, err)
	}
}

func FuzzHostPattern(f *testing.F) {
	for _, text := range []string{"a.ex", "*.a.ex", "*", "[::1]", "::ffff:1.2.3.4", "bücher.example", "a:80", "[a:b]", "~x", "1.2.3.4", "a..b", "xn--", "℀"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHostPattern(text)
		if err != nil {
			return
		}
		if again, err := ParseHostPattern(h.String()); err != nil || again != h {
			t.Fatalf("%q: got %v, which reads as %v and %v", text, h, again, err)
		}
		if strings.ContainsAny(h.Text, " ,/\\%@\x00\n*") || strings.ToLower(h.Text) != h.Text || len(h.Text) > 255 {
			t.Fatalf("%q: got %q, which is no canonical host", text, h.Text)
		}
	})
}

func FuzzStaticItem(f *testing.F) {
	for _, text := range []string{"/static/:/app/staticfiles", "/a:/b/", "/:/", "/a/:file:/x", "C:\\a", "/a/:/run/../app", "=/a:/b", "~/a:/b", "/a/:/proc/self", "/a/:/b:ro"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		item, err := parseStaticItem(text)
		if err != nil {
			if near := suggestion(err); len(near) > 2*len(text)+40 {
				t.Fatalf("%q: got a suggestion of %d bytes", text, len(near))
			}
			return
		}
		if p, err := parsePath(item.Prefix); err != nil || p != (Path{PathPrefix, item.Prefix}) {
			t.Fatalf("%q: got the prefix %q, which is none", text, item.Prefix)
		}
		if item.Dir != path.Clean(item.Dir) || item.Dir[0] != '/' || refusal(item.Dir) != "" {
			t.Fatalf("%q: got the directory %q", text, item.Dir)
		}
		if again, err := parseStaticItem(item.Prefix + ":" + item.Dir); err != nil || again != item {
			t.Fatalf("%q: got %v, which reads as %v and %v", text, item, again, err)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, text := range []string{"/", "/api", "=/x", "~/a.*", "/é", "/a/../b", "//", "*", "/a%2e", "~^", "~\\Q"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		var hint *label.Hint
		if err != nil && !errors.As(err, &hint) {
			return
		}
		if p.Kind == PathRegexp {
			if re, err := label.Whole(p.Text); err != nil {
				t.Fatalf("%q: was accepted and does not compile: %v", text, err)
			} else {
				re.MatchString("/")
			}
			return
		}
		if !strings.HasPrefix(p.Text, "/") || strings.Contains(p.Text, "//") || strings.ContainsAny(p.Text, "?# ;\\\t*") || strings.Contains(p.Text+"/", "/../") {
			t.Fatalf("%q: got %q, which is no canonical path", text, p.Text)
		}
		if again, err := parsePath(p.String()); err != nil || again != p {
			t.Fatalf("%q: got %v, which reads as %v and %v", text, p, again, err)
		}
	})
}
