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

// notRun lists the blocks that are not run, by page and by the reason that stands
// behind `no-run:`. Nothing is added without changing this list.
var notRun = []string{
	"compose-examples/README.md: the images come from a registry",
	"docs/https.md: it shows public names",
}

// languages are those of blocks. Of the last four nothing is run: files of
// systemd, nginx and editors are theirs to read, and drawings have no language.
var languages = []string{"sh", "text", "yaml", "json", "ini", "nginx", "lua", ""}

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

// TestSnippetsAreRunOrListed keeps a page from saying that nothing of it need be
// true.
func TestSnippetsAreRunOrListed(t *testing.T) {
	var listed []string
	run, shown := 0, 0
	for _, p := range readPages(t) {
		last := block{}
		for _, b := range p.blocks {
			switch {
			case b.info == before:
				continue
			case !slices.Contains(languages, b.lang()):
				t.Errorf("%s: a block of %q: want one of %q", b.at, b.info, languages)
			case b.reason() != "":
				listed = append(listed, p.path+": "+b.reason())
			case b.lang() == "sh":
				run++
			case b.lang() == "text" && last.lang() != "sh":
				t.Errorf("%s: output without commands before it", b.at)
			case b.lang() == "text":
				shown++
			}
			last = b
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(listed)), notRun) {
		t.Errorf("not run are %q, want %q", listed, notRun)
	}
	if run < 60 || shown < 20 {
		t.Errorf("found %d blocks of commands and %d of their output: most were missed", run, shown)
	}
}

// A session is one reader with one page.
type session struct {
	*machine
	t    *testing.T
	page page
	root string // where the page's files are
	dir  string // where the next commands are run
	said string // by the last ones
}

// prepare makes the directory that a reader has, with the examples in it: for a
// page of theirs the folder of the page, for another one a project called shop.
func (s *session) prepare() {
	s.t.Helper()
	root := filepath.Join(s.machine.dir, "pages", strings.ReplaceAll(s.page.path, "/", "-"), "shop")
	if err := os.CopyFS(filepath.Join(root, "compose-examples"), os.DirFS(filepath.Join(repo, "compose-examples"))); err != nil {
		s.t.Fatal(err)
	}
	s.dir = root
	if strings.HasPrefix(s.page.path, "compose-examples/") {
		s.dir = filepath.Join(root, filepath.Dir(s.page.path))
	}
	s.root = s.dir
}

// try does with a block what its kind asks for.
func (s *session) try(b block) {
	s.t.Helper()
	if b.file() != "" {
		s.save(b)
	}
	switch {
	case b.info == before:
		s.do(s.dir, shimCommon+b.text)
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
	path := filepath.Join(s.root, b.file())
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
	if (r.Code != 0) != b.fails() {
		s.t.Errorf("%s: exit code %d:\n%s\n%s", b.at, r.Code, b.text, r.Out)
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
	// What was shown last, for what is done before the next commands.
	s.save(block{text: "# last.yaml\n" + b.text})
	text, check := b.text, "docker compose config -q && fairlead check"
	switch {
	case len(top.Jobs) > 0:
		for _, job := range top.Jobs {
			for _, step := range job.Steps {
				if step.Run == "" {
					continue
				}
				s.command(block{at: b.at, info: b.info, text: step.Run})
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

// fails: the last command is to end with another code than 0.
func (b block) fails() bool { return strings.HasSuffix(b.info, " fails") }

var fileLine = regexp.MustCompile(`^# ([a-z0-9.][A-Za-z0-9._/-]*\.[a-z]+)\n`)

// file is the name that the block gives itself in its first line, a comment.
func (b block) file() string {
	if m := fileLine.FindStringSubmatch(b.text); m != nil {
		return m[1]
	}
	return ""
}

// before is the info of what is no block but a comment, <!-- before: COMMANDS -->,
// which readers do not see: what they have done already.
const before = "before"

// parsePage takes a page apart. An indented block of code is an error: it has no
// info string.
func parsePage(path, text string) (page, error) {
	p := page{path: path, text: text}
	var open *block
	last, indent := "", ""
	for i, line := range strings.Split(text, "\n") {
		at, trimmed := fmt.Sprintf("%s:%d", path, i+1), strings.TrimSpace(line)
		script, isBefore := strings.CutPrefix(line, "<!-- "+before+":")
		switch {
		case open == nil && isBefore:
			open = &block{at: at, info: before, text: strings.TrimSuffix(script, "-->") + "\n"}
			if strings.HasSuffix(script, "-->") {
				p.blocks, open = append(p.blocks, *open), nil
			}
		case open == nil && strings.HasPrefix(trimmed, "```"):
			open = &block{at: at, info: strings.TrimPrefix(trimmed, "```")}
			indent, _, _ = strings.Cut(line, "`")
		case open != nil && (trimmed == "```" || trimmed == "-->"):
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "    ") && last == "" && open == nil:
			return p, fmt.Errorf("%s: a block of code that is indented: put it between ``` and name its language", at)
		}
		last = trimmed
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
