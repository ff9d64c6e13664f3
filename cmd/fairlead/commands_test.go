package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/routing"
)

func TestHealthCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	w.engine.Down()
	p := w.startUnready()
	eventually(t, "health says why it is not ready", func() bool {
		out, err := command("health", "--admin", p.admin.Socket)
		return errors.Is(err, errNo) && strings.Contains(out, "containers have not been read yet") && strings.Contains(out, "docker socket")
	})
	if p.accepts() {
		t.Error("the port is open before the containers were read")
	}
	if out, err := command("routes", "--admin", p.admin.Socket); err == nil || !strings.Contains(err.Error(), "not been read yet") {
		t.Errorf("routes = %q, %v; want an error: there is no table yet", out, err)
	}
	if len(p.lines(`"level":"error"`, "docker socket")) == 0 {
		t.Errorf("the log does not name the socket:\n%s", p.lastLog(10))
	}
	if err := w.engine.Up(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.awaitReady()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("ready %s after the engine was, want 2s", took)
	}
	p.await("app.test", 200, "web ")
	if out, err := command("health", "--admin", p.admin.Socket); err != nil || out != "ready\n" {
		t.Errorf("health = %q, %v; want ready", out, err)
	}
	if out, err := command("health", "--json", "--admin", p.admin.Socket); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("health --json = %q, %v", out, err)
	}
	p.stop()
	if out, err := command("health", "--admin", p.admin.Socket); !errors.Is(err, errNo) || !strings.Contains(out, "is it running?") {
		t.Errorf("health of no process = %q, %v; want no, and what to do", out, err)
	}
}

func TestCommandsExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), nil)
	_, p := w.execute(nil)
	p.await("app.test", 200, "web ")
	socket := "--admin=" + p.admin.Socket
	for _, tt := range []struct {
		want int
		args []string
	}{
		{0, []string{"health", socket}}, {0, []string{"routes", socket}}, {0, []string{"routes", "--json", socket}}, {0, []string{"explain", "app.test", socket}}, {0, []string{"labels"}},
		{0, []string{"--help"}}, {0, []string{"run", "--help"}},
		{1, []string{"explain", "other.test", socket}}, {1, []string{"labels", "nonsense"}}, {1, []string{"health", "--admin", w.dir + "/none"}},
		{2, []string{"routes", "--admin", w.dir + "/none"}}, {2, []string{"explain", "app.test", "--admin", w.dir + "/none"}}, {2, []string{"explain", "a b", socket}},
		{2, []string{"explain", "app.test", "--from", "x", socket}}, {2, []string{"explain", "app.test", "--header", "x", socket}}, {2, []string{"routes", "--jsn", socket}},
	} {
		x := execute(t, nil, tt.args...)
		if code := x.code(); code != tt.want {
			t.Errorf("%v: exit code %d, want %d; it said %q and %q", tt.args[:1], code, tt.want, x.stdout(), x.stderr())
		}
		if tt.want == exitUsage && (strings.Count(x.stderr(), "\n") != 1 || x.stdout() != "") {
			t.Errorf("%v: said %q and %q, want one line on standard error", tt.args[:1], x.stdout(), x.stderr())
		}
		if tt.want == 0 && x.stdout() == "" {
			t.Errorf("%v: said nothing on standard output, and %q on standard error", tt.args, x.stderr())
		}
	}
}

func TestRoutesCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("shop-web-1", "host=app.test", "path=/, /x"), "shop", "web"), nil)
	_, stopped := w.run(labelled("stopped", "host=stopped.test"), nil)
	w.run(labelled("typo", "host=typo.test", "alow=private"), nil)
	w.run(labelled("evil", "host=app.test"), nil)
	once := inProject(labelled("shop-web-run-1", "host=app.test"), "shop", "web")
	once.Labels["com.docker.compose.oneoff"] = "True"
	w.run(once, nil)
	p := w.start()
	p.await("app.test", 200, "shop-web-1 ")
	w.engine.Stop(stopped)
	var out string
	var err error
	eventually(t, "routes says that the container was stopped", func() bool {
		out, err = command("routes", "--admin", p.admin.Socket)
		return err != nil || strings.Contains(out, "exited with code 0 after SIGTERM")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"app.test", "app.test/x", "shop/web", "serving", "shop-web-1 127.", "ready", "stopped.test", "no-endpoint",
		"typo.test", "refused", `did you mean "fairlead.allow"`, "PROBLEMS", "conflict", "NOT ROUTED", "shop-web-run-1: one-off"} {
		if !strings.Contains(out, want) {
			t.Errorf("routes lacks %q:\n%s", want, out)
		}
	}
	var v routesView
	out, err = command("routes", "--json", "--admin", p.admin.Socket)
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || len(v.Routes) != 4 || len(v.Problems) < 2 || len(v.Others) != 1 {
		t.Errorf("routes --json: %v, %d routes, %d problems, %d others; want 4, some, 1", err, len(v.Routes), len(v.Problems), len(v.Others))
	}
}

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("web", "host=app.test"), "shop", "web"), nil)
	w.run(inProject(labelled("api", "host=app.test", "path=/api", "match.method=POST", "match.header.X-Key=~k.*", "match.client-ip=10.0.0.0/8"), "shop", "api"), nil)
	w.run(labelled("typo", "host=typo.test", "alow=private"), nil)
	_, stopped := w.run(labelled("stopped", "host=stopped.test"), nil)
	w.run(labelled("evil", "host=app.test", "path=/evil"), nil)
	w.run(labelled("answers", "host=answers.test", "respond=200 x"), nil)
	w.run(labelled("slash", "host=slash.test", "path=/app/"), nil)
	p := w.start()
	p.await("app.test", 200, "web ")
	p.await("answers.test", 200, "x")
	w.engine.Stop(stopped)
	p.await("stopped.test", 503, "")
	for _, tt := range []struct {
		args []string
		ok   bool
		want []string
	}{
		{[]string{"http://app.test/x"}, true, []string{"goes to shop/web:", "route shop/web", "from the labels of web", "held by shop", "ready"}},
		{[]string{"APP.test.:8080/x?y#z"}, true, []string{"goes to shop/web:"}},
		{[]string{"app.test"}, true, []string{"goes to shop/web:"}},
		{[]string{"app.test?x=1"}, true, []string{"goes to shop/web:"}},
		{[]string{"app.test/api"}, true, []string{"goes to shop/web:", "condition match.method is not met"}},
		{[]string{"app.test/api", "--method", "POST", "--header", "X-Key: k1", "--from", "10.0.0.1"}, true, []string{"goes to shop/api:"}},
		{[]string{"app.test/api", "--method", "POST", "--header", "x-key: k1", "--from", "11.0.0.1"}, true, []string{"goes to shop/web:", "condition match.client-ip is not met"}},
		{[]string{"ap.test"}, false, []string{"404", "near: app.test"}},
		{[]string{"typo.test"}, false, []string{"503", "refused", `did you mean "fairlead.allow"`}},
		{[]string{"stopped.test"}, false, []string{"503 with Retry-After", "stopped", "exited with code 0"}},
		{[]string{"app.test/evil"}, true, []string{"goes to shop/web:", "conflict", "evil"}},
		{[]string{"answers.test"}, true, []string{"answers by itself"}},
		{[]string{"slash.test/app"}, true, []string{"308"}},
		{[]string{"slash.test/other"}, false, []string{"404", "near: slash.test/app/"}},
		{[]string{"app.test/x/../api"}, false, []string{"400", "two ways"}},
		{[]string{"slash.test/%2fapp/x"}, false, []string{"400", "two ways"}},
	} {
		out, err := command(append([]string{"explain", "--admin", p.admin.Socket}, tt.args...)...)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, errNo) {
			t.Errorf("explain %q: %v, want ok %v; it said\n%s", tt.args, err, tt.ok, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %q lacks %q:\n%s", tt.args, want, out)
			}
		}
	}
	var e routing.Explanation
	out, err := command("explain", "--json", "app.test", "--admin", p.admin.Socket)
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || !e.OK || e.Route == nil || e.Host != "app.test" {
		t.Errorf("explain --json = %s, %v", out, err)
	}
}

// What explain says is what is done.
func TestExplainAgreesWithServing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("root", "host=app.test, *.app.test"), "site", "root"), nil)
	w.run(inProject(labelled("api", "host=app.test", "path=/api, =/exact, ~/re[0-9]+"), "site", "api"), nil)
	w.run(inProject(labelled("re", "host=~x[0-9]\\.test"), "site", "re"), nil)
	p := w.start()
	p.settle()
	for _, host := range []string{"app.test", "a.app.test", "a.b.app.test", "x1.test", "x11.test", "none.test"} {
		for _, path := range []string{"/", "/api", "/api/", "/apiary", "/exact", "/exact/x", "/re1", "/re1x", "/%2fapi", "//api", "/a;b"} {
			r := p.get(host, path)
			out, err := command("explain", "--json", "--admin", p.admin.Socket, "http://"+host+path)
			var e routing.Explanation
			if jerr := json.Unmarshal([]byte(out), &e); jerr != nil {
				t.Fatalf("%s%s: %v, %v: %s", host, path, jerr, err, out)
			}
			served, _, _ := strings.Cut(r.body, " ")
			switch {
			case e.OK != (r.status == 200):
				t.Errorf("%s%s: explain says %q, and the answer is %v", host, path, e.Answer, r)
			case e.OK && e.Route.Container != served:
				t.Errorf("%s%s: explain says %s, and %s answered", host, path, e.Route.Container, served)
			}
		}
	}
}
