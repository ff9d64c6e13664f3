package e2e

import (
	"fmt"
	"net"
	"net/http/cookiejar"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExampleReplicas(t *testing.T) {
	proj := newProject(t, "replicas", example("replicas/compose.yaml"), overlay(t, "", map[string]string{"web": imageWhoami}))
	p := quickstartProxy(t, proj)
	proj.do("up", "-d")
	const host = "replicas.localhost"
	all := proj.containers("web")
	if len(all) != 3 {
		t.Fatalf("the example runs %d containers, want 3", len(all))
	}
	for _, id := range all {
		eventually(t, soon, host+" served by "+id[:12]+" too", func() error {
			if a, err := p.get(host, "/"); err != nil || a.Container() != id {
				return fmt.Errorf("got %v, %v", a, err)
			}
			return nil
		})
	}

	visitor := client(p.addr, true)
	visitor.Jar, _ = cookiejar.New(nil)
	visit := func() string {
		t.Helper()
		a, err := get(visitor, host, "/")
		if err != nil || a.Status != 200 {
			t.Fatalf("the visitor got %v, %v, want 200", a, err)
		}
		return a.Container()
	}
	stays := func(id string) {
		t.Helper()
		for range 9 {
			if got := visit(); got != id {
				t.Fatalf("the visitor was sent to %s, want to stay on %s", got, id)
			}
		}
	}
	first := visit()
	stays(first)
	docker(t, "stop", first)
	second := visit()
	if second == first || !slices.Contains(all, second) {
		t.Fatalf("once %s had stopped, %s answered", first, second)
	}
	stays(second)
}

func TestExampleBlueGreen(t *testing.T) {
	proj := newProject(t, "site", example("blue-green/compose.yaml"),
		overlay(t, "", map[string]string{"blue": imageWhoami, "green": imageWhoami}))
	t.Cleanup(func() { proj.try("--profile", "blue", "--profile", "green", "rm", "-s", "-f") }) // `down` leaves them
	p := quickstartProxy(t, proj)
	const host = "site.localhost"
	proj.do("up", "-d", "blue")
	p.servedByVersion(host, "blue")
	tr := p.traffic(host, "", rate(t))

	proj.do("up", "-d", "green")
	p.says([]string{proj.Name + "/green", "standby"}, "routes")
	eventually(t, soon, "green is ready", func() error {
		for line := range strings.Lines(p.cli("routes").Out) {
			if strings.Contains(line, "/green ") && strings.Contains(line, " ready") {
				return nil
			}
		}
		return fmt.Errorf("it is not")
	})
	if a, err := p.get(host, "/"); err != nil || a.Version() != "blue" {
		t.Errorf("with both running got %v, %v, want an answer of blue", a, err)
	}
	there := spanOf(func() { proj.do("--profile", "blue", "stop", "blue") })
	if a, err := p.get(host, "/"); err != nil || a.Version() != "green" {
		t.Errorf("without blue got %v, %v, want an answer of green", a, err)
	}
	proj.do("up", "-d", "blue")
	p.servedByVersion(host, "blue")
	back := spanOf(func() { proj.do("--profile", "green", "stop", "green") })
	if y := tr.lossless(there, back); y.longest > 2*time.Second {
		t.Errorf("somebody waited %v, though one of the two was always there", y.longest)
	}
}

func TestExampleRolling(t *testing.T) {
	proj := newProject(t, "rolling", example("rolling/compose.yaml"), overlay(t, "", map[string]string{"web": imageWhoami}))
	p := quickstartProxy(t, proj)
	proj.do("up", "-d")
	p.servedByVersion("rolling.localhost", "1")
	before := proj.containers("web")
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(example("rolling/rolling.sh"))
	cmd.Env = cleanEnv("COMPOSE_PROJECT_NAME="+proj.Name, "COMPOSE_FILE="+strings.Join(proj.files, ":"),
		"URL=http://rolling.localhost:"+port+"/", "VERSION=2")
	r := exitOf(t, cmd)
	_, sums, ok := strings.Cut(r.Out, "requests by status:\n")
	if lines := strings.Fields(sums); r.Code != 0 || !ok || len(lines) != 2 || lines[1] != "200" {
		t.Errorf("rolling.sh ended with code %d, want 0 and nothing but 200:\n%s", r.Code, r.Out)
	}
	after := proj.containers("web")
	if len(after) != 2 || slices.Contains(before, after[0]) || slices.Contains(before, after[1]) {
		t.Errorf("it left %v of %v, want two new containers", after, before)
	}
	for range 4 {
		if a, err := p.get("rolling.localhost", "/"); err != nil || a.Version() != "2" {
			t.Errorf("afterwards got %v, %v, want version 2", a, err)
		}
	}
}
