package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// baked is a container of the service shop/web whose image has these files at
// /app/static.
func baked(name string, files map[string]string, labels ...string) dockertest.Container {
	c := inProject(labelled(name, append([]string{"host=app.ex", "static=/static/:/app/static"}, labels...)...), "shop", "web")
	c.Archive = map[string][]byte{"/app/static": dockertest.Tar("/app/static", files)}
	return c
}

// awaitFile waits until a path of app.ex is answered with a file of that content.
func (p *proxy) awaitFile(target, content string) {
	p.Helper()
	eventually(p, target+" is "+content, func() bool {
		status, body, err := p.fetch("app.ex", target)
		return err == nil && status == 200 && body == content
	})
}

func TestFilesOfTheImageAreServed(t *testing.T) {
	w := newWorld(t)
	w.run(baked("web", map[string]string{"app.3f9c2a1b.js": "js", "css/a.css": strings.Repeat("a{}\n", 1000), ".env": "SECRET"}), nil)
	p := w.start()
	p.awaitFile("/static/app.3f9c2a1b.js", "js")
	r := p.get("app.ex", "/static/app.3f9c2a1b.js")
	if r.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || r.header.Get("Etag") == "" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %v, want what caches need", r.header)
	}
	if r := p.get("app.ex", "/static/none"); !strings.Contains(r.body, "web ") {
		t.Errorf("got %d %q for what is not there, want the app's answer", r.status, r.body)
	}
	if r := p.get("app.ex", "/static/.env"); strings.Contains(r.body, "SECRET") {
		t.Error("a hidden file was served")
	}
	eventually(t, "the style sheet is compressed in the background", func() bool {
		return p.get("app.ex", "/static/css/a.css", "Accept-Encoding: br").header.Get("Content-Encoding") == "br"
	})
	out, err := command("routes", "--data-dir", p.settings.dataDir)
	if err != nil || !strings.Contains(out, "archive (the container's own file system), 3 files, 3.914KiB, copied ") || !strings.Contains(out, " out of web") {
		t.Errorf("routes: %v\n%s", err, out)
	}
	out, err = command("explain", "http://app.ex/static/css/a.css", "--data-dir", p.settings.dataDir)
	if err != nil || !strings.Contains(out, "200: a file of the route") {
		t.Errorf("explain: %v\n%s", err, out)
	}
}

// A page that was opened before a deploy finds its files afterwards; after a
// restart of the proxy too, which reads nothing again.
func TestFilesOfReplacedContainersStay(t *testing.T) {
	w := newWorld(t)
	old, id := w.run(baked("web-1", map[string]string{"app.11111111.js": "one", "same.css": "one"}), nil)
	p := w.start()
	p.awaitFile("/static/app.11111111.js", "one")
	w.run(baked("web-2", map[string]string{"app.2222aaaa.js": "two", "same.css": "two"}), nil)
	p.awaitFile("/static/app.2222aaaa.js", "two")
	p.awaitFile("/static/app.11111111.js", "one")
	w.engine.Kill(id, 15)
	old.close()
	w.engine.Die(id, 0)
	w.engine.Remove(id)
	p.awaitFile("/static/same.css", "two")
	check := func(p *proxy) {
		t.Helper()
		for target, want := range map[string]string{"/static/app.11111111.js": "one", "/static/app.2222aaaa.js": "two", "/static/same.css": "two"} {
			if r := p.get("app.ex", target); r.status != 200 || r.body != want {
				t.Errorf("%s: got %d %q, want %q", target, r.status, r.body, want)
			}
		}
	}
	check(p)
	p.stop()
	reads := w.engine.Count(dockertest.Archive)
	again := w.start("--data-dir", p.settings.dataDir)
	again.awaitFile("/static/app.2222aaaa.js", "two")
	check(again)
	if n := w.engine.Count(dockertest.Archive); n != reads {
		t.Errorf("got %d reads of containers after the restart, want none", n-reads)
	}
}

// Files of a newer container that is not ready are not served: its labels, which
// may protect them, do not hold yet.
func TestFilesAreReadOnceTheAppIsReady(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	id := w.engine.Create(w.fill(baked("web", map[string]string{"a.js": "js"})))
	w.engine.Start(id)
	eventually(t, "the route is there", func() bool { return len(p.view().Routes) == 2 })
	if n := w.engine.Count(dockertest.Archive); n != 0 {
		t.Errorf("got %d reads before the app listens, want none", n)
	}
	w.listen("web", w.engine.Addr(id, "apps").String(), nil)
	p.awaitFile("/static/a.js", "js")
}

func TestFilesThatCannotBeCopiedAreExplained(t *testing.T) {
	w := newWorld(t)
	c := baked("web", nil)
	c.Archive = nil
	w.run(c, nil)
	p := w.start()
	if got := p.awaitProblem("static-missing"); !strings.Contains(got, "web: fairlead.static: has no directory /app/static") {
		t.Errorf("got %q", got)
	}
	if r := p.get("app.ex", "/static/a.js"); r.status != 200 || !strings.Contains(r.body, "web ") {
		t.Errorf("got %d %q, want the app's answer", r.status, r.body)
	}
}

// A copy that stalls lets go of the container, whose lock the engine holds.
func TestThreat51ACopyThatStallsIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.engine.StallArchive(600)
	w.run(baked("web", map[string]string{"a.js": "js"}), nil)
	p := w.start()
	eventually(t, "the copy is closed", func() bool { return w.engine.ClosedArchives() > 0 })
	if got := p.awaitProblem("static-copy-failed"); !strings.Contains(got, "web") {
		t.Errorf("got %q", got)
	}
	if files, err := filepath.Glob(filepath.Join(p.settings.dataDir, "assets", "trees", "*")); err != nil || len(files) != 0 {
		t.Errorf("got %v published of a copy that stalled", files)
	}
	w.engine.StallArchive(0)
	p.awaitFile("/static/a.js", "js")
}

func TestFilesOfAMountAreReadLive(t *testing.T) {
	w := newWorld(t)
	host := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(host, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.js", "one")
	c := baked("web", nil)
	c.Mounts = []dockertest.Mount{dockertest.Volume("shop_static", host, "/app")}
	if err := os.Mkdir(filepath.Join(host, "static"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("static/a.js", "one")
	w.run(c, nil)
	p := w.start()
	p.await("app.ex", 200, "web ")
	p.awaitFile("/static/a.js", "one")
	write("static/a.js", "three")
	p.awaitFile("/static/a.js", "three")
	write("static/b.js", "new")
	p.awaitFile("/static/b.js", "new")
	if n := w.engine.Count(dockertest.Archive); n != 0 {
		t.Errorf("got %d copies of what lies on a mount, want none", n)
	}
	if r := p.get("app.ex", "/static/%2e%2e/a.js"); r.status != http.StatusBadRequest && !strings.Contains(r.body, "web ") {
		t.Errorf("got %d %q out of the directory", r.status, r.body)
	}
}

// The proxy runs in a container without the volume: the line to add is told.
func TestMountsThatAreNotSharedAreExplained(t *testing.T) {
	w := newWorld(t)
	c := baked("web", nil)
	c.Mounts = []dockertest.Mount{dockertest.Tmpfs("/app/static")}
	w.run(c, nil)
	p := w.start()
	p.await("app.ex", 200, "web ")
	if got := p.awaitProblem("static-not-shared"); !strings.Contains(got, "/app/static lies on a tmpfs") {
		t.Errorf("got %q", got)
	}
	if r := p.get("app.ex", "/static/a.js"); r.status != 200 || !strings.Contains(r.body, "web ") {
		t.Errorf("got %d %q, want the app's answer", r.status, r.body)
	}
}

func TestSitesOfFilesAloneNeedNoApp(t *testing.T) {
	w := newWorld(t)
	c := inProject(labelled("site", "host=app.ex", "root=/site"), "shop", "site")
	c.Networks, c.Archive = []string{"apps"}, map[string][]byte{"/site": dockertest.Tar("/site", map[string]string{"index.html": "<h1>", "404.html": "none here"})}
	w.engine.Create(c) // and never started
	p := w.start()
	p.awaitFile("/", "<h1>")
	if r := p.get("app.ex", "/none"); r.status != 404 || r.body != "none here" {
		t.Errorf("got %d %q, want the site's own page", r.status, r.body)
	}
	if out, err := command("routes", "--data-dir", p.settings.dataDir); err != nil || !strings.Contains(out, "serving") || !strings.Contains(out, "files") {
		t.Errorf("routes: %v\n%s", err, out)
	}
}
