package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Set by TestMain, read by the tests.
var (
	repo   string                                       // root of the checkout
	binary string                                       // path of the built fairlead
	prefix = fmt.Sprintf("fltest-e2e-p%d", os.Getpid()) // of every name on the engine

	imageFairlead = prefix + "-fairlead"
	imageWhoami   = prefix + "-whoami"
	imageBare     = prefix + "-bare"    // whoami without EXPOSE
	imageHealthy  = prefix + "-healthy" // with a HEALTHCHECK
	imageFilter   = prefix + "-socketfilter"
)

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// setUp builds everything once, runs the tests and removes everything. Its own
// deferred calls run before os.Exit, after a panic in a test they do not: then
// the next run cleans up.
func setUp(m *testing.M) (int, error) {
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("no Docker engine answers, and these tests need one (scripts/need.sh engine installs and starts it): %s", out)
	}
	var err error
	if repo, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	removeAbandoned()
	defer removeNamed(prefix)
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := buildAll(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// buildAll makes the binaries and the images, the latter by the project's own
// Dockerfiles. Their context is a copy of what they take, so that bin/ of the
// checkout is left alone.
func buildAll(dir string) error {
	bin := filepath.Join(dir, "bin")
	binary = filepath.Join(bin, "fairlead")
	for _, b := range []struct{ out, pkg string }{
		{binary, "./cmd/fairlead"}, {filepath.Join(bin, "whoami"), "./test/apps/whoami"}, {filepath.Join(bin, "socketfilter"), "./test/apps/socketfilter"},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=e2e", "-o", b.out, b.pkg)
		cmd.Dir, cmd.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "scripts/image"), os.DirFS(filepath.Join(repo, "scripts/image"))); err != nil {
		return fmt.Errorf("copy the build context: %w", err)
	}
	const bareFile = "FROM scratch\nCOPY bin/whoami /whoami\nENTRYPOINT [\"/whoami\"]\n"
	bare, healthy := filepath.Join(dir, "bare.Dockerfile"), filepath.Join(dir, "healthy.Dockerfile")
	for path, content := range map[string]string{
		bare: bareFile, healthy: bareFile + "EXPOSE 80\nHEALTHCHECK --interval=1s CMD [\"/whoami\", \"healthcheck\"]\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	apps := filepath.Join(repo, "test/apps/Dockerfile")
	for _, args := range [][]string{
		{"--target", "local", "-t", imageFairlead, "-f", filepath.Join(repo, "Dockerfile")},
		{"--target", "whoami-local", "-t", imageWhoami, "-f", apps},
		{"--target", "socketfilter-local", "-t", imageFilter, "-f", apps},
		{"-t", imageBare, "-f", bare},
		{"-t", imageHealthy, "-f", healthy},
	} {
		cmd := exec.Command("docker", append(append([]string{"build", "--quiet"}, args...), dir)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build image %v: %w\n%s", args, err, out)
		}
	}
	return nil
}

var runName = regexp.MustCompile(`^fltest-e2e-p([0-9]+)\b`)

// removeAbandoned removes what runs left whose process is gone.
func removeAbandoned() {
	seen := map[string]bool{}
	for _, list := range [][]string{
		{"ps", "-a", "--format", "{{.Names}}"}, {"network", "ls", "--format", "{{.Name}}"},
		{"volume", "ls", "--format", "{{.Name}}"}, {"image", "ls", "--format", "{{.Repository}}"},
	} {
		out, _ := exec.Command("docker", list...).Output()
		for name := range strings.FieldsSeq(string(out)) {
			m := runName.FindStringSubmatch(name)
			if m == nil || seen[m[0]] {
				continue
			}
			seen[m[0]] = true
			if _, err := os.Stat("/proc/" + m[1]); err != nil {
				removeNamed(m[0])
			}
		}
	}
}

// removeNamed removes every container, network, volume and image whose name
// begins with name.
func removeNamed(name string) {
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-a", "--format", "{{.Names}}"}, []string{"rm", "-f", "-v"}},
		{[]string{"network", "ls", "--format", "{{.Name}}"}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "--format", "{{.Name}}"}, []string{"volume", "rm", "-f"}},
		{[]string{"image", "ls", "--format", "{{.Repository}}:{{.Tag}}"}, []string{"rmi", "-f"}},
	} {
		out, _ := exec.Command("docker", kind.list...).Output()
		args := kind.remove
		for found := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(found, name+"-") {
				args = append(args, found)
			}
		}
		if len(args) == len(kind.remove) {
			continue
		}
		if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: clean up: %v: %s\n", err, out)
		}
	}
}
