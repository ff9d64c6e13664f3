package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// Every container that the engine has gets a verdict, and a reason.
func TestEveryContainerHasAVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inShop := func(name string, labels ...string) dockertest.Container {
		return inProject(labelled(name, labels...), "shop", name)
	}
	w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	w.run(inProject(labelled("web-2", "host=app.test", "path=/x"), "shop", "web"), nil)
	app, stopped := w.run(inShop("stopped", "host=stopped.test"), nil)
	app.close()
	w.engine.Stop(stopped)
	w.run(inProject(dockertest.Container{Name: "plain", Labels: map[string]string{}}, "shop", "plain"), nil)
	w.run(inShop("nohost", "strip=true"), nil)
	w.run(inShop("off", "host=off.test", "enable=false"), nil)
	w.run(inShop("typo", "host=typo.test", "alow=private"), nil)
	w.run(inShop("worked", "host=worked.test", "maintenance=true"), nil)
	w.run(inShop("answers", "host=answers.test", "respond=200 x"), nil)
	ambiguous := inShop("ambiguous", "host=ambiguous.test")
	ambiguous.Expose = []int{4000, 5000}
	w.run(ambiguous, nil)
	once := inProject(labelled("web-run-1", "host=app.test"), "shop", "web")
	once.Labels["com.docker.compose.oneoff"] = "True"
	w.run(once, nil)
	w.run(inProject(labelled("other", "host=other.test"), "blog", "other"), nil)
	w.run(labelled("alone", "host=alone.test"), nil)
	_, removed := w.run(inShop("removed", "host=removed.test"), nil)
	p := w.start("--project", "shop")
	p.await("app.test/x", 200, "")
	w.engine.Stop(removed)
	w.engine.Remove(removed)
	var views []containerView
	find := func(name string) (v containerView) {
		for _, v := range views {
			if v.Name == name {
				return v
			}
		}
		return v
	}
	eventually(t, "the removed container is told as gone", func() bool {
		out, err := command("explain", "--all", "--json", "--admin", p.admin.Socket)
		if err != nil || json.Unmarshal([]byte(out), &views) != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return find("removed").Verdict == "gone" && find("web-2").Serves
	})
	for _, tt := range []struct {
		name, verdict string
		serves        bool
		why, next     string
	}{
		{"web-1", "older-generation", true, "it gets requests for app.test/x; the labels of a newer", "fairlead explain app.test/x"},
		{"web-2", "routed", true, "it gets requests for app.test/x", "fairlead explain app.test/x"},
		{"stopped", "not-ready", false, "it is exited (exited with code 0)", "docker start stopped"},
		{"plain", "no-labels", false, "it has no label that begins with fairlead.", "docker compose up -d plain"},
		{"nohost", "no-host", false, "none that gives it a host", "fairlead.host: app.example.com"},
		{"off", "disabled", false, "fairlead.enable is false", "remove that label"},
		{"typo", "route-refused", false, `did you mean "fairlead.allow"`, "mend the label"},
		{"worked", "maintenance", false, "under maintenance", "fairlead explain worked.test"},
		{"answers", "routed", true, "answers without it", ""},
		{"ambiguous", "port-ambiguous", false, "exposes 4000, 5000", "add the label fairlead.port"},
		{"web-run-1", "one-off", false, "docker compose run made it", "nothing"},
		{"other", "other-project", false, "the compose projects shop alone", "add --project blog"},
		{"alone", "other-project", false, "the compose projects shop alone", "has no compose project"},
		{"removed", "gone", false, "it was removed", ""},
	} {
		v := find(tt.name)
		if v.Verdict != tt.verdict || v.Serves != tt.serves || !strings.Contains(v.Why, tt.why) || !strings.Contains(v.Next, tt.next) {
			t.Errorf("%s: %s (serves %v): %q; next %q\nwant %s (%v): %q; %q", tt.name, v.Verdict, v.Serves, v.Why, v.Next, tt.verdict, tt.serves, tt.why, tt.next)
		}
	}
	if len(views) != 14 {
		t.Errorf("%d verdicts for 14 containers", len(views))
	}
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"web-2", nil, []string{"web-2: routed: it gets requests for app.test/x\n", "   state: running\n", " service: shop/web\n", " network: apps 127.", "the only one it exposes", "on apps: the proxy is on the host, which reaches every bridge", "   route: shop/web (app.test/x): serving, here ready\n"}},
		{"shop/web", nil, []string{"web-1: older-generation", "from the labels of another container", "\nweb-2: routed", "\nweb-run-1: one-off"}},
		{stopped[:12], errNo, []string{"stopped: not-ready: ", "exited with code 0"}},
		{"typo", errNo, []string{" problem: typo: fairlead.alow"}},
		{"ambiguous", errNo, []string{"port: none: exposes 4000, 5000"}},
		{"nothost", errNo, []string{`the engine has no container "nothost", did you mean nohost`}},
	} {
		out, err := command("explain", "--container", tt.name, "--admin", p.admin.Socket)
		if err != tt.err {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		for _, part := range tt.want {
			if !strings.Contains(out, part) {
				t.Errorf("%s lacks %q:\n%s", tt.name, part, out)
			}
		}
	}
	out, err := command("explain", "--all", "--admin", p.admin.Socket)
	if err != nil || !strings.HasPrefix(out, "CONTAINER ") || strings.Count(out, "\n") != 15 {
		t.Errorf("%v:\n%s", err, out)
	}
	if _, err := command("explain", "--container", "", "--admin", p.admin.Socket); err == nil || !strings.Contains(err.Error(), "--all") {
		t.Errorf("no name: %v, want the way to all of them", err)
	}
}
