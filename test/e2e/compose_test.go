package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A project is one compose project.
type project struct {
	t     testing.TB
	Name  string
	files []string
}

// newProject makes a project of compose files, the later ones laid over the
// earlier. Nothing is started yet; all of it is removed at the end.
func newProject(t testing.TB, what string, files ...string) *project {
	t.Helper()
	p := &project{t: t, Name: unique(t, what), files: files}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := p.try("logs", "--no-color")
			t.Logf("logs of project %s:\n%s", p.Name, brief(out))
		}
		if _, err := p.try("down", "-v", "-t", "1", "--remove-orphans"); err != nil {
			t.Logf("clean up: %v", err)
		}
	})
	return p
}

// composeFile writes a compose file into the test's directory.
func composeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// do runs compose on the project and fails the test if it fails.
func (p *project) do(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *project) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	all := []string{"-p", p.Name}
	for _, f := range p.files {
		all = append(all, "-f", f)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(repo, "scripts/compose.sh"), append(all, args...)...)
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("compose %s of project %s: %w\n%s", strings.Join(args, " "), p.Name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// containers returns the ids of the running containers of a service, full
// length.
func (p *project) containers(service string) []string {
	p.t.Helper()
	return p.list(service, "-q")
}

// every returns those that do not run as well.
func (p *project) every(service string) []string {
	p.t.Helper()
	return p.list(service, "-aq")
}

func (p *project) list(service, which string) []string {
	p.t.Helper()
	return strings.Fields(docker(p.t, "ps", which, "--no-trunc",
		"--filter", "label=com.docker.compose.project="+p.Name,
		"--filter", "label=com.docker.compose.service="+service,
		"--filter", "label=com.docker.compose.oneoff=False"))
}

// container returns the id of the only container of a service.
func (p *project) container(service string) string {
	p.t.Helper()
	ids := p.containers(service)
	if len(ids) != 1 {
		p.t.Fatalf("project %s has containers %v for %s, want one", p.Name, ids, service)
	}
	return ids[0]
}
