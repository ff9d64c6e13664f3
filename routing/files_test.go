package routing

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/spec"
)

// onBind gives the container called name a bind mount at dir with these files,
// which the proxy, outside of containers, reads where they lie.
func (w *world) onBind(name, dir string, files map[string]string) {
	w.t.Helper()
	host := w.t.TempDir()
	for file, content := range files {
		path := filepath.Join(host, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.change(name, func(c *spec.Workload) { c.Mounts = append(c.Mounts, spec.Mount{At: dir, Kind: "bind", Host: host}) })
}

func TestFilesComeBeforeTheApp(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("web web@shop\n\thost: app.ex\n\tstatic: /static/:/app/static\n\theader.response.X-Policy: kept\n" +
		"sub sub@shop\n\thost: sub.ex/app\n\tstrip: true\n\tstatic: /app/files:/files\n" +
		"spa spa@shop\n\thost: spa.ex\n\troot: /site\n\tstatic.fallback: /index.html\n\tport: 80\n" +
		"api api@shop\n\thost: spa.ex/api\n" +
		"alone alone@shop\n\thost: alone.ex\n\troot: /site\n\tstatic.fallback: /index.html\n" +
		"php php@shop\n\thost: php.ex\n\troot: /www\n")
	w.onBind("web", "/app/static", map[string]string{"app.css": "body{}", "img/a.png": "png", ".env": "SECRET=1"})
	w.onBind("sub", "/files", map[string]string{"a.txt": "a"})
	w.onBind("spa", "/site", map[string]string{"index.html": "<h1>", "app.js": "js"})
	w.onBind("alone", "/site", map[string]string{"index.html": "<h1>"})
	w.change("alone", func(c *spec.Workload) { c.Exposed = nil })
	w.onBind("php", "/www", map[string]string{"style.css": "css", "index.php": "<?php secret"})
	w.turn()
	w.wants(`
		GET app.ex/static/app.css         => 200 shop/web.~/static/
		HEAD app.ex/static/img/a.png      => 200 shop/web.~/static/
		GET app.ex/static                 => 308 shop/web.~/static/ /static/
		GET app.ex/static/none            => 200 shop/web.~/static/ /static/none
		GET app.ex/static/.env            => 200 shop/web.~/static/ /static/.env
		POST app.ex/static/app.css        => 200 shop/web.~/static/ /static/app.css
		GET app.ex/app.css                => 200 shop/web /app.css
		# The app sees what it would without static.
		GET sub.ex/app/files/a.txt        => 200 shop/sub.~/app/files
		GET sub.ex/app/files/b.txt        => 200 shop/sub.~/app/files /files/b.txt
		GET spa.ex/app.js                 => 200 shop/spa
		GET spa.ex/deep/link Accept=text/html => 200 shop/spa
		GET spa.ex/deep/link.js Accept=*/* => 200 shop/spa /deep/link.js
		GET spa.ex/api/x                  => 200 shop/api /api/x
		GET alone.ex/deep/link Accept=text/html => 200 shop/alone
		GET alone.ex/deep/link.js Accept=*/* => 404 shop/alone no-file
		POST alone.ex/                    => 405 shop/alone no-method
		GET php.ex/style.css              => 200 shop/php
		# No source of a script is shown.
		GET php.ex/index.php              => 200 shop/php /index.php
		GET php.ex/                       => 200 shop/php /`)
	if got := w.ask("GET app.ex/static/app.css").Header; got.Get("X-Policy") != "kept" || got.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("got header %v, want the route's policies on a style sheet", got)
	}
	if got := w.ask("GET spa.ex/deep/link Accept=text/html").Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("got Cache-Control %q of the page of a single-page app, want no-cache", got)
	}
}

func TestExplainTellsOfFiles(t *testing.T) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: app.ex\n\tstatic: /static/:/app/static\nsite site@shop\n\thost: site.ex\n\troot: /site\n")
	w.change("site", func(c *spec.Workload) { c.Exposed = nil })
	w.onBind("web", "/app/static", map[string]string{"app.3f9c2a1b.js": "js", "dir/index.html": "i"})
	w.onBind("site", "/site", map[string]string{"index.html": "i"})
	w.turn()
	defer w.retireAll()
	for _, tt := range []struct {
		host, path string
		ok         bool
		want       string
	}{
		{"app.ex", "/static/app.3f9c2a1b.js", true, `
200: a file of the route shop/web.~/static/
host: matches app.ex, held by shop
path shop/web.~/static/: matches /static/
path shop/web: matches / as well, which is less specific
file shop/web.~/static/: found: text/javascript; charset=utf-8, public, max-age=31536000, immutable`},
		{"app.ex", "/static/dir", true, `
308: to /static/dir/
host: matches app.ex, held by shop
path shop/web.~/static/: matches /static/
path shop/web: matches / as well, which is less specific
file shop/web.~/static/: a directory`},
		{"app.ex", "/static/none", true, `
goes to shop/web:80
host: matches app.ex, held by shop
path shop/web.~/static/: matches /static/
path shop/web: matches / as well, which is less specific
file shop/web.~/static/: none answers this, so it is the app's
pool shop/web.~/static/: shop/web:80: web 10.75.94.87:80 gets it (the only one that is ready)`},
		{"site.ex", "/none", false, `
404: the route shop/site has no such file
host: matches site.ex, held by shop
path shop/site: matches /
file shop/site: none`},
	} {
		e := explained(w.live.Table(), &Query{Host: tt.host, Path: tt.path, Method: "GET", Header: http.Header{}})
		if got := told(&e); got != strings.TrimSpace(tt.want) || e.OK != tt.ok {
			t.Errorf("%s%s (ok: %v):\n%s\nwant (ok: %v):%s", tt.host, tt.path, e.OK, got, tt.ok, tt.want)
		}
	}
	v := w.live.Table().View()
	for _, r := range v.Routes {
		if r.ID == "shop/web.~/static/" && (r.Files == nil || r.Files.Areas[0].Source != "volume" || r.Files.Areas[0].Files != 2) {
			t.Errorf("got files %+v, want two, read live", r.Files)
		}
	}
}
