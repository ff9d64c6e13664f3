package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// Every block of code in the pages is run as a reader would run it, from top to
// bottom, on a machine of its own. CONTRIBUTING.md says how pages are written
// for that.

// notRun lists the blocks that are not run, by page and the reason that stands
// behind `no-run:`; nothing is added without changing this list.
var notRun = map[string]map[string]int{}

// ownProxy are the pages that start a proxy themselves. For the others that of
// the quickstart runs.
var ownProxy = []string{}

func TestSnippets(t *testing.T) {
	all := readPages(t)
	m := newMachine(t, imagesOf(all), hostsOf(all))
	for _, p := range all {
		t.Run(p.path, func(t *testing.T) {
			defer m.wipe()
			s := &session{machine: m, t: t, page: p}
			s.prepare()
			for _, b := range p.blocks {
				s.try(b)
			}
		})
	}
}

// A session is one reader with one page.
type session struct {
	*machine
	t      *testing.T
	page   page
	dir    string // where the page's files are
	said   string // by the last commands
	blocks int
}

// prepare makes the directory that a reader has: the examples, and for their
// pages the folder of the page. The project that a page looks at, if it has one,
// is beside this file.
func (s *session) prepare() {
	s.t.Helper()
	root := filepath.Join(s.machine.dir, "pages", strings.ReplaceAll(s.page.path, "/", "-"))
	for _, dir := range []string{"compose-examples", "test/apps"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(repo, dir))); err != nil {
			s.t.Fatal(err)
		}
	}
	s.dir = root
	if strings.HasPrefix(s.page.path, "compose-examples/") {
		s.dir = filepath.Join(root, filepath.Dir(s.page.path))
	}
	if !slices.Contains(ownProxy, s.page.path) && s.page.runs() {
		s.do(root, "docker compose -f compose-examples/quickstart/proxy/compose.yaml up -d")
	}
	scene := filepath.Join(repo, "test/e2e/testdata/pages", strings.TrimSuffix(filepath.Base(s.page.path), ".md"))
	if _, err := os.Stat(scene); err == nil {
		if err := os.CopyFS(s.dir, os.DirFS(scene)); err != nil {
			s.t.Fatal(err)
		}
		s.do(s.dir, "docker compose -p shop up -d")
	}
}

// try does with a block what its kind asks for.
func (s *session) try(b block) {
	s.t.Helper()
	s.blocks++
	if b.file() != "" && !b.wrong() {
		s.save(b)
	}
	switch {
	case b.reason() != "":
	case b.lang() == "sh":
		s.command(b)
	case b.lang() == "text":
		if err := matches(s.said, b.text); err != nil {
			s.t.Errorf("%s: %v\nIt was\n%s", b.at, err, s.said)
		}
	case b.lang() == "yaml" && !b.wrong():
		s.compose(b)
	case b.lang() == "json":
		var v any
		if err := json.Unmarshal([]byte(b.text), &v); err != nil {
			s.t.Errorf("%s: %v", b.at, err)
		}
	}
}

func (s *session) save(b block) {
	s.t.Helper()
	path := filepath.Join(s.dir, b.file())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// command runs a block. Where it ends, the next one begins.
func (s *session) command(b block) {
	s.t.Helper()
	where := filepath.Join(s.machine.dir, "cwd")
	r := s.run(s.dir, "trap 'pwd >"+where+"' EXIT\n"+b.text, 2*time.Minute)
	s.said = r.Out
	if r.Code != b.code() {
		s.t.Errorf("%s: exit code %d, want %d:\n%s\n%s", b.at, r.Code, b.code(), b.text, r.Out)
	}
	if cwd, err := os.ReadFile(where); err == nil {
		s.dir = strings.TrimSpace(string(cwd))
	}
}

// compose holds a block of YAML to what it is: a compose file, labels of a
// service, the steps of a workflow, or a file of routes.
func (s *session) compose(b block) {
	s.t.Helper()
	var top struct {
		Services, Labels yaml.Node
		Jobs             map[string]struct{ Steps []struct{ Run string } }
	}
	if err := yaml.Unmarshal([]byte(b.text), &top); err != nil {
		s.t.Errorf("%s: %v", b.at, err)
		return
	}
	text, check := b.text, "docker compose config -q && fairlead check"
	switch {
	case len(top.Jobs) > 0:
		for _, job := range top.Jobs {
			for _, step := range job.Steps {
				s.command(block{at: b.at, info: "sh", text: step.Run})
			}
		}
		return
	case top.Labels.Kind != 0:
		text = "services:\n  app:\n    image: your/app:1.0\n    ports: [\"80\"]\n    " + strings.ReplaceAll(strings.TrimRight(b.text, "\n"), "\n", "\n    ") + "\n"
	case top.Services.Kind == 0:
		text, check = "services: {app: {image: your/app:1.0}}\n", "fairlead check --routes block.yaml"
	}
	dir := filepath.Join(s.machine.dir, "block")
	defer os.RemoveAll(dir)
	s.write("block/compose.yaml", text)
	s.write("block/block.yaml", b.text)
	if r := s.run(dir, check, time.Minute); r.Code != 0 {
		s.t.Errorf("%s: %s: exit code %d:\n%s", b.at, check, r.Code, r.Out)
	}
}

// A page is a Markdown file with its blocks.
type page struct {
	path   string
	blocks []block
	text   string
}

// runs reports whether anything of the page is run.
func (p page) runs() bool {
	return slices.ContainsFunc(p.blocks, func(b block) bool { return b.lang() == "sh" && b.reason() == "" })
}

// A block is a fenced block of code: ```INFO, its text, ```.
type block struct{ at, info, text string }

func (b block) lang() string { lang, _, _ := strings.Cut(b.info, " "); return lang }

// wrong: a mistake that is shown on purpose.
func (b block) wrong() bool { return b.info == "yaml wrong" }

// reason says why the block is not run, "" if it is.
func (b block) reason() string {
	_, reason, _ := strings.Cut(b.info, "no-run: ")
	return reason
}

// code is the exit code that the block is to end with.
func (b block) code() (n int) {
	if _, code, ok := strings.Cut(b.info, "exit="); ok {
		fmt.Sscan(code, &n)
	}
	return n
}

var fileLine = regexp.MustCompile(`^# ([a-z0-9.][A-Za-z0-9._/-]*\.[a-z]+)\n`)

// file is the name that the block gives itself in its first line, a comment.
func (b block) file() string {
	if m := fileLine.FindStringSubmatch(b.text); m != nil {
		return m[1]
	}
	return ""
}

// parsePage takes a page apart. An indented block of code is an error: it has no
// info string.
func parsePage(path, text string) (page, error) {
	p := page{path: path, text: text}
	var open *block
	before := ""
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", path, i+1)
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			open = &block{at: at, info: strings.TrimPrefix(line, "```")}
		case open != nil && line == "```":
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "    ") && before == "":
			return p, fmt.Errorf("%s: a block of code that is indented: put it between ``` and name its language", at)
		}
		before = strings.TrimSpace(line)
	}
	if open != nil {
		return p, fmt.Errorf("%s: not closed", open.at)
	}
	return p, nil
}

func readPages(t *testing.T) (all []page) {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"README.md", "docs/*.md", "compose-examples/README.md"} {
		found, err := filepath.Glob(filepath.Join(repo, pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	err := filepath.WalkDir(filepath.Join(repo, "compose-examples"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "README.md" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(repo, path)
		p, err := parsePage(rel, string(text))
		if err != nil {
			t.Error(err)
		}
		all = append(all, p)
	}
	return all
}
