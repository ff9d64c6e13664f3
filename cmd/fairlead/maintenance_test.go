package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMaintenanceOfARoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web, _ := w.run(inProject(labelled("web", "host=app.test", "route.api.path=/api"), "shop", "web"), nil)
	w.run(labelled("chat", "host=chat.test"), echo)
	p := w.start()
	p.await("app.test", 200, "web ")
	p.await("chat.test", 200, "chat ")
	chat := p.upgrade("chat.test")
	l := p.load(2, "chat.test", nil)

	p.heard(p.tell("maintenance", "shop/web", "on"), "shop/web is under maintenance, requests get 503\n", "undo: fairlead maintenance shop/web off\n")
	web.forget()
	for accept, want := range map[string]string{
		"text/html":        "<!doctype html>",
		"application/json": `{"code":"maintenance","message":"This site is being worked on`,
		"text/plain":       "503 Service Unavailable\nThis site is being worked on and will be back soon. Please try again a little later.\nmaintenance · request ",
	} {
		r := p.get("app.test", "/any", "Accept: "+accept)
		if r.status != 503 || !strings.HasPrefix(r.body, want) || r.header.Get("Retry-After") != "60" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Accept %s: %v with %v, want 503, Retry-After 60 and %s…", accept, r, r.header, want)
		}
		if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, accept) {
			t.Errorf("Accept %s: Content-Type %s", accept, got)
		}
	}
	if r := p.raw(request("POST", "app.test", "/form", "Content-Length: 4") + "body"); r.status != 503 {
		t.Errorf("POST: %v, want 503", r)
	}
	if r := p.raw(request("HEAD", "app.test", "/")); r.status != 503 || r.body != "" {
		t.Errorf("HEAD: %v, want 503 without a body", r)
	}
	if n := len(web.requests()); n != 0 {
		t.Errorf("%d requests reached the app, want none", n)
	}
	if r := p.get("app.test", "/api"); r.status != 200 {
		t.Errorf("another route of the container: %v, want 200", r)
	}
	p.heard(p.tell("routes"), "app.test  ", "maintenance", "\nshop/web: under maintenance by order until fairlead maintenance shop/web off\n")
	if out, err := command("explain", "app.test", "--admin", p.admin.Socket); err != errNo || !strings.Contains(out, "503 with Retry-After: under maintenance by order until") {
		t.Errorf("explain = %q, %v; want no, and the order", out, err)
	}
	p.heard(p.tell("maintenance", "shop/web", "on"), "shop/web is under maintenance already\n")

	p.heard(p.tell("maintenance", "shop/web", "off"), "shop/web is no longer under maintenance\n", "undo: fairlead maintenance shop/web on\n")
	if r := p.get("app.test", "/"); r.status != 200 {
		t.Errorf("once it was undone: %v, want 200", r)
	}
	p.heard(p.tell("maintenance", "shop/web", "off"), "shop/web is not under maintenance\n")
	if !chat.says("still there") {
		t.Error("the websocket of another route was cut")
	}
	l.noneFailed()
	for _, message := range []string{"maintenance ordered over the admin socket", "maintenance undone over the admin socket"} {
		if len(p.lines(`"level":"info"`, `"route":"shop/web"`, message)) == 0 {
			t.Errorf("the log lacks %q", message)
		}
	}
}

func TestMaintenanceExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	p.heard(p.tell("maintenance", "web", "on", "--for", "10m"), "web is under maintenance until 2", " UTC, requests get 503\n")
	if n, err := strconv.Atoi(p.get("app.test", "/").header.Get("Retry-After")); err != nil || n < 500 || n > 600 {
		t.Errorf("Retry-After %d (%v), want the seconds of ten minutes", n, err)
	}
	p.heard(p.tell("maintenance", "web", "on", "--for", "1s"), "web is under maintenance already, now until 2")
	if r := p.get("app.test", "/"); r.status != 503 || r.header.Get("Retry-After") != "1" {
		t.Errorf("a second before the end: %v, Retry-After %s, want 503 and 1", r, r.header.Get("Retry-After"))
	}
	p.await("app.test", 200, "web ")
	if len(p.lines(`"level":"info"`, `"route":"web"`, "maintenance expired")) != 1 {
		t.Errorf("the log does not say once that it expired:\n%s", p.lastLog(10))
	}
}

// The order is for the route: it outlives the proxy, and the containers.
func TestMaintenanceOutlivesProxyAndContainers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, id := w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	w.run(labelled("other", "host=other.test"), nil)
	dir := filepath.Join(w.dir, "data")
	p := w.start("--data-dir", dir)
	p.await("app.test", 200, "web-1 ")
	p.tell("maintenance", "shop/web", "on")
	p.stop()
	w.engine.Remove(id)
	a.close()

	p = w.start("--data-dir", dir)
	p.await("other.test", 200, "other ")
	p.heard(p.tell("routes"), "\nshop/web: no such route now; once it is back, under maintenance until fairlead maintenance shop/web off\n")
	w.run(inProject(labelled("web-2", "host=app.test"), "shop", "web"), nil)
	p.await("app.test", 503, "maintenance")
	p.stop()

	p = w.start("--data-dir", dir)
	p.await("app.test", 503, "maintenance")
	p.tell("maintenance", "shop/web", "off")
	p.await("app.test", 200, "web-2 ")
}

func TestMaintenanceOfARouteThatIsNotThereCanBeUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("other", "host=other.test"), nil)
	dir := filepath.Join(w.dir, "data")
	p := w.start("--data-dir", dir)
	p.stop()
	write(t, filepath.Join(dir, "control.json"), `{"maintenance": {"shop/web": {"since": "2026-01-01T00:00:00Z"}}}`)
	p = w.start("--data-dir", dir)
	p.heard(p.tell("maintenance", "shop/web", "off"), "shop/web is no longer under maintenance\n")
	if got := p.view().Orders.Maintenance; len(got) != 0 {
		t.Errorf("orders after it was undone: %v, want none", got)
	}
}

// What a label says is not for a command to change.
func TestMaintenanceByLabelIsNotEndedByACommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test", "maintenance=true"), nil)
	p := w.start()
	p.await("app.test", 503, "maintenance")
	p.heard(p.tell("routes"), "\nweb: under maintenance: fairlead.maintenance is true\n")
	p.heard(p.tell("maintenance", "web", "on"), "web is under maintenance, requests get 503\n", "warning: fairlead.maintenance is true already, and does not end with this order\n")
	p.heard(p.tell("maintenance", "web", "off"), "the order for web is taken back\n", "warning: it is under maintenance by fairlead.maintenance, which no command overrides: take the label away\n")
	if r := p.get("app.test", "/"); r.status != 503 {
		t.Errorf("after off: %v, want 503", r)
	}
	if out, err := command("maintenance", "web", "off", "--admin", p.admin.Socket); err == nil || !strings.Contains(err.Error(), "take the label away") {
		t.Errorf("off again = %q, %v; want an error that names the label", out, err)
	}
}
