package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every mistake of test/mistakes is made on the real engine: the client gets
// what is expected, log, explain and check say why, and what they advise mends
// it. Those that need nothing special share one proxy.
func TestMistakes(t *testing.T) {
	all := readMistakes(t)
	if len(all) < 42 {
		t.Errorf("there are %d mistakes, want at least 42", len(all))
	}
	run := strings.ToLower(unique(t, "m")) // so that two runs do not disturb each other
	settings := []string{"acme-directory=off"}
	for _, m := range all {
		settings = append(settings, m.projects(run)...)
	}
	common := startMistaken(t, settings...)
	t.Run("of", func(t *testing.T) {
		for _, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				r := &mistaken{t: t, m: m, run: run, dir: t.TempDir(), proxy: common, projects: map[string]*project{}, known: map[string]string{"gid": groupOf(t, socketPath())}}
				r.make()
			})
		}
	})
}

// groupOf is the id of the group that a file belongs to.
func groupOf(t testing.TB, path string) string { return run(t, "stat", "-L", "-c", "%g", path) }

// front is a proxy with an HTTPS listener, as the mistakes are made in front of.
type front struct {
	*proxy
	https string // address of that listener, "" without
	data  string // its data directory, "" in a container
}

// startMistaken runs the binary on this machine, with both listeners.
func startMistaken(t testing.TB, settings ...string) *front {
	t.Helper()
	f := spawnMistaken(t, settings...)
	f.listens()
	return f
}

func spawnMistaken(t testing.TB, settings ...string) *front {
	t.Helper()
	https := freeAddr(t)
	var projects, rest []string
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s, "project="); ok {
			projects = append(projects, name)
			continue
		}
		rest = append(rest, s)
	}
	if projects != nil {
		rest = append(rest, "project="+strings.Join(projects, ","))
	}
	// Not t.TempDir: the path of a unix socket has room for 107 bytes.
	data, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	return &front{spawn(t, append([]string{"https=" + https, "data-dir=" + data}, rest...)...), https, data}
}

// projects are the settings that limit a proxy to m's own projects.
func (m *mistake) projects(run string) (settings []string) {
	for path := range m.files {
		if dir, ok := strings.CutSuffix(path, "compose.yaml"); ok {
			settings = append(settings, "project="+projectName(run, m.name, strings.TrimSuffix(dir, "/")))
		}
	}
	return settings
}

func projectName(run, mistake, dir string) string {
	return strings.TrimSuffix(run+"-"+mistake+"-"+dir, "-")
}

// mistaken is a mistake being made.
type mistaken struct {
	t        *testing.T
	m        *mistake
	run      string
	dir      string
	proxy    *front
	projects map[string]*project // by directory
	known    map[string]string   // further {WORDS} of what is expected
	undo     func()              // of the situation
}

func (r *mistaken) make() {
	r.write()
	sit := situations[r.m.situation]
	if r.m.settings != nil && !sit.starts {
		r.own(r.settings()...)
	}
	if sit.prepare != nil {
		sit.prepare(r)
	}
	if !r.start() {
		return
	}
	if sit.then != nil {
		sit.then(r)
	}
	for _, w := range r.m.requests {
		r.ask(w.url) // what explain says may be of what happened
	}
	r.explained()
	for _, w := range r.m.requests {
		r.answered(w)
	}
	r.logged()
	r.checked(r.m.check)
	if r.m.against != nil {
		r.checked(r.m.against, "--against", filepath.Join(r.proxy.data, "admin.sock"))
	}

	r.fix()
	r.mended(sit)
}

// fix changes the lines that the mistake's file says are to be changed.
func (r *mistaken) fix() {
	r.t.Helper()
	for file, diff := range r.m.fixes {
		path := filepath.Join(r.dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := mend(string(b), r.written(diff))
		if err != nil {
			r.t.Fatalf("the fix of %s %v", file, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// write writes the files of the mistake, with what is known by now.
func (r *mistaken) write() {
	for path, content := range r.m.files {
		path = filepath.Join(r.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(r.written(content)), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// written puts what is this run's own into a file: its images, directory, ports.
func (r *mistaken) written(text string) string {
	for _, what := range []string{"addr", "https", "other"} {
		if strings.Contains(text, "{"+what+"}") && r.known[what] == "" {
			r.known[what] = freeAddr(r.t)
		}
	}
	for what, v := range r.known {
		text = strings.ReplaceAll(text, "{"+what+"}", v)
	}
	return strings.NewReplacer("{dir}", r.dir, "fairlead-whoami", imageWhoami, "fairlead-bare", imageBare, "fairlead-healthy", imageHealthy, "image: fairlead\n", "image: "+imageFairlead+"\n").Replace(text)
}

// settings are those of a proxy of the mistake's own.
func (r *mistaken) settings() []string {
	var out []string
	for _, s := range r.m.settings {
		out = append(out, r.written(s))
	}
	return append(out, r.m.projects(r.run)...)
}

// own gives the mistake a proxy of its own.
func (r *mistaken) own(settings ...string) {
	r.t.Helper()
	r.proxy = startMistaken(r.t, append([]string{"acme-directory=off"}, settings...)...)
}

// start brings up the projects, the others before the one with the mistake. It
// reports whether that runs.
func (r *mistaken) start() bool {
	r.t.Helper()
	var dirs []string
	for path := range r.m.files {
		if dir, ok := strings.CutSuffix(path, "compose.yaml"); ok && dir != "" {
			dirs = append(dirs, strings.TrimSuffix(dir, "/"))
		}
	}
	slices.Sort(dirs)
	if r.m.files["compose.yaml"] != "" {
		dirs = append(dirs, "")
	}
	for _, dir := range dirs {
		p := &project{t: r.t, Name: projectName(r.run, r.m.name, dir), files: []string{filepath.Join(r.dir, dir, "compose.yaml")}}
		r.projects[dir] = p
		refuses := dir == "" && r.m.compose == "refuses" // then it takes nothing down either
		if !refuses {
			r.t.Cleanup(func() { r.takeDown(p) })
		}
		if dir == "" && situations[r.m.situation].up != nil {
			situations[r.m.situation].up(r)
			break
		}
		out, err := p.try("up", "-d")
		if refuses {
			if err == nil {
				r.t.Fatalf("compose took the file:\n%s", out)
			}
			r.checked(r.m.check)
			return false
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return true
}

func (r *mistaken) takeDown(p *project) {
	if r.t.Failed() {
		out, _ := p.try("logs", "--no-color", "--tail", "10")
		r.t.Logf("logs of project %s:\n%s", p.Name, out)
	}
	if _, err := p.try("down", "-v", "-t", "1", "--remove-orphans"); err != nil {
		r.t.Logf("clean up: %v", err)
	}
}

var placeholder = regexp.MustCompile(`\{([a-z0-9:-]+)\}`)

// filled puts the names of this run into what is expected: {web} is the
// container of the service web, {holder:web} that of the project in holder/,
// {project} and {project:holder} are projects.
func (r *mistaken) filled(text string, container func(p *project, service string) string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		what := strings.Trim(s, "{}")
		if v, ok := r.known[what]; ok {
			return v
		}
		dir, service, found := strings.Cut(what, ":")
		switch {
		case what == "dir":
			return r.dir
		case what == "project":
			return r.projects[""].Name
		case found && dir == "project":
			return r.projects[service].Name
		case !found:
			dir, service = "", dir
		}
		return container(r.projects[dir], service)
	})
}

// onEngine is the container of a service as the engine knows it.
func onEngine(p *project, service string) string {
	out, err := try("docker", "ps", "-a", "--format", "{{.Names}}", "--filter", "label=com.docker.compose.project="+p.Name, "--filter", "label=com.docker.compose.service="+service)
	if name, _, _ := strings.Cut(out, "\n"); err == nil && name != "" {
		return name
	}
	return p.Name + "_" + service + "_1 (which is not there)"
}

// inFile is that container as compose would name it.
func inFile(p *project, service string) string { return p.Name + "-" + service + "-1" }

// ask sends one request and follows no redirect.
func (r *mistaken) ask(url string) (answer, error) {
	c := client(r.proxy.addr, false)
	tr := c.Transport.(*http.Transport)
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	tr.DialTLSContext = nil
	dial := tr.DialContext
	if strings.HasPrefix(url, "https:") {
		tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, r.proxy.https)
		}
	} else {
		tr.DialContext = dial
	}
	resp, err := c.Get(url)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}, err
}

// answered waits until a request gets what is wanted.
func (r *mistaken) answered(w wanted) {
	r.t.Helper()
	eventually(r.t, soon, fmt.Sprintf("%s is answered %d %s", w.url, w.status, w.text), func() error {
		a, err := r.ask(w.url)
		switch {
		case w.status == 0 && err == nil:
			return fmt.Errorf("got %v", a)
		case w.status == 0:
			return nil
		case err != nil:
			return err
		case a.Status != w.status:
			return fmt.Errorf("got %v", a)
		case w.text == "app":
			return r.fromApp(a)
		}
		return contains(fmt.Sprint(a.Header)+"\n"+a.Body, w.text)
	})
}

// fromApp reports whether a container of the mistake's project answered.
func (r *mistaken) fromApp(a answer) error {
	if id := a.Container(); id != "" {
		name, err := try("docker", "inspect", "-f", `{{index .Config.Labels "com.docker.compose.project"}}`, id)
		if err == nil && name != r.projects[""].Name {
			err = fmt.Errorf("a container of %s answered", name)
		}
		return err
	}
	return fmt.Errorf("no app answered: %v", a)
}

// explained waits until explain says all that is expected.
func (r *mistaken) explained() {
	r.t.Helper()
	for _, e := range r.m.explain {
		r.expect(soon, "fairlead explain "+strings.Join(e.args, " "), e.lines, func() string {
			args := []string{"explain"}
			for _, a := range e.args {
				args = append(args, r.filled(a, onEngine))
			}
			return r.proxy.cli(args...).Out
		})
	}
}

// logged waits until the log says all that is expected.
func (r *mistaken) logged() {
	r.t.Helper()
	// As people read it: a quote within JSON is a quote.
	r.expect(soon, "the log", r.m.log, func() string { return strings.ReplaceAll(r.proxy.logs(), `\"`, `"`) })
}

func (r *mistaken) expect(within time.Duration, what string, want []string, ask func() string) {
	r.t.Helper()
	var said string
	err := poll(within, func() error {
		said = ask()
		for _, line := range want {
			if filled := r.filled(line, onEngine); !hasLine(said, filled) {
				return fmt.Errorf("no line %s", filled)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Errorf("%s: %v\nin\n%s", what, err, r.ours(said))
	}
}

// ours keeps what a long log says of this mistake.
func (r *mistaken) ours(log string) string {
	if strings.Count(log, "\n") < 60 {
		return log
	}
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, r.m.name) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// checked runs check on the file as it is: "ok" means that it finds nothing.
func (r *mistaken) checked(want []string, flags ...string) {
	r.t.Helper()
	if r.m.files["compose.yaml"] == "" {
		return
	}
	cmd := exec.Command(binary, append([]string{"check", "--project-name", projectName(r.run, r.m.name, ""), "-f", "compose.yaml"}, flags...)...)
	cmd.Dir, cmd.Env = r.dir, cleanEnv()
	got := exitOf(r.t, cmd)
	if slices.Equal(want, []string{"ok"}) {
		if got.Code != 0 {
			r.t.Errorf("check ended with code %d, want 0:\n%s", got.Code, got.Out)
		}
		return
	}
	hints := true
	for _, line := range want {
		hints = hints && strings.Contains(line, "hint")
		if filled := r.filled(line, inFile); !hasLine(got.Out, filled) {
			r.t.Errorf("check has no line %s in\n%s", filled, got.Out)
		}
	}
	if code := map[bool]int{true: 0, false: 1}[hints]; got.Code != code {
		r.t.Errorf("check ended with code %d, want %d:\n%s", got.Code, code, got.Out)
	}
}

// mended waits until what was advised has helped: requests are answered, and
// nothing is said against the containers of the project any more.
func (r *mistaken) mended(sit situation) {
	r.t.Helper()
	if p := r.projects[""]; p != nil {
		if _, err := p.try("up", "-d"); err != nil {
			r.t.Fatal(err)
		}
	}
	if sit.repair != nil {
		sit.repair(r)
	}
	then := r.m.then
	if then == nil && len(r.m.requests) > 0 {
		then = []wanted{{r.m.requests[0].url, 200, "app"}}
	}
	for _, w := range then {
		r.answered(w)
	}
	eventually(r.t, soon, "no problem is left", r.problems)
	if r.m.files["compose.yaml"] != "" && r.m.compose == "" {
		r.checked([]string{"ok"})
	}
}

// problems is an error if the proxy has one with the containers of the project.
func (r *mistaken) problems() error {
	got := r.proxy.cli("routes", "--json")
	var v struct {
		Problems []struct{ Code, Container, Message string }
	}
	if err := json.Unmarshal([]byte(got.Out), &v); err != nil {
		return fmt.Errorf("%w in %s", err, got.Out)
	}
	for _, p := range v.Problems {
		if strings.Contains(p.Container, projectName(r.run, r.m.name, "")) {
			return fmt.Errorf("%s: %s [%s]", p.Container, p.Message, p.Code)
		}
	}
	return nil
}
