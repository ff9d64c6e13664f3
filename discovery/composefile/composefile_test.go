package composefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// load writes files and loads compose.yaml of them.
func load(t testing.TB, files map[string]string) (*Project, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Load(context.Background(), Config{Files: []string{filepath.Join(dir, "compose.yaml")}, Name: "shop"})
}

func (p *Project) service(t testing.TB, name string) *Service {
	t.Helper()
	i := slices.IndexFunc(p.Services, func(s *Service) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no service %s", name)
	}
	return p.Services[i]
}

func TestContainersAreAsTheEngineWouldShowThem(t *testing.T) {
	p, err := load(t, map[string]string{"compose.yaml": `
services:
  web:
    image: example/web:1
    container_name: front
    expose: ["9000-9002", "53/udp"]
    ports: ["8080:80", "127.0.0.1:8443:443/tcp", "53:53/udp"]
    networks: [back, edge]
    stop_grace_period: 1m30s
    healthcheck: {test: [CMD, up]}
    volumes: ["data:/data", "./conf:/etc/app:ro", "/anonymous"]
    tmpfs: ["/run:size=1m"]
    secrets: [key, {source: cert, target: /certs/a.pem}]
    scale: 1
  joined: {image: x, network_mode: "service:web"}
  host: {image: x, network_mode: host, healthcheck: {disable: true}}
  lonely: {image: x, network_mode: none, scale: 0}
  plain: {image: x, network_mode: bridge}
networks:
  back: {internal: true}
  edge: {name: edge, external: true}
volumes: {data: {name: shared}}
secrets: {key: {file: ./k}, cert: {file: ./c}}
`})
	if err != nil {
		t.Fatal(err)
	}
	web := p.service(t, "web")
	w := web.Workload
	if w.Name != "front" || w.Project != "shop" || w.Service != "web" || !slices.Equal(w.Exposed, []int{80, 443, 9000, 9001, 9002}) || w.StopTimeout.String() != "1m30s" || web.Replicas != 1 || !web.Healthcheck {
		t.Errorf("web: %+v", w)
	}
	if len(w.Networks) != 2 || w.Networks[0].Network != "edge" || w.Networks[0].Key != "edge" || w.Networks[1].Network != "shop_back" || w.Networks[1].Key != "back" {
		t.Errorf("networks: %+v", w.Networks)
	}
	if web.Published[8080] != 80 || web.Published[8443] != 443 || len(web.Published) != 2 {
		t.Errorf("published: %v", web.Published)
	}
	mounts := map[string]string{}
	for _, m := range w.Mounts {
		mounts[m.At] = m.Kind + " " + m.Volume
	}
	if mounts["/data"] != "volume shared" || mounts["/etc/app"] != "bind " || len(mounts["/anonymous"]) != len("volume ")+64 || mounts["/run"] != "tmpfs " {
		t.Errorf("mounts: %v", mounts)
	}
	if !slices.Equal(web.Secrets, []string{"/run/secrets/key", "/certs/a.pem"}) {
		t.Errorf("secrets: %v", web.Secrets)
	}
	if j := p.service(t, "joined").Workload; j.NetworkOf != "front" || len(j.Networks) != 2 {
		t.Errorf("joined: %+v", j)
	}
	if h := p.service(t, "host"); !h.Workload.HostNet || h.Healthcheck || h.Workload.StopTimeout != engineGrace {
		t.Errorf("host: %+v", h.Workload)
	}
	if l := p.service(t, "lonely"); len(l.Workload.Networks) != 0 || l.Replicas != 0 {
		t.Errorf("lonely: %+v", l.Workload)
	}
	if b := p.service(t, "plain").Workload; len(b.Networks) != 1 || b.Networks[0].Network != "bridge" {
		t.Errorf("plain: %+v", b)
	}
}

func TestDockerfiles(t *testing.T) {
	port := "7000"
	for _, tt := range []struct {
		what, text, target string
		args               types.MappingWithEquals
		want               []int
		healthcheck        bool
	}{
		{what: "one stage", text: "FROM x\nEXPOSE 80 443/tcp 53/udp", want: []int{80, 443}},
		{what: "the last stage", text: "FROM x\nEXPOSE 1\nFROM y\nEXPOSE 2", want: []int{2}},
		{what: "a stage from a stage", text: "FROM x AS base\nEXPOSE 1\nHEALTHCHECK CMD up\nFROM base\nEXPOSE 2", want: []int{1, 2}, healthcheck: true},
		{what: "a target", text: "FROM x AS one\nEXPOSE 1\nFROM y AS two\nEXPOSE 2", target: "one", want: []int{1}},
		{what: "with a platform", text: "FROM --platform=linux/amd64 x AS Base\nEXPOSE 1\nFROM base", want: []int{1}},
		{what: "variables", text: "FROM x\nARG PORT=5000\nENV A=6000 B=\"6001\"\nENV C 6002\nEXPOSE $PORT ${A} ${B} $C ${D:-6003}", want: []int{5000, 6000, 6001, 6002, 6003}},
		{what: "an argument of the build", text: "FROM x\nARG PORT=5000\nEXPOSE $PORT", args: types.MappingWithEquals{"PORT": &port}, want: []int{7000}},
		{what: "lines that go on", text: "# EXPOSE 1\nFROM x\nEXPOSE 2 \\\n  # between\n  3", want: []int{2, 3}},
		{what: "a check that is switched off", text: "FROM x AS a\nHEALTHCHECK CMD up\nFROM a\nHEALTHCHECK NONE"},
		{what: "small letters", text: "from x\nexpose 8080", want: []int{8080}},
		{what: "nothing", text: ""},
		{what: "what is no port", text: "FROM x\nEXPOSE abc $NOWHERE 70000000000000000000"},
	} {
		d := parseDockerfile(tt.text, tt.target, tt.args)
		if !slices.Equal(d.Exposed, tt.want) || d.Healthcheck != tt.healthcheck {
			t.Errorf("%s: got %v and healthcheck %t, want %v and %t", tt.what, d.Exposed, d.Healthcheck, tt.want, tt.healthcheck)
		}
	}
}

func TestVariablesThatComposeReplacesByNothing(t *testing.T) {
	env := types.Mapping{"SET": "x", "EMPTY": ""}
	for raw, want := range map[string]string{
		"plain": "", "$SET ${SET} $EMPTY": "", "${HOST}": "${HOST}", "a$b.c": "$b", "$$b $$$c": "$c", "${A:-x} ${B-x} ${C:?no} ${D+x}": "",
		"$2y$05$abc": "$abc", "$": "", "~^/x$": "",
	} {
		if got := strings.Join(unset(raw, env), " "); got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

// FuzzLoad: whatever is in a file, reading it ends, and in a project or in an
// error that names the file.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", "services:\n  a:\n    image: x\n    labels: [a=b]\n", "a:\n  image: x\n", "services:\n  a:\n    labels:\n      <<: *x\n",
		"x: &x\n  <<: *x\nservices:\n  a:\n    image: y\n    labels:\n      <<: *x\n", "services: {a: {image: x, extends: {service: a}}}",
		"include: [compose.yaml]\nservices: {}\n", "services:\n  a:\n    network_mode: service:a\n    image: x\n", "services:\n  a:\n    extends: {file: compose.yaml, service: b}\n  b: {extends: a}\n",
		"\t", "services:\n  a:\n    labels:\n      b.c: *.d\n", "services:\n  a: {image: x, ports: [\"1-3:4-6\"], expose: [1-70000]}\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := load(t, map[string]string{"compose.yaml": text})
		var wrong *Error
		switch {
		case err == nil && p.Name != "shop":
			t.Errorf("the project is called %q", p.Name)
		case errors.As(err, &wrong) && wrong.At.File == "":
			t.Errorf("%v has no file", err)
		}
	})
}
