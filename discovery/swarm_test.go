package discovery

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

func host(x *spec.Workload) string { return x.Labels["fairlead.host"] }

func routed(l map[string]string) bool { return l["fairlead.host"] != "" }

func TestTasksHaveTheLabelsOfTheirService(t *testing.T) {
	e := dockertest.New(t)
	e.Manage(true)
	e.AddNetwork(dockertest.Network{Name: "shop_front", Driver: "overlay"})
	id := e.AddService(dockertest.Service{Name: "shop_web", Labels: map[string]string{"fairlead.host": "a", "fairlead.port": "80"}})
	task := e.Task(id, dockertest.Container{Name: "shop_web.1.x", Networks: []string{"ingress", "shop_front"},
		Labels: map[string]string{stackLabel: "shop", "fairlead.port": "90", "fairlead.strip": "/x"}})
	e.Run(task)
	e.Delay(dockertest.Services, 50*time.Millisecond)
	w := run(t, e, func(c *Config) { c.Wants, c.Projects = routed, []string{"shop"} })
	x := find(w.first(), "shop_web.1.x")
	if host(x) != "a" || x.Labels["fairlead.port"] != "80" || x.Labels["fairlead.strip"] != "/x" {
		t.Errorf("labels %v, want the service's above its own", x.Labels)
	}
	if x.Project != "shop" || x.Service != "shop_web" || x.State != spec.Running || x.StartedAt.IsZero() || !strings.HasPrefix(addrs(x), "shop_front=") {
		t.Errorf("got %+v, want it in the first snapshot, inspected, without the address on ingress", x)
	}
	e.ResetCalls()
	task.Name = "shop_web.2.y"
	second := e.Run(task)
	if y := w.state("shop_web.2.y", spec.Running); host(y) != "a" {
		t.Errorf("labels %v, want the service's", y.Labels)
	}
	if n := e.Count(dockertest.Services); n != 0 {
		t.Errorf("%d lists of services for one more task, want none", n)
	}
	e.UpdateService(id, map[string]string{"fairlead.host": "b"})
	w.until("the new labels", func(s spec.Snapshot) bool {
		return host(find(s, "shop_web.1.x")) == "b" && find(s, "shop_web.2.y").Labels["fairlead.port"] == "90"
	})
	e.RemoveService(id)
	e.Remove(second)
	w.until("a task less, and the other as it was", func(s spec.Snapshot) bool {
		return find(s, "shop_web.2.y") == nil && host(find(s, "shop_web.1.x")) == "b"
	})
	onlyGETs(t, e)
}

// No request reaches a task before its service's labels are known: one of them
// may protect it.
func TestTaskOfANewServiceWaitsForItsLabels(t *testing.T) {
	e := dockertest.New(t)
	e.Manage(true)
	e.Run(dockertest.Container{Name: "beside"})
	w := run(t, e, nil)
	w.first()
	release := e.Hang(dockertest.Services)
	id := e.AddService(dockertest.Service{Name: "web", Labels: map[string]string{"fairlead.auth.basic": "file:/run/secrets/x"}})
	e.Run(e.Task(id, dockertest.Container{Name: "web.1", Labels: map[string]string{"fairlead.host": "a"}}))
	e.Run(dockertest.Container{Name: "other"})
	w.state("other", spec.Running)
	w.state("web.1", spec.Created)
	release()
	w.state("web.1", spec.Running)
	for _, s := range w.all() {
		if x := find(s, "web.1"); x != nil && x.State == spec.Running && (x.Labels["fairlead.auth.basic"] == "" || x.Project != "web" || x.Service != "web") {
			t.Errorf("running without the labels of its service: %+v", x)
		}
	}
}

func TestServicesThatCannotBeListed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		manager bool
		status  int // instead of the answer
		own     bool
		logged  string
	}{
		{"worker", false, 0, true, ""},
		{"refused by a socket proxy", true, 403, true, "labels of Swarm services unknown"},
		{"manager in trouble", true, 500, false, "labels of Swarm services unknown"},
		{"manager without a quorum", true, 503, false, "labels of Swarm services unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			e.Manage(tt.manager)
			id := e.AddService(dockertest.Service{Name: "web", Labels: map[string]string{"fairlead.host": "b"}})
			e.Fail(dockertest.Services, tt.status)
			e.Run(e.Task(id, dockertest.Container{Name: "web.1", Labels: map[string]string{"fairlead.host": "a"}}))
			w := run(t, e, impatient)
			x := find(w.first(), "web.1")
			if want := map[bool]spec.State{true: spec.Running, false: spec.Created}[tt.own]; x.State != want || host(x) != "a" {
				t.Errorf("got %+v, want it %s with its own labels", x, want)
			}
			eventually(t, "some more lists", func() bool { return e.Count(dockertest.Services) > 4 })
			if n := strings.Count(w.logs.String(), `"level":"warn"`); n > 1 || n == 0 && tt.logged != "" || !strings.Contains(w.logs.String(), tt.logged) {
				t.Errorf("%d warnings, want %q once:\n%s", n, tt.logged, w.logs)
			}
			if tt.own && tt.status == 0 {
				e.Manage(true) // docker node promote
			}
			e.Fail(dockertest.Services, 0)
			w.until("the service's labels", func(s spec.Snapshot) bool { return host(find(s, "web.1")) == "b" })
			e.Fail(dockertest.Services, 503)
			n := e.Count(dockertest.Services)
			eventually(t, "more failures", func() bool { return e.Count(dockertest.Services) > n+3 })
			if s := w.all()[len(w.all())-1]; host(find(s, "web.1")) != "b" {
				t.Errorf("an error took the labels away:\n%s", dump(s))
			}
		})
	}
}

func TestWithoutTasksNoServicesAreListed(t *testing.T) {
	e := dockertest.New(t)
	e.Manage(true)
	e.Run(dockertest.Container{Name: "web"})
	w := run(t, e, impatient)
	w.first()
	e.AddService(dockertest.Service{Name: "elsewhere"})
	eventually(t, "some lists", func() bool { return e.Count(dockertest.List) > 3 })
	if n := e.Count(dockertest.Services); n != 0 {
		t.Errorf("%d lists of services, want none", n)
	}
}

// A network that a user called ingress is as good as any other.
func TestOnlySwarmsIngressIsLeftOut(t *testing.T) {
	e := dockertest.New(t)
	e.AddNetwork(dockertest.Network{Name: "ingress"})
	e.Run(dockertest.Container{Name: "web", Networks: []string{"ingress"}})
	if x := find(run(t, e, nil).first(), "web"); addrs(x) == "" {
		t.Errorf("got %+v, want its address", x)
	}
}
