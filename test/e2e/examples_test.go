package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every folder of compose-examples is brought up as it stands; laid over it are
// only the names of the images built here and, for the proxy, a free port.

// example is the path of a file of compose-examples.
func example(path string) string { return filepath.Join(repo, "compose-examples", path) }

// overlay names the images of services, by service; the one called fairlead
// gets its port, too.
func overlay(t testing.TB, addr string, images map[string]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("services:\n")
	for service, image := range images {
		fmt.Fprintf(&b, "  %s:\n    image: %s\n", service, image)
		if service == "fairlead" {
			fmt.Fprintf(&b, "    environment:\n      FAIRLEAD_HTTP: %q\n      FAIRLEAD_HTTPS: \"off\"\n", addr)
		}
	}
	return composeFile(t, "overlay.yaml", b.String())
}

// onlyProject makes a proxy serve one project: the examples' hosts are fixed,
// and the person who runs the tests may have the same examples running.
func onlyProject(t testing.TB, app *project) string {
	t.Helper()
	return composeFile(t, "project.yaml", "services:\n  fairlead:\n    environment:\n      FAIRLEAD_PROJECT: "+app.Name+"\n")
}

// quickstartProxy brings up the proxy of the quickstart for one project.
func quickstartProxy(t testing.TB, app *project) *proxy {
	t.Helper()
	addr := freeAddr(t)
	proj := newProject(t, "proxy", example("quickstart/proxy/compose.yaml"),
		overlay(t, addr, map[string]string{"fairlead": imageFairlead}), onlyProject(t, app))
	proj.do("up", "-d")
	p := inContainer(t, proj.container("fairlead"), addr)
	p.listens()
	return p
}

func TestExampleQuickstart(t *testing.T) {
	app := newProject(t, "app", example("quickstart/app/compose.yaml"), overlay(t, "", map[string]string{"app": imageWhoami}))
	p := quickstartProxy(t, app)
	app.do("up", "-d")
	p.servedBy("app.localhost", app.container("app"))

	w := p.whoami("app.localhost", "/a//b?x=1;y=%zz")
	if w.Target != "/a//b?x=1;y=%zz" || w.Host != "app.localhost" {
		t.Errorf("the app got %q for host %q, want both as they were sent", w.Target, w.Host)
	}
	if w.Header.Get("X-Forwarded-Proto") != "http" || w.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the app got X-Forwarded-Proto %q and X-Forwarded-For %q, want http and 127.0.0.1",
			w.Header.Get("X-Forwarded-Proto"), w.Header.Get("X-Forwarded-For"))
	}
	p.says([]string{"app.localhost"}, "routes")
	p.says([]string{"app.localhost", app.Name, "ready"}, "explain", "http://app.localhost/")
	if r := p.cli("health"); r.Code != 0 {
		t.Errorf("health ended with code %d: %s", r.Code, r.Out)
	}
	eventually(t, ready, "the engine calls the proxy healthy", func() error {
		if got := docker(t, "inspect", "-f", "{{.State.Health.Status}}", p.name); got != "healthy" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

func TestExamplePathSplit(t *testing.T) {
	shop := newProject(t, "shop", example("path-split/compose.yaml"),
		overlay(t, "", map[string]string{"web": imageWhoami, "api": imageWhoami}))
	p := quickstartProxy(t, shop)
	shop.do("up", "-d")
	p.servedBy("shop.localhost", shop.container("web"))
	for _, c := range []struct{ target, service, seen string }{
		{"/", "web", "/"},
		{"/cart?id=1", "web", "/cart?id=1"},
		{"/apiary", "web", "/apiary"},
		{"/api", "api", "/"},
		{"/api/users?q=a%2Fb", "api", "/users?q=a%2Fb"},
	} {
		eventually(t, soon, c.target+" answered by "+c.service, func() error {
			a, err := p.get("shop.localhost", c.target)
			if err == nil && a.Version() != c.service {
				err = fmt.Errorf("got %v", a)
			}
			return err
		})
		w := p.whoami("shop.localhost", c.target)
		if w.Target != c.seen {
			t.Errorf("%s: the app saw %s, want %s", c.target, w.Target, c.seen)
		}
		if got := w.Header.Get("X-Forwarded-Prefix"); c.service == "api" && got != "/api" {
			t.Errorf("%s: X-Forwarded-Prefix is %q, want /api", c.target, got)
		}
	}
}

func TestExampleExternalTarget(t *testing.T) {
	// Laid over a copy: the test changes the routes file, and the port that the
	// stand-in is published on, which may be taken here.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example("external-target"))); err != nil {
		t.Fatal(err)
	}
	addr, nas := freeAddr(t), freeAddr(t)
	routes := filepath.Join(dir, "routes/routes.yaml")
	replace(t, filepath.Join(dir, "compose.yaml"), "127.0.0.1:15000", nas)
	replace(t, routes, "127.0.0.1:15000", nas)
	proj := newProject(t, "nas", filepath.Join(dir, "compose.yaml"),
		overlay(t, addr, map[string]string{"fairlead": imageFairlead, "nas": imageWhoami}))
	proj.do("up", "-d")
	p := inContainer(t, proj.container("fairlead"), addr)
	p.listens()
	p.servedBy("nas.localhost", proj.container("nas"))

	// The file is read again when it changes.
	old, err := os.ReadFile(routes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(routes, append(old, "\nmore:\n  host: more.localhost\n  url: http://"+nas+"\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	p.servedBy("more.localhost", proj.container("nas"))
	p.servedBy("nas.localhost", proj.container("nas"))
}

// replace changes a file that must have old in it.
func replace(t testing.TB, path, old, new string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s does not say %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestExampleSocketProxy(t *testing.T) {
	addr := freeAddr(t)
	proj := newProject(t, "filtered", example("socket-proxy/compose.yaml"),
		overlay(t, addr, map[string]string{"fairlead": imageFairlead, "socketfilter": imageFilter, "app": imageWhoami}))
	proj.files = append(proj.files, onlyProject(t, proj))
	proj.do("up", "-d")
	p := inContainer(t, proj.container("fairlead"), addr)
	p.listens()
	p.servedBy("filtered.localhost", proj.container("app"))

	// Events pass the filter: a new app is there well before the next list.
	host := unique(t, "late") + ".localhost"
	c := runApp(t, label("host", host), noHold, "--label", "com.docker.compose.project="+proj.Name)
	p.servedBy(host, c.ID)
	c.do("stop")
	away(t, p, host)

	// The proxy asks for nothing that the filter refuses.
	if log := docker(t, "logs", proj.container("socketfilter")); strings.Contains(log, "refused") {
		t.Errorf("the filter refused the proxy:\n%s", log)
	}
	mounts := docker(t, "inspect", "-f", "{{range .Mounts}}{{.Source}} {{end}}", p.name)
	if strings.Contains(mounts, socketPath()) {
		t.Errorf("the proxy has the engine's own socket: %s", mounts)
	}
}
