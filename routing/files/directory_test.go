package files

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/assets"
)

func TestDirectories(t *testing.T) {
	tree := newTree(t, map[string]string{
		"index.html": "home", "docs/index.html": "docs", "bare/a.txt": "a", "odd/index.html/x": "", "a.txt": "a",
	})
	plain := root(tree)
	listed := root(tree, func(o *Options) { o.List = true })
	none := root(tree, func(o *Options) { o.Index = "" })
	other := root(tree, func(o *Options) { o.Index = "a.txt" })
	script := root(tree, func(o *Options) { o.Index = "index.php" })
	for _, tt := range []struct {
		what   string
		h      http.Handler
		target string
		status int
		to     string
		begin  string // of the body
	}{
		{"the root", plain, "/", 200, "", "home"},
		{"an index", plain, "/docs/", 200, "", "docs"},
		{"without a slash", plain, "/docs", 308, "/docs/", ""},
		{"with a query", plain, "/docs?a=1&b=//x", 308, "/docs/?a=1&b=//x", ""},
		{"an empty query", plain, "/docs?", 308, "/docs/?", ""},
		{"two slashes at the begin", plain, "//docs", 308, "/docs/", ""},
		{"many slashes", plain, "///docs?x", 308, "/docs/?x", ""},
		{"encoded", plain, "/d%6fcs", 308, "/d%6fcs/", ""},
		{"neither index nor listing", plain, "/bare/", 404, "", "404"},
		{"neither index nor listing, without a slash", plain, "/bare", 404, "", "404"},
		{"a directory in the place of the index", plain, "/odd/", 404, "", "404"},
		{"a file with a slash", plain, "/a.txt/", 404, "", "404"},
		{"a listing", listed, "/bare/", 200, "", "<!doctype html>"},
		{"a listing without a slash", listed, "/bare", 308, "/bare/", ""},
		{"the index goes before the listing", listed, "/docs/", 200, "", "docs"},
		{"no index is asked for", none, "/docs/", 404, "", "404"},
		{"another index", other, "/bare/", 200, "", "a"},
		{"a script is no index", script, "/docs/", 404, "", "404"},
	} {
		out := get(tt.h, tt.target)
		if out.status != tt.status || out.header.Get("Location") != tt.to || !strings.HasPrefix(out.body, tt.begin) {
			t.Errorf("%s: got %d to %q with %.40q, want %d to %q with %q", tt.what, out.status, out.header.Get("Location"), out.body, tt.status, tt.to, tt.begin)
		}
	}
	if tree.asked("index.php") || tree.asked("docs/index.php") {
		t.Error("the tree was asked for a script")
	}
}

// A directory that is called like a host must not become one.
func TestNoRedirectLeavesTheHost(t *testing.T) {
	h := root(newTree(t, map[string]string{"evil.test/index.html": "x", "evil.test/%2e/index.html": "x"}))
	for _, target := range []string{"//evil.test", "///evil.test", "//evil.test?x", "/%65vil.test", "////evil.test//%252e"} {
		out := get(h, target)
		if to := out.header.Get("Location"); out.status != 308 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) {
			t.Errorf("%s: got %d to %q", target, out.status, to)
		}
	}
	out := ask(h, call{target: `/\evil.test`, path: "/evil.test"})
	if to := out.header.Get("Location"); to != "/evil.test/" {
		t.Errorf("a backslash: sent to %q", to)
	}
}

func TestAListingIsSortedAndSafe(t *testing.T) {
	tree := newTree(t, map[string]string{
		"b.txt": "12345", "A.txt": "", "z/x": "", "Dir/x": "", ".env": "secret", ".git/config": "", "run.php": "x", "script.php/x": "",
		"javascript:alert(1)": "x", `"><script>alert(1)<`: "x", "a b&c.txt": "x", "100%.txt": "x", "line\nbreak": "x", "not\xffutf8": "x",
	})
	big := newTree(t, nil)
	h := New(Options{Root: true, List: true, Fallback: "404", Areas: []Area{{Tree: tree}, {Below: "media", Tree: big}, {Below: "z"}, {Below: "deep/er", Tree: big}}})
	out := get(h, "/", "Accept", "application/json")
	var items []item
	if err := json.Unmarshal([]byte(out.body), &items); err != nil {
		t.Fatalf("%v: %s", err, out.body)
	}
	var names []string
	for _, it := range items {
		names = append(names, it.Name)
	}
	want := []string{"Dir", "media", "script.php", `"><script>alert(1)<`, "100%.txt", "a b&c.txt", "A.txt", "b.txt", "javascript:alert(1)"}
	if slices.Sort(want[3:]); !slices.Equal(names[:3], want[:3]) || len(names) != len(want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for _, it := range items {
		if it.Name == "b.txt" && (it.Type != "file" || *it.Size != 5 || it.Modified != "Mon, 06 May 2024 07:08:09 GMT") {
			t.Errorf("got %+v", it)
		}
	}
	out = get(h, "/", "Accept", "text/html, application/json")
	for _, want := range []string{
		`<a href="./Dir/">Dir/</a>`, `<a href="./100%25.txt">100%.txt</a>`, `<a href="./a%20b&amp;c.txt">a b&amp;c.txt</a>`, `<a href="./javascript:alert%281%29">`, `./%22%3E%3Cscript%3Ealert%281%29%3C`, `5B`, "2024-05-06 07:08", "<title>Index of /</title>",
	} {
		if !strings.Contains(out.body, want) {
			t.Errorf("the page has no %s:\n%s", want, out.body)
		}
	}
	for _, never := range []string{"<script", "secret", ".env", ".git", "run.php", "\xff", "../"} {
		if strings.Contains(out.body, never) {
			t.Errorf("the page has %q:\n%s", never, out.body)
		}
	}
	for name, want := range map[string]string{"Cache-Control": "no-cache", "Content-Type": "text/html; charset=utf-8", "Vary": "Accept", "X-Content-Type-Options": "nosniff"} {
		if got := out.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if csp := out.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
	if out := get(h, "/media/"); !strings.Contains(out.body, `href="../"`) || !strings.Contains(out.body, "There are no files here.") {
		t.Errorf("an empty directory:\n%s", out.body)
	}
	head := ask(h, call{method: http.MethodHead, target: "/"})
	if head.body != "" || head.header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %v with %d bytes", head.header, len(head.body))
	}
}

// cutTree says that its lists do not have everything.
type cutTree struct{ *testTree }

func (t cutTree) List(name string) ([]assets.File, error) {
	list, err := t.testTree.List(name)
	if err == nil {
		err = assets.ErrCut
	}
	return list, err
}

func TestACutListingSaysSo(t *testing.T) {
	whole := newTree(t, map[string]string{"a.txt": "a"})
	h := New(Options{Root: true, List: true, Fallback: "404", Areas: []Area{{Tree: cutTree{whole}}}})
	said := get(h, "/").body
	if !strings.Contains(said, "a.txt") || !strings.Contains(said, "more") {
		t.Errorf("a listing that was cut:\n%s", said)
	}
	if out := get(root(whole, func(o *Options) { o.List = true }), "/"); strings.Contains(out.body, "more") {
		t.Errorf("a whole listing:\n%s", out.body)
	}
}

func TestTitlesOfListingsAreEscaped(t *testing.T) {
	h := root(newTree(t, map[string]string{"<b>&/x": ""}), func(o *Options) { o.List = true })
	if out := get(h, "/%3Cb%3E&/"); out.status != 200 || !strings.Contains(out.body, "<title>Index of /&lt;b&gt;&amp;/</title>") {
		t.Errorf("got %d:\n%s", out.status, out.body)
	}
}

func TestAreasAreFoundByTheLongestName(t *testing.T) {
	at := func(name string) assets.Tree { return newTree(t, map[string]string{"a.txt": name}) }
	h := New(Options{Root: true, Fallback: "404", Areas: []Area{{Tree: at("all")}, {Below: "media", Tree: at("media")}, {Below: "media/private"}, {Below: "media/deep/er", Tree: at("deeper")}}})
	for target, want := range map[string]string{"/a.txt": "all", "/media/a.txt": "media", "/media/deep/er/a.txt": "deeper"} {
		get(h, target).expect(t, target, 200, want)
	}
	for _, target := range []string{"/mediaa.txt", "/media/private/a.txt", "/media/deep/a.txt", "/media/deeper/a.txt"} {
		get(h, target).expectCode(t, target, 404, "no-file")
	}
	h = New(Options{Root: true, Fallback: "404", App: app, Areas: []Area{{Tree: at("all")}, {Below: "media"}}})
	get(h, "/media/x").expect(t, "what is not shared, with an app", 200, "app: GET /media/x")
}
