package files

import (
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesOfPaths(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, tt := range []struct {
		path, name string
		slash      bool
		how        reading
	}{
		{"", "", false, usable},
		{"/", "", true, usable},
		{"/a.css", "a.css", false, usable},
		{"a/b.css", "a/b.css", false, usable},
		{"/a/", "a", true, usable},
		{"//a///b//", "a/b", true, usable},
		{"/a%20b/%C3%A4.txt", "a b/ä.txt", false, usable},
		{"/ä", "ä", false, usable},
		{"/100%25", "100%", false, usable},
		{"/%2541", "%41", false, usable},
		{"/a;b=1", "a;b=1", false, usable},
		{"/a.", "a.", false, usable},
		{"/" + long, long, false, usable},
		{"/.well-known/security.txt", ".well-known/security.txt", false, usable},
		{"/%2ewell-known/x", ".well-known/x", false, usable},
		{"/a.phpx", "a.phpx", false, usable},
		{"/php", "php", false, usable},
		{"/a.php/", "a.php", true, usable},

		{"/" + long + "a", "", false, barred},
		{"/" + strings.Repeat("a/", 2048) + "b", "", false, barred},
		{"/..", "", false, barred},
		{"/a/../b", "", false, barred},
		{"/%2e%2e/a", "", false, barred},
		{"/.%2E/a", "", false, barred},
		{"/./a", "", false, barred},
		{"/a%2fb", "", false, barred},
		{"/a%2Fb", "", false, barred},
		{`/a\b`, "", false, barred},
		{"/a%5cb", "", false, barred},
		{"/a%00.css", "", false, barred},
		{"/a%0a", "", false, barred},
		{"/a\x7f", "", false, barred},
		{"/%ff", "", false, barred},
		{"/\xff", "", false, barred},
		{"/%c0%ae%c0%ae/x", "", false, barred},
		{"/.git/config", "", false, barred},
		{"/a/.env", "", false, barred},
		{"/%2eenv", "", false, barred},
		{"/.well-known/.secret", "", false, barred},
		{"/a/.well-known/x", "", false, barred},
		{"/.well-knownx", "", false, barred},
		{"/index.php", "", false, barred},
		{"/INDEX.PHP", "", false, barred},
		{"/a.ph%70", "", false, barred},
		{"/a.phtml", "", false, barred},
		{"/a.phar", "", false, barred},
		{"/a.php5", "", false, barred},

		{"/%", "", false, malformed},
		{"/%4", "", false, malformed},
		{"/a%zz/b", "", false, malformed},
		{"/%4/1", "", false, malformed},
		{"/..%", "", false, malformed},
	} {
		name, slash, how := readName(tt.path)
		if name != tt.name || slash != tt.slash || how != tt.how {
			t.Errorf("%.80q: got %.80q, slash %v, %d; want %.80q, slash %v, %d", tt.path, name, slash, how, tt.name, tt.slash, tt.how)
		}
	}
}

// modelName is readName in other words.
func modelName(path string) (name string, ok bool) {
	var segments []string
	for _, raw := range strings.Split(path, "/") {
		if raw == "" {
			continue
		}
		s, err := url.PathUnescape(raw)
		hidden := strings.HasPrefix(s, ".") && !(s == ".well-known" && len(segments) == 0)
		control := strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
		if err != nil || hidden || control || strings.ContainsAny(s, `/\`) || len(s) > 255 || !utf8.ValidString(s) {
			return "", false
		}
		segments = append(segments, s)
	}
	name = strings.Join(segments, "/")
	lower := strings.ToLower(name)
	for _, ext := range []string{".php", ".phtml", ".phar", ".pht", ".phps", ".php0", ".php1", ".php2", ".php3", ".php4", ".php5", ".php6", ".php7", ".php8", ".php9"} {
		if strings.HasSuffix(lower, ext) && !strings.HasSuffix(path, "/") {
			return "", false
		}
	}
	return name, len(name) <= 4095
}

// FuzzName asks for raw targets: nothing but the model's name, and what goes with
// it, is ever asked of a tree, and none of it is outside or hidden.
func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"/a.css", "/dir", "/dir/", "//dir//", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/a%00", "/.git/config", "/.well-known/a", "/a.php", "/%", "/%C3%A4", "/dir/..;/", `/\..\`, "/a%5c..%5cb", "/a?x=/../y", "//evil.test/..", "/%252e%252e/",
	} {
		f.Add(seed)
	}
	tree := newTree(f, map[string]string{"a.css": "a", "dir/index.html": "i", ".git/config": "secret", "a.php": "secret"})
	h := root(tree, func(o *Options) { o.List = true })
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		tree.mu.Lock()
		tree.names = nil
		tree.mu.Unlock()
		h.o.Answers = NewAnswers(1<<20, 100)
		out := get(h, target)
		path, _, _ := strings.Cut(target, "?")
		want, ok := modelName(path)
		for _, name := range tree.names {
			outside := name != "" && !fs.ValidPath(name)
			if hidden := strings.HasPrefix(name, ".git") || strings.Contains(name, "/."); outside || hidden || strings.ContainsAny(name, "\x00\\") {
				t.Errorf("%q: the tree was asked for %q", target, name)
			}
			switch rest, found := strings.CutPrefix(name, want); {
			case name == "404.html", strings.HasPrefix(name, "404.html."):
			case ok && found && (rest == "" || want == "" || rest == "/index.html" || strings.HasPrefix(rest, "/index.html.") || rest == ".zst" || rest == ".br" || rest == ".gz"):
			default:
				t.Errorf("%q: the tree was asked for %q; the model says %q, %v", target, name, want, ok)
			}
		}
		if strings.Contains(out.body, "secret") {
			t.Errorf("%q: got %q", target, out.body)
		}
		if to := out.header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Errorf("%q: sent to %q", target, to)
		}
	})
}

func TestWhatIsNoNameIsNotFoundAndMalformedIsRefused(t *testing.T) {
	h := root(newTree(t, map[string]string{"index.html": "home", ".env": "secret", "a.php": "secret"}), func(o *Options) { o.Fallback = "/index.html" })
	html := []string{"Accept", "text/html"}
	for _, tt := range []struct {
		target string
		status int
		code   string
	}{
		{"/.env", 404, "no-file"}, {"/a.php", 404, "no-file"}, {"/%2e%2e/x", 404, "no-file"}, {"/a%2fb", 404, "no-file"}, {"/a%00", 404, "no-file"}, {"/%zz", 400, "bad-target"},
	} {
		if out := get(h, tt.target, html...); out.status != tt.status || out.x.Code != tt.code {
			t.Errorf("%s: got %d with code %q, want %d with %q", tt.target, out.status, out.x.Code, tt.status, tt.code)
		}
	}
	withUpstream := root(newTree(t, nil), withApp)
	for _, target := range []string{"/.env", "/a.php", "/a%2fb", "/100%"} {
		get(withUpstream, target).expect(t, target+" with an app", 200, "app: GET "+target)
	}
}

func TestNamesAreWhatFollowsThePrefixInTheTargetAsItWasMatched(t *testing.T) {
	tree := newTree(t, map[string]string{"a.css": "style", "index.html": "home"})
	h := New(Options{Areas: []Area{{Tree: tree}}, Fallback: "404", Index: "index.html"})
	for _, tt := range []struct {
		c      call
		status int
		body   string
	}{
		{call{target: "/static/a.css?v=1", prefix: "/static/"}, 200, "style"},
		{call{target: "/static/a.css", prefix: "/static"}, 200, "style"},
		{call{target: "/static/a.css", path: "/v2/static/a.css", prefix: "/static/"}, 200, "style"},
		{call{target: "/static/", prefix: "/static/"}, 200, "home"},
	} {
		ask(h, tt.c).expect(t, tt.c.target, tt.status, tt.body)
	}
	if out := ask(h, call{target: "/static?q=1", prefix: "/static"}); out.status != 308 || out.header.Get("Location") != "/static/?q=1" {
		t.Errorf("the prefix without its slash: got %d to %q", out.status, out.header.Get("Location"))
	}
	// A document root takes the path as it was rewritten, and the way back as the
	// client knows it.
	r := root(newTree(t, map[string]string{"docs/index.html": "docs", "index.html": "home"}))
	ask(r, call{target: "/app/docs/", path: "/docs/", prefix: "/app"}).expect(t, "a rewritten path", 200, "docs")
	for target, path := range map[string]string{"/app/docs": "/docs", "/app": "/"} {
		if out := ask(r, call{target: target, path: path, prefix: "/app"}); out.status != 308 || out.header.Get("Location") != target+"/" {
			t.Errorf("%s: got %d to %q, want 308 to %s/", target, out.status, out.header.Get("Location"), target)
		}
	}
}
