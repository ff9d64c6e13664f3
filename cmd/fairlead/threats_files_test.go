package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// Whatever a request says, nothing is read but what is to be served (docs/threats.md 44):
// of directories that are read live and of those that were copied.
func TestThreat44NoNameLeadsOutOfTheFiles(t *testing.T) {
	const secret = "SECRET"
	w := newWorld(t)
	host := t.TempDir()
	site := filepath.Join(host, "site")
	hidden := map[string]string{".env": secret, ".git/config": secret, "a/.htpasswd": secret, "index.php": secret, "ok.txt": "ok"}
	for name, content := range hidden {
		path := filepath.Join(site, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(host, "secret.txt"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out.txt": "../secret.txt", "abs.txt": filepath.Join(host, "secret.txt"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(site, name)); err != nil {
			t.Fatal(err)
		}
	}
	live := labelled("live", "host=live.ex", "root=/site", "static.list=true")
	live.Mounts = []dockertest.Mount{dockertest.Bind(site, "/site")}
	copied := labelled("copied", "host=copied.ex", "root=/site", "static.list=true")
	copied.Archive = map[string][]byte{"/site": dockertest.Tar("/site", hidden)}
	// An app may make the directory itself a link to what the proxy alone can read.
	linked := labelled("linked", "host=linked.ex", "root=/data/site", "static.list=true")
	data := t.TempDir()
	if err := os.Symlink(host, filepath.Join(data, "site")); err != nil {
		t.Fatal(err)
	}
	linked.Mounts = []dockertest.Mount{dockertest.Bind(data, "/data")}
	for _, c := range []dockertest.Container{live, copied, linked} {
		c.Networks = []string{"apps"}
		w.engine.Create(c)
	}
	p := w.start()
	for _, target := range []string{"/secret.txt", "/", "/site/ok.txt"} {
		if r := p.get("linked.ex", target); r.status != 503 || strings.Contains(r.body, secret) {
			t.Errorf("linked.ex%s: got %d %.60q, want 503", target, r.status, r.body)
		}
	}
	p.awaitProblem("static-missing")
	for _, name := range []string{"live.ex", "copied.ex"} {
		eventually(t, name+" is served", func() bool {
			status, body, err := p.fetch(name, "/ok.txt")
			return err == nil && status == 200 && body == "ok"
		})
		for _, target := range []string{
			"/.env", "/%2eenv", "/.git/config", "/.git/", "/a/.htpasswd", "/a/%2ehtpasswd", "/index.php", "/index.PHP", "/index.php/", "/index%2ephp",
			"/../secret.txt", "/a/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/..%5csecret.txt", "/%2e%2e%2fsecret.txt", "/a/..;/..;/secret.txt", "/%252e%252e/secret.txt",
			"/out.txt", "/abs.txt", "/up/secret.txt", "/up/", "/ok.txt%00.css", "/ok.txt/", "//secret.txt", "/./.env", "/" + strings.Repeat("a", 300), "/" + strings.Repeat("a/", 3000),
		} {
			r := p.get(name, target)
			if r.status != 404 && r.status != 400 && r.status != 414 || strings.Contains(r.body, secret) {
				t.Errorf("%s%.60s: got %d %.60q, want 404 or 400", name, target, r.status, r.body)
			}
		}
		r := p.get(name, "/")
		if r.status != 200 || !strings.Contains(r.body, "ok.txt") {
			t.Errorf("%s: got %d %q, want a listing", name, r.status, r.body)
		}
		for _, part := range []string{".env", ".git", "php", "out.txt", "abs.txt"} {
			if strings.Contains(r.body, part) {
				t.Errorf("%s: the listing has %s", name, part)
			}
		}
	}
}
