package discovery

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

// The Docker client is replaced one day, in one package.
func TestOnlyDiscoveryImportsTheDockerClient(t *testing.T) {
	allowed := []string{"discovery", filepath.Join("internal", "dockertest"), filepath.Join("internal", "pin")}
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("..", path)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			for _, a := range allowed {
				if rel == a {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return nil // that file's own package fails on it
		}
		for _, im := range f.Imports {
			if p, _ := strconv.Unquote(im.Path.Value); strings.HasPrefix(p, "github.com/docker/") && p != "github.com/docker/go-units" || strings.HasPrefix(p, "github.com/moby/") {
				t.Errorf("%s imports %s; only discovery talks to the engine", rel, p)
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}

func TestSignalNumber(t *testing.T) {
	for in, want := range map[string]int{
		"SIGTERM": 15, "TERM": 15, "sigquit": 3, "9": 9, "SIGRTMIN+3": 37, "RTMIN": 34, "RTMAX-1": 63, "SIGWINCH": 28,
		"": 0, "SIGNONE": 0, "-1": 0, "65": 0, "RTMIN+99": 0,
	} {
		if got := signalNumber(in); got != want {
			t.Errorf("signalNumber(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestUpFor(t *testing.T) {
	for _, tt := range []struct {
		status string
		age    time.Duration
		want   bool
	}{
		{"Up 5 minutes", 5*time.Minute + 30*time.Second, true},
		{"Up 5 minutes (healthy)", 5*time.Minute + 59*time.Second, true},
		{"Up 5 minutes", 10 * time.Minute, false},
		{"Up Less than a second", 500 * time.Millisecond, true},
		{"Up 1 second", time.Hour, false},
		{"Up 30 seconds (health: starting)", 30 * time.Second, true},
		{"Up About a minute (Paused)", 90 * time.Second, true},
		{"Up About an hour", 80 * time.Minute, true},
		{"Up 3 hours", 3*time.Hour + 20*time.Minute, true},
		{"Up 3 hours", 5 * time.Hour, false},
		{"Up 2 weeks", 15 * 24 * time.Hour, true},
		{"Up 2 weeks", time.Hour, false},
		{"Exited (0) 3 seconds ago", time.Hour, true},
		{"Up a while", time.Hour, true},
	} {
		if got := upFor(tt.status).agrees(tt.age, time.Second); got != tt.want {
			t.Errorf("%q agrees with %s: %t, want %t", tt.status, tt.age, got, tt.want)
		}
	}
}

func TestOwnIDs(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, tt := range []struct {
		name, mountinfo, cgroup, hostname, want string
	}{
		{"container", "1 2 8:1 /var/lib/docker/containers/" + a + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n", "0::/\n", a[:12], a + " " + a[:12]},
		{"podman", "1 2 8:1 /containers/overlay-containers/" + a + "/userdata/hosts /etc/hosts rw - ext4 x rw\n", "", "box", ""},
		{"cgroup v1", "", "9:memory:/docker/" + a + "\n", "host", a},
		{"another's network namespace", "1 2 8:1 /var/lib/docker/containers/" + a + "/hosts /etc/hosts rw - ext4 x rw\n", "9:memory:/docker/" + b + "\n", a[:12], b + " " + a + " " + a[:12]},
		{"nested", "", "9:memory:/docker/" + a + "/docker/" + b + "\n", "host", b + " " + a},
		{"host process", "1 2 8:1 / /var/lib/docker/overlay2/" + a + "/merged rw - overlay overlay rw\n", "0::/init.scope\n", "server", ""},
		{"hostname only", "", "", "0123456789ab", "0123456789ab"},
	} {
		read := func(p string) ([]byte, error) {
			s := map[string]string{"/proc/self/mountinfo": tt.mountinfo, "/proc/self/cgroup": tt.cgroup}[p]
			if s == "" {
				return nil, errors.New("not there")
			}
			return []byte(s), nil
		}
		if tt.name == "podman" {
			tt.want = a
		}
		got := strings.Join(ownIDs(read, func() (string, error) { return tt.hostname, nil }), " ")
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSelf(t *testing.T) {
	local := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("172.17.0.1")}
	for _, tt := range []struct {
		name  string
		proxy *dockertest.Container
		local []netip.Addr
		want  string
	}{
		{"on a network", &dockertest.Container{Name: "proxy", Networks: []string{"front"}}, nil, "{proxy host=false bridges=false [front] [172.18.0.1]}"},
		{"on the host's network", &dockertest.Container{Name: "proxy", Mode: "host"}, local, "{proxy host=true bridges=true [] [172.17.0.1 172.18.0.1]}"},
		{"on the host's network of a virtual machine", &dockertest.Container{Name: "proxy", Mode: "host"}, nil, "{proxy host=true bridges=false [] [172.17.0.1 172.18.0.1]}"},
		{"a process on the host", nil, local, "{ host=true bridges=true [] [172.17.0.1 172.18.0.1]}"},
		{"a process elsewhere", nil, nil, "{ host=false bridges=false [] []}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(t)
			e.AddNetwork(dockertest.Network{Name: "front"})
			id := ""
			if tt.proxy != nil {
				id = e.Run(*tt.proxy)
			}
			s := run(t, e, func(c *Config) {
				c.SelfID = func() string { return id }
				c.LocalAddrs = func() []netip.Addr { return tt.local }
			}).first().Self
			got := fmt.Sprintf("{%s host=%t bridges=%t %v %v}", s.Name, s.HostNet, s.Bridges, s.Networks, s.Gateways)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// In another's network namespace the mounts and the hostname name the other.
func TestSelfInAnothersNetworkNamespace(t *testing.T) {
	const layer = "/var/lib/docker/overlay2/0a/diff"
	if got := layerIn("1 2 0:5 / / rw - overlay overlay rw,lowerdir=/l,upperdir=" + layer + ",workdir=/w\n2 1 0:6 / /x rw - overlay o rw,upperdir=/y\n"); got != layer {
		t.Fatalf("layer %q, want %q", got, layer)
	}
	if got := layerIn("1 2 8:1 / / rw - ext4 /dev/sda1 rw\n"); got != "" {
		t.Fatalf("layer %q of what is no overlay", got)
	}
	l := newLoop(&Config{Wants: func(map[string]string) bool { return false }})
	l.layer, l.selfIDs = layer, []string{someID(0)}
	for i := range 3 {
		row := fromList(someRow(i))
		if i > 0 {
			row.mode = "container:" + someID(0)
		}
		l.compare(&row, 0)
	}
	l.introduce()
	if len(l.queue) != 3 || l.snapshot().Self.ID != someID(0) {
		t.Fatalf("%d inspects and self %s, want the owner of the namespace and its guests looked at", len(l.queue), l.snapshot().Self.ID)
	}
	for i := range 3 {
		c := someInspect(i)
		c.GraphDriver.Data = map[string]string{"UpperDir": "/var/lib/docker/overlay2/0" + string("bac"[i]) + "/diff"}
		if i > 0 {
			c.HostConfig.NetworkMode = container.NetworkMode("container:" + someID(0))
		}
		l.inspected(answer{id: someID(i), inspect: c})
	}
	for range 2 {
		s := l.snapshot()
		if s.Self.ID != someID(1) || s.Self.Name != "c1" || fmt.Sprint(s.Self.Networks) != "[front]" {
			t.Errorf("self is %+v, want c1 on the networks of c0", s.Self)
		}
		for _, x := range s.Workloads {
			if (x.Source == spec.FromSelf) != (x.ID == someID(1)) {
				t.Errorf("%s has source %d", x.Name, x.Source)
			}
		}
		l.recognise() // the next session
	}
}

func TestListNames(t *testing.T) {
	if got, want := ownName([]string{"/web/db", "/db"}), "db"; got != want {
		t.Errorf("ownName = %q, want %q", got, want)
	}
	if got := healthIn("Up 5 seconds (health: starting)"); got != spec.HealthStarting {
		t.Errorf("health = %s, want starting", got)
	}
	if got := healthIn("Exited (1) 5 seconds ago"); got != spec.NoHealthcheck {
		t.Errorf("health = %s, want none", got)
	}
}

func TestHostFromTheEnvironment(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///from/env.sock")
	if got, want := (&Config{}).host(), os.Getenv("DOCKER_HOST"); got != want {
		t.Errorf("host = %q, want %q", got, want)
	}
	if got, want := (&Config{Host: "tcp://a:1"}).host(), "tcp://a:1"; got != want {
		t.Errorf("host = %q, want %q", got, want)
	}
}
