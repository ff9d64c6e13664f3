package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// built has a service of an example built on the app of the tests, under a name
// that goes with them.
func built(t testing.TB, folder, service string) string {
	t.Helper()
	return composeFile(t, "built.yaml", fmt.Sprintf("services:\n  %s:\n    image: %s\n    build:\n      context: %s\n      args:\n        WHOAMI: %s\n",
		service, unique(t, folder), example(folder), imageWhoami))
}

func TestExampleStaticSite(t *testing.T) {
	site := newProject(t, "site", example("static-site/compose.yaml"), built(t, "static-site", "docs"))
	p := quickstartProxy(t, site)
	site.do("up", "-d")
	eventually(t, ready, "the site is served", func() error {
		a, err := p.get("docs.localhost", "/")
		if err == nil && (a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html")) {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
	for target, status := range map[string]int{"/guide/": 200, "/guide": 308, "/style.css": 200, "/none": 404} {
		if a, err := p.get("docs.localhost", target); err != nil || a.Status != status {
			t.Errorf("%s: got %v, %v, want %d", target, a, err, status)
		}
	}
	p.says([]string{"docs.localhost", "serving", "files in /site: archive"}, "routes")
}

func TestExampleSinglePageAppAndAPI(t *testing.T) {
	spa := newProject(t, "spa", example("spa-and-api/compose.yaml"), built(t, "spa-and-api", "web"), overlay(t, "", map[string]string{"api": imageWhoami}))
	p := quickstartProxy(t, spa)
	spa.do("up", "-d")
	eventually(t, ready, "page and API", func() error {
		page, err := p.get("spa.localhost", "/")
		api, err2 := p.get("spa.localhost", "/api/orders")
		if err == nil && err2 == nil && (page.Status != 200 || page.Container() != "" || api.Container() != spa.container("api")) {
			err = fmt.Errorf("got %v and %v", page, api)
		}
		return err
	})
	navigation := run(t, "curl", "-sS", "-i", "-H", "Host: spa.localhost", "-H", "Accept: text/html,*/*", "http://"+p.addr+"/orders/17")
	if err := contains(navigation, "200 OK", "Cache-Control: no-cache", "text/html"); err != nil {
		t.Errorf("a page load: %v", err)
	}
	if a, err := p.get("spa.localhost", "/none.js"); err != nil || a.Status != 404 {
		t.Errorf("a script that is not there: %v, %v", a, err)
	}
	if a, err := p.get("spa.localhost", "/assets/index-B7fQ2xKd.js"); err != nil || a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("a script with a fingerprint: %v, %v", a, err)
	}
}

func TestExampleDjangoLike(t *testing.T) {
	addr := freeAddr(t)
	shop := newProject(t, "shop", example("django-like/compose.yaml"), built(t, "django-like", "app"), overlay(t, addr, map[string]string{"fairlead": imageFairlead}))
	shop.do("up", "-d")
	p := inContainer(t, shop.container("fairlead"), addr)
	p.listens()
	p.servedBy("shop.localhost", shop.container("app"))
	eventually(t, ready, "collected files are served", func() error {
		a, err := p.get("shop.localhost", "/static/app.3f9c2a1b.css")
		if err == nil && (a.Status != 200 || a.Container() != "" || !strings.Contains(a.Header.Get("Cache-Control"), "immutable")) {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
	// An upload is served at once.
	if out := run(t, "curl", "-sS", "-X", "PUT", "-d", "a photo", "-w", "%{http_code}", "-H", "Host: shop.localhost", "http://"+p.addr+"/store/photo.txt"); out != "204" {
		t.Fatalf("the upload: %s", out)
	}
	p.file("shop.localhost", "/media/photo.txt", "a photo")
	p.says([]string{"archive (the container's own file system), 2 files", "which the proxy has at /srv/media"}, "routes")
}
