package files

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/assets"
)

func TestWhatIsNotThere(t *testing.T) {
	tree := newTree(t, map[string]string{"index.html": "spa", "a.css": "style", "dir/x": "", ".env": ""})
	spa := func(o *Options) { o.Fallback = "/index.html" }
	app404 := func(o *Options) { o.App = app }
	both := func(o *Options) { o.App, o.Fallback = app, "/index.html" }
	lost := func(o *Options) { o.Fallback = "/lost.html" }
	static := func(o *Options) { o.Root, o.App, o.Fallback = false, app, "/index.html" }
	page, mode, script := []string{"Accept", "text/html,*/*;q=0.8"}, []string{"Sec-Fetch-Mode", "navigate"}, []string{"Accept", "*/*"}
	for _, tt := range []struct {
		what   string
		change func(*Options)
		method string
		target string
		header []string
		status int
		body   string // its begin
	}{
		{"nothing answers", func(*Options) {}, "", "/x", page, 404, "<!doctype html>"},
		{"upstream", withApp, "", "/x", script, 200, "app: GET /x"},
		{"a file goes before upstream", withApp, "", "/a.css", script, 200, "style"},
		{"upstream for a directory", withApp, "", "/dir", script, 200, "app: GET /dir"},
		{"upstream without an app", func(o *Options) { o.Fallback = "upstream" }, "", "/x", script, 404, "404"},
		{"404 with an app", app404, "", "/x", script, 404, "404"},
		{"a page of a single-page app", spa, "", "/users/7", page, 200, "spa"},
		{"a browser that navigates", spa, "", "/users/7", mode, 200, "spa"},
		{"HEAD", spa, http.MethodHead, "/users/7", page, 200, ""},
		{"a script is no page", spa, "", "/gone.js", script, 404, "404"},
		{"no Accept at all", spa, "", "/gone.js", nil, 404, "404"},
		{"a directory without an index", spa, "", "/dir/", page, 200, "spa"},
		{"a hidden file", spa, "", "/.env", page, 404, "<!doctype html>"},
		{"the fallback is missing", lost, "", "/x", page, 404, "<!doctype html>"},
		{"the fallback itself is missing", lost, "", "/lost.html", page, 404, "<!doctype html>"},
		{"a page where an app is behind", both, "", "/users/7", page, 200, "spa"},
		{"what is no page where an app is behind", both, "", "/api/users", script, 200, "app: GET /api/users"},
		{"what is no page below a prefix", static, "", "/gone.js", script, 404, "404"},
	} {
		out := ask(root(tree, tt.change), call{method: tt.method, target: tt.target, header: tt.header})
		if out.status != tt.status || !strings.HasPrefix(out.body, tt.body) {
			t.Errorf("%s: got %d with %.60q, want %d with %q", tt.what, out.status, out.body, tt.status, tt.body)
		}
		if out.status == 404 && out.x.Code != "no-file" {
			t.Errorf("%s: the code is %q", tt.what, out.x.Code)
		}
		if tt.body == "spa" && out.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: Cache-Control is %q", tt.what, out.header.Get("Cache-Control"))
		}
	}
	long := root(tree, func(o *Options) { o.Fallback, o.Cache = "/index.html", CachePolicy{Set: true, Age: time.Hour} })
	if got := get(long, "/users", page...).header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("a fallback where files are cached: Cache-Control is %q", got)
	}
}

func TestThePageFor404IsAnAnswerWithoutConditions(t *testing.T) {
	tree := newTree(t, map[string]string{"404.html": "lost?", "404.html.gz": "gz"})
	h := root(tree)
	for _, method := range []string{"GET", "HEAD"} {
		out := ask(h, call{method: method, target: "/x", header: []string{"Range", "bytes=0-1", "If-None-Match", "*", "If-Match", `"x"`}})
		want := "lost?"
		if method == "HEAD" {
			want = ""
		}
		out.expect(t, method, 404, want)
		if h := out.header; h.Get("Etag") != "" || h.Get("Last-Modified") != "" || h.Get("Cache-Control") != "no-cache" || h.Get("Content-Length") != "5" || h.Get("Content-Type") != "text/html; charset=utf-8" || out.x.Code != "no-file" {
			t.Errorf("%s: got %v, code %q", method, h, out.x.Code)
		}
	}
	if out := get(h, "/x", "Accept-Encoding", "gzip"); out.status != 404 || out.body != "gz" || out.header.Get("Content-Encoding") != "gzip" || out.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("compressed: got %d, %q, %v", out.status, out.body, out.header)
	}
	get(h, "/404.html").expect(t, "the page itself", 200, "lost?")
}

func TestFilesThatCannotBeRead(t *testing.T) {
	tree := newTree(t, map[string]string{"a.css": "style"})
	plain, behind := root(tree), root(tree, withApp)
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{assets.ErrUnavailable, 503, "files-unavailable"}, {errors.New("input/output error"), 503, "files-unavailable"}, {fs.ErrPermission, 404, "no-file"}, {fs.ErrNotExist, 404, "no-file"},
	} {
		tree.is(tt.err)
		out := get(plain, "/a.css")
		out.expectCode(t, tt.err.Error(), tt.status, tt.code)
		if tt.status == 503 && (out.header.Get("Retry-After") == "" || !errors.Is(out.x.Cause, tt.err)) {
			t.Errorf("%v: got %v, cause %v", tt.err, out.header, out.x.Cause)
		}
		get(behind, "/a.css").expect(t, tt.err.Error()+", with an app", 200, "app: GET /a.css")
	}
	tree.is(nil)
	get(plain, "/a.css").expect(t, "once it can", 200, "style")
}

// pendingTree returns a tree whose files are still to come, and what makes them
// come.
func pendingTree(t *testing.T) (tree *testTree, arrive func(error)) {
	tree = newTree(t, map[string]string{"a.css": "style"})
	tree.is(assets.ErrPending)
	c := make(chan struct{})
	tree.changed.Store(&c)
	return tree, func(err error) {
		next := make(chan struct{})
		tree.is(err)
		close(*tree.changed.Swap(&next))
	}
}

func TestRequestsWaitForFilesThatAreStillToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, arrive := pendingTree(t)
		h := root(tree, func(o *Options) { o.Hold = 10 * time.Second })
		time.AfterFunc(2*time.Second, func() { arrive(assets.ErrPending) }) // a change, but not the one
		time.AfterFunc(3*time.Second, func() { arrive(nil) })
		out := get(h, "/a.css")
		out.expect(t, "files that came", 200, "style")
		if out.x.Held != 3*time.Second {
			t.Errorf("held for %v, want 3s", out.x.Held)
		}
	})
}

func TestFilesThatDoNotComeInTimeAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := pendingTree(t)
		begin := time.Now()
		out := get(root(tree, func(o *Options) { o.Hold = 10 * time.Second }), "/a.css")
		out.expectCode(t, "files that do not come", 503, "files-pending")
		if waited := time.Since(begin); waited != 10*time.Second || out.header.Get("Retry-After") == "" {
			t.Errorf("waited %v, Retry-After %q", waited, out.header.Get("Retry-After"))
		}
		begin = time.Now()
		get(root(tree), "/a.css").expectCode(t, "without hold", 503, "files-pending")
		get(root(tree, func(o *Options) { o.App, o.Hold = app, time.Minute; o.Fallback = "upstream" }), "/a.css").expect(t, "an app", 200, "app: GET /a.css")
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %v where there is nothing to wait for", waited)
		}
	})
}

func TestAClientThatLeavesEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := pendingTree(t)
		h := root(tree, func(o *Options) { o.Hold = time.Minute })
		begin := time.Now()
		out := ask(h, call{target: "/a.css", leaves: time.Second})
		if waited := time.Since(begin); !out.aborted || out.x.Code != "client-gone" || waited != time.Second {
			t.Errorf("aborted %v, code %q after %v", out.aborted, out.x.Code, waited)
		}
	})
}
