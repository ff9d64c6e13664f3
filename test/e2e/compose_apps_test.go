package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// oneApp is a compose file with one service, "app", on a host, with further
// labels such as `hold: "0"`.
func oneApp(t testing.TB, host string, labels ...string) string {
	file := `services:
  app:
    image: ` + imageWhoami + `
    environment:
      WHOAMI_VERSION: "1"
    labels:
      fairlead.host: ` + host + "\n"
	for _, l := range labels {
		file += "      fairlead." + l + "\n"
	}
	return composeFile(t, "compose.yaml", file)
}

// version is laid over oneApp to make a new deploy of it.
func version(t testing.TB, v string) string {
	return composeFile(t, "version.yaml", "services:\n  app:\n    environment:\n      WHOAMI_VERSION: \""+v+"\"\n")
}

func TestScaledServiceIsServedByAll(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "scale") + ".localhost"
		proj := newProject(t, "scale", oneApp(t, host))
		proj.do("up", "-d")
		p.servedBy(host, proj.container("app"))
		proj.do("up", "-d", "--scale", "app=3")
		want := slices.Sorted(slices.Values(proj.containers("app")))
		if len(want) != 3 {
			t.Fatalf("the project runs %v, want three", want)
		}
		eventually(t, soon, "all three answer in turn", func() error {
			answered := map[string]bool{}
			for range 6 {
				a, err := p.get(host, "/")
				if err != nil || a.Status != 200 {
					return fmt.Errorf("got %v, %v", a, err)
				}
				answered[a.Container()] = true
			}
			if got := slices.Sorted(maps.Keys(answered)); !slices.Equal(got, want) {
				return fmt.Errorf("answered by %v, want %v", got, want)
			}
			return nil
		})
		// And back: the ones that stay serve on without an error.
		l := p.load(host)
		proj.do("up", "-d", "--scale", "app=1")
		left := proj.container("app")
		p.servedBy(host, left)
		onlyStatus(t, l.end(), 200)
	})
}

func TestRecreatedServiceIsWaitedFor(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "deploy") + ".localhost"
		file := oneApp(t, host)
		proj := newProject(t, "deploy", file)
		proj.do("up", "-d")
		old := proj.container("app")
		p.servedBy(host, old)
		l := p.load(host)
		proj.files = append(proj.files, version(t, "2"))
		proj.do("up", "-d")
		next := proj.container("app")
		if next == old {
			t.Fatal("compose kept the container, want a new one")
		}
		p.servedBy(host, next)
		all := l.end()
		onlyStatus(t, all, 200)
		if last := all[len(all)-1]; last.Version() != "2" {
			t.Errorf("the last answer was of version %q, want 2", last.Version())
		}
		turned := false
		for _, s := range all {
			turned = turned || s.Version() == "2"
			if turned && s.Version() == "1" {
				t.Fatal("version 1 answered after version 2")
			}
		}
	})
}

// `compose run` gives its container every label of the service.
func TestOneOffContainerIsIgnored(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "oneoff") + ".localhost"
	proj := newProject(t, "oneoff", oneApp(t, host))
	proj.do("up", "-d")
	app := proj.container("app")
	p.servedBy(host, app)
	proj.do("run", "-d", "-e", "WHOAMI_VERSION=oneoff", "app")
	oneoff := docker(t, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+proj.Name,
		"--filter", "label=com.docker.compose.oneoff=True")
	if oneoff == "" {
		t.Fatal("compose run started no container")
	}
	// Another start after it: when that one is served, the one-off has been
	// looked at.
	later := unique(t, "later") + ".localhost"
	c := runApp(t, label("host", later))
	p.servedBy(later, c.ID)
	for range 10 {
		a, err := p.get(host, "/")
		if err != nil || a.Container() != app {
			t.Fatalf("got %v, %v, want every answer from the service's own container", a, err)
		}
	}
}

func TestServiceInAnothersNetwork(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "sidecar") + ".localhost"
	proj := newProject(t, "sidecar", composeFile(t, "compose.yaml", `services:
  vpn:
    image: `+imageWhoami+`
    environment:
      WHOAMI_LISTEN: ":8081"
  app:
    image: `+imageWhoami+`
    network_mode: service:vpn
    environment:
      WHOAMI_LISTEN: ":8080"
      WHOAMI_VERSION: joined
    labels:
      fairlead.host: `+host+`
      fairlead.port: "8080"
`))
	proj.do("up", "-d")
	p.servedByVersion(host, "joined")
}
