package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"golang.org/x/tools/txtar"

	"github.com/fairlead/fairlead/internal/dockertest"
)

var update = flag.Bool("update", false, "rewrite golden files with what comes out")

// TestCheck runs testdata/check/*.txtar: each is a directory of files, `args`
// the words behind `fairlead check`, and `want` what it says, with the exit code
// in the last line.
func TestCheck(t *testing.T) {
	files, _ := filepath.Glob("testdata/check/*.txtar")
	if len(files) < 30 {
		t.Fatalf("%d golden files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, path)
		})
	}
}

func checkGolden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(t.TempDir()))
	if err := os.Mkdir("shop", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("shop") // its name is the project's
	var args []string
	want := ""
	kept := a.Files[:0]
	for _, f := range a.Files {
		switch f.Name {
		case "want":
			want = string(f.Data)
			continue
		case "args":
			args = strings.Fields(string(f.Data))
		default:
			writeFile(t, f.Name, string(f.Data))
		}
		kept = append(kept, f)
	}
	got, err := command(append([]string{"check"}, args...)...)
	switch {
	case err == nil:
		got += "exit 0\n"
	case errors.Is(err, errNo):
		got += "exit 1\n"
	default:
		got += err.Error() + "\nexit 2\n"
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	a.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCheckAgainstWhatRuns checks files beside a proxy that serves other
// projects: who holds which host there, and which networks there are.
func TestCheckAgainstWhatRuns(t *testing.T) {
	w := newWorld(t)
	p := w.start("--domain", "lan", "--label-prefix", "edge")
	run := func(project, service, host string) string {
		return w.engine.Run(dockertest.Container{Name: project + "-" + service + "-1", Networks: []string{"apps"}, Labels: map[string]string{
			"edge.host": host, "com.docker.compose.project": project, "com.docker.compose.service": service,
		}})
	}
	held := run("holder", "web", "held.test")
	eventually(t, "held.test has a holder", func() bool { return p.view().holds("held.test", "holder") })
	run("shop", "old", "mine.test")
	eventually(t, "mine.test has a holder", func() bool { return p.view().holds("mine.test", "shop") })
	// A ledger decides, not what is there: the holder is away for a moment.
	w.engine.Remove(held)
	eventually(t, "the holder is gone", func() bool { return len(p.watch.containers()) == 1 })

	dir := t.TempDir()
	against := func(labels string) (string, error) {
		file := filepath.Join(dir, "compose.yaml")
		writeFile(t, file, "name: shop\nservices:\n  new:\n    image: example/app:1\n    labels:\n"+labels)
		return command("check", "--against", p.admin.Socket, file)
	}
	for labels, want := range map[string]string{
		"      edge.host: held.test\n":      "compose.yaml:6:7: shop-new-1: another owner, holder, holds held.test",
		"      edge.host: mine.test\n":      "mine.test/ → shop/new",              // the project's own, whose containers it replaces
		"      edge.enable: \"true\"\n":     "new.lan/, new.shop.lan/ → shop/new", // the settings are the proxy's
		"      edge.timeout.conect: 2s\n":   `did you mean "edge.timeout.connect"?`,
		"      fairlead.host: other.test\n": "no routes of no services",
	} {
		out, err := against(labels)
		if wrong := strings.Contains(want, ".yaml:6:7") || strings.Contains(want, "did you"); !strings.Contains(out, want) || wrong != errors.Is(err, errNo) {
			t.Errorf("labels %s: %v\n%s\nwant %q", labels, err, out, want)
		}
	}
}

func (v *routesView) holds(host, owner string) bool {
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			if m.Host == host && m.Holder == owner {
				return true
			}
		}
	}
	return false
}

// TestReaderFlagsAreAsked: whatever decides how labels are read goes to check.
func TestReaderFlagsAreAsked(t *testing.T) {
	var s settings
	s.flags(pflag.NewFlagSet("", pflag.ContinueOnError))
	told := s.ofReader()
	for _, name := range readerFlags {
		if _, ok := told[name]; !ok {
			t.Errorf("a running proxy does not say its --%s", name)
		}
	}
	if len(told) != len(readerFlags) {
		t.Errorf("a running proxy says %d settings, check takes %d", len(told), len(readerFlags))
	}
}

// BenchmarkCheck is a file of 100 services: reading, compiling and writing.
func BenchmarkCheck(b *testing.B) {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  app%d:\n    image: example/app:1\n    volumes: [\"data%d:/data\"]\n    environment: {A: b, C: \"${D:-e}\"}\n    labels:\n      fairlead.host: app%d.example.com\n      fairlead.port: \"8080\"\n      fairlead.drain: 45s\n      fairlead.route.api.path: /api\n", i, i, i)
	}
	text.WriteString("volumes:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  data%d: {}\n", i)
	}
	file := filepath.Join(b.TempDir(), "compose.yaml")
	writeFile(b, file, text.String())
	for b.Loop() {
		out, err := command("check", file)
		if err != nil || !strings.Contains(out, "100 hints; 200 routes of 100 services") {
			b.Fatalf("%v\n%s", err, out[max(0, len(out)-300):])
		}
	}
}

// TestExamplesAreRight checks every compose file of compose-examples: those of
// well-known applications have what they need for variables in .env.example.
func TestExamplesAreRight(t *testing.T) {
	checked := 0
	err := filepath.WalkDir("../../compose-examples", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".yaml") || !strings.HasPrefix(d.Name(), "compose") {
			return err
		}
		checked++
		args := []string{"check", "--profile", "blue", file} // of blue-green one at a time
		if vars := filepath.Join(filepath.Dir(file), ".env.example"); exists(vars) {
			args = append(args, "--env-file", vars)
		}
		if out, err := command(args...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 37 {
		t.Errorf("only %d compose files were found", checked)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
