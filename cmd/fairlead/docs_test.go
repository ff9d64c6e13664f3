package main

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// How a page says that what it shows does not work.
const (
	onPurpose = "<!-- wrong -->" // behind it in the same line, for readers of the source
	wrongInfo = "yaml wrong"     // the info string of a block
	notYet    = " (not yet)"     // right behind the code span, for everybody
)

// A snippet is something that a page shows as code.
type snippet struct {
	at    string // page:line
	text  string
	block bool   // a line of a code block, and no code span
	after string // a code span: what follows it in its line
}

// A fence is a fenced block as a whole.
type fence struct{ at, info, text string }

// A page is a Markdown file taken apart. Neither snippets nor fences are in it
// that are marked as wrong, nor what a page for people who come from elsewhere
// shows of that other product: the first column of its tables.
type page struct {
	path     string
	snippets []snippet
	fences   []fence
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

func readPage(path, text string) page {
	p := page{path: path}
	theirs := strings.HasPrefix(filepath.Base(path), "moving-from-")
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", strings.TrimPrefix(path, "../../"), i+1)
		trimmed := strings.TrimSpace(line)
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			open = &fence{at: at, info: strings.TrimPrefix(trimmed, "```")}
		case open != nil && trimmed == "```":
			p.fences = append(p.fences, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
			if open.info != wrongInfo {
				p.snippets = append(p.snippets, snippet{at: at, text: trimmed, block: true})
			}
		case strings.HasPrefix(line, "    ") && !strings.Contains(line, "`"):
			p.snippets = append(p.snippets, snippet{at: at, text: trimmed, block: true})
		default:
			if row, ok := strings.CutPrefix(line, "| "); ok && theirs {
				_, line, _ = strings.Cut(strings.ReplaceAll(row, `\|`, "\x00"), "|")
				line = strings.ReplaceAll(line, "\x00", `\|`)
			}
			p.spans(at, line)
		}
	}
	return p
}

// spans adds the code spans of line.
func (p *page) spans(at, line string) {
	for _, m := range codeSpan.FindAllStringSubmatchIndex(line, -1) {
		after := line[m[1]:]
		if strings.Contains(after, onPurpose) {
			continue
		}
		text := strings.ReplaceAll(line[m[2]:m[3]], `\|`, "|")
		p.snippets = append(p.snippets, snippet{at: at, text: text, after: after})
	}
}

// pages returns what users read: not the decisions, which keep the words of
// their time, and not the reference, which is made of the schema.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	visit := func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "decisions":
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md" || path == "../../docs/labels.md":
			return nil
		}
		data, err := os.ReadFile(path)
		all = append(all, readPage(path, string(data)))
		return err
	}
	for _, root := range []string{"../../README.md", "../../SECURITY.md", "../../docs", "../../compose-examples"} {
		if err := filepath.WalkDir(root, visit); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 20 {
		t.Fatalf("found %d pages: the walk missed most of them", len(all))
	}
	return all
}

// TestPagesNameRealCommands keeps commands, flags and variables in the pages
// those that the program has.
func TestPagesNameRealCommands(t *testing.T) {
	root, commands, settings := rootCommand(), 0, 0
	flags := allFlags(root)
	for _, p := range pages(t) {
		for _, s := range p.snippets {
			if args, ok := commandOf(s.text); ok {
				commands++
				err := checkCommand(root, args, s.block)
				judge(t, s, "command", err, err != nil)
			}
			for _, name := range envNames.FindAllString(s.text, -1) {
				settings++
				if err := checkEnv(name, s.text); err != nil {
					t.Errorf("%s: %v", s.at, err)
				}
			}
			if m := flagName.FindStringSubmatch(s.text); m != nil && !s.block {
				settings++
				if !flags[m[1]] {
					t.Errorf("%s: --%s is no flag of any command", s.at, m[1])
				}
			}
		}
		for _, f := range p.fences {
			for _, args := range proxyCommands(f) {
				commands++
				if err := checkCommand(root, args, true); err != nil {
					t.Errorf("%s: command of the service: %v", f.at, err)
				}
			}
		}
	}
	if commands < 60 || settings < 60 {
		t.Errorf("found %d commands and %d settings: most were missed", commands, settings)
	}
}

// judge holds s to what its page says of it: that it works, or that it does not
// yet. missing says that it is not built; any other err is a mistake.
func judge(t *testing.T, s snippet, what string, err error, missing bool) {
	t.Helper()
	later := strings.HasPrefix(s.after, notYet)
	switch {
	case later && err == nil:
		t.Errorf("%s: %s %q is built, and the page says%s", s.at, what, s.text, notYet)
	case err != nil && !(later && missing):
		t.Errorf("%s: %s %q: %v", s.at, what, s.text, err)
	}
}

var (
	envNames   = regexp.MustCompile(`\bFAIRLEAD_[A-Z0-9][A-Z0-9_]*`)
	flagName   = regexp.MustCompile(`^--([a-z][a-z0-9-]*)`)
	endOfWords = regexp.MustCompile(`\s(?:\||>|2>|&&|;|#|→)(?:\s|$).*|\s*\)?;.*`)
)

// commandOf returns the arguments of a call of ours: `fairlead routes`, and
// whatever ends in a call of /fairlead.
func commandOf(text string) ([]string, bool) {
	rest, ours := strings.CutPrefix(strings.TrimPrefix(text, "$ "), "fairlead ")
	if i := strings.LastIndex(text, "/fairlead "); i >= 0 {
		rest, ours = text[i+len("/fairlead "):], true
	}
	if !ours {
		return nil, false
	}
	return strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(endOfWords.ReplaceAllString(rest, ""))), true
}

// checkCommand reports what is wrong with a call. In prose a call may lack
// arguments: it names the command.
func checkCommand(root *cobra.Command, args []string, complete bool) error {
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	var words []string
	for i := 0; i < len(rest); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(rest[i], "-"), "=")
		if !strings.HasPrefix(rest[i], "-") {
			words = append(words, rest[i])
			continue
		}
		if name == "help" {
			return nil
		}
		f := lookup(c, rest[i], name)
		if f == nil {
			return fmt.Errorf("%s has no flag %s", c.CommandPath(), rest[i])
		}
		if f.NoOptDefVal == "" && !hasValue && i+1 < len(rest) {
			i++
			value, hasValue = rest[i], true
		}
		if hasValue && value != strings.ToUpper(value) && f.Value.Type() != "stringArray" {
			if err := f.Value.Set(strings.Trim(value, `"'`)); err != nil {
				return fmt.Errorf("%s %s: %w", rest[i], value, err)
			}
		}
	}
	if complete || c == root {
		return c.ValidateArgs(words)
	}
	return nil
}

// lookup finds the flag of c that is written as text: --name or -n.
func lookup(c *cobra.Command, text, name string) *pflag.Flag {
	if strings.HasPrefix(text, "--") {
		return c.Flag(name)
	}
	if len(name) != 1 {
		return nil
	}
	return c.Flags().ShorthandLookup(name)
}

func allFlags(root *cobra.Command) map[string]bool {
	names := map[string]bool{"help": true}
	for _, c := range append(root.Commands(), root) {
		c.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	}
	return names
}

// checkEnv reports whether name is a setting, and takes its value where text
// gives it one.
func checkEnv(name, text string) error {
	s := &settings{}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.flags(f)
	flag := f.Lookup(strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-")))
	switch {
	case strings.HasPrefix(name, spec.SecretEnv):
		return nil
	case flag == nil:
		return unknownEnv(f, name, strings.ToLower(name))
	}
	if _, value, ok := strings.Cut(text, name); ok && (strings.HasPrefix(value, "=") || strings.HasPrefix(value, ": ")) {
		value = strings.Trim(strings.TrimSpace(value[1:]), `"'`)
		if err := fromEnv(f, []string{name + "=" + value}); err != nil {
			return err
		}
	}
	return s.check()
}

// A composeFile is what is looked at of one.
type composeFile struct {
	Services map[string]struct {
		Image   string
		Command yaml.Node
		Labels  yaml.Node
		Deploy  struct{ Labels yaml.Node }
	}
	Labels yaml.Node // of a fragment
}

// proxyCommands returns what services with our image are started with.
func proxyCommands(f fence) (calls [][]string) {
	var file composeFile
	if f.info != "yaml" || yaml.Unmarshal([]byte(f.text), &file) != nil {
		return nil
	}
	for _, s := range file.Services {
		var words []string
		if !strings.HasPrefix(s.Image, "fairlead") || s.Command.Kind == 0 {
			continue
		}
		if s.Command.Decode(&words) != nil {
			words = strings.Fields(s.Command.Value)
		}
		calls = append(calls, words)
	}
	return calls
}

// projectProblems reads the services of f as the containers of one project, by
// the rules for what labels mean together.
func projectProblems(f fence, schema *label.Schema) (problems []label.Problem) {
	var file composeFile
	if yaml.Unmarshal([]byte(f.text), &file) != nil {
		return nil
	}
	snap := spec.Snapshot{Self: spec.Self{HostNet: true, Bridges: true}}
	for i, name := range slices.Sorted(maps.Keys(file.Services)) {
		labels, _ := composeLabels(file.Services[name].Labels)
		snap.Workloads = append(snap.Workloads, &spec.Workload{
			ID: name, Name: name, Project: "page", Service: name, Labels: labels, State: spec.Running, StopTimeout: time.Hour,
			Networks: []spec.Attachment{
				{Network: "page_default", Key: "default", Driver: "bridge", IPv4: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)})},
				{Network: "web", Key: "web", Driver: "bridge", IPv4: netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 2)})},
			},
		})
	}
	parser := spec.NewParser(spec.Config{Schema: schema, Domain: "localhost", Entries: []string{"http", "https", "lan"}})
	for _, unit := range parser.Parse(snap).Units {
		problems = append(problems, unit.Problems...)
	}
	return problems
}

// TestPagesNameRealLabels keeps the labels in the pages those that the program
// reads without a Problem, and what a page calls "not yet" what is not built.
func TestPagesNameRealLabels(t *testing.T) {
	schema, found := routing.Schema("fairlead"), 0
	for _, p := range pages(t) {
		for _, s := range p.snippets {
			name, value, assigned, ok := labelOf(s)
			if !ok {
				continue
			}
			found++
			if assigned {
				err, later := problemsOf(schema, map[string]string{name: value})
				judge(t, s, "label", err, later)
			} else {
				err, later := checkKey(schema, strings.TrimPrefix(name, "fairlead."))
				judge(t, s, "label", err, later)
			}
		}
		for _, f := range p.fences {
			if f.info != "yaml" {
				continue
			}
			for _, labels := range labelsOf(t, f) {
				found += len(labels)
				if err, _ := problemsOf(schema, labels); err != nil {
					t.Errorf("%s: %v", f.at, err)
				}
			}
			for _, p := range projectProblems(f, schema) {
				t.Errorf("%s: %v", f.at, p)
			}
		}
	}
	if found < 150 {
		t.Errorf("found %d labels: most were missed", found)
	}
}

var (
	spanLabel = regexp.MustCompile(`^["']?(fairlead\.[^\s=:…"']*)(?:: |=)?(.*)$`)
	lineLabel = regexp.MustCompile(`["']?(fairlead\.[a-z][^\s=:…"']*)=("[^"]*"|'[^']*'|\S+)`)
)

// labelOf returns the label that s is, if it is one. A line of a YAML block is
// read with its block.
func labelOf(s snippet) (name, value string, assigned, ok bool) {
	if s.block {
		m := lineLabel.FindStringSubmatch(s.text)
		if m == nil || !strings.Contains(s.text, "--label") {
			return "", "", false, false
		}
		return m[1], strings.Trim(m[2], `"'`), true, true
	}
	m := spanLabel.FindStringSubmatch(s.text)
	if m == nil {
		return "", "", false, false
	}
	var text string
	if yaml.Unmarshal([]byte(m[2]), &text) != nil {
		text = m[2]
	}
	assigned = m[2] != "" && m[2] != "…"
	return strings.TrimRight(m[1], ":"), text, assigned, true
}

// problemsOf decodes labels as the program does. later says that nothing is
// wrong but that something is not built yet.
func problemsOf(schema *label.Schema, labels map[string]string) (err error, later bool) {
	read, problems := schema.Read("page", labels)
	for _, route := range append([]string{""}, routesOf(read)...) {
		_, more := schema.Decode("page", schema.For(read, route, nil))
		problems = append(problems, more...)
	}
	if len(problems) == 0 {
		return nil, false
	}
	other := slices.IndexFunc(problems, func(p label.Problem) bool { return p.Code != "not-yet" })
	return fmt.Errorf("%s", problems[max(other, 0)]), other < 0
}

func routesOf(l label.Labels) (names []string) {
	for name := range l.Routes {
		names = append(names, name)
	}
	return names
}

// checkKey reports whether key, without a value, is a label, a group of labels
// (static.…), or stands for any (KEY).
func checkKey(schema *label.Schema, key string) (err error, later bool) {
	if rest, ok := strings.CutPrefix(key, "route."); ok {
		_, key, _ = strings.Cut(rest, ".")
	}
	if key == "" || key == "KEY" || key == "*" {
		return nil, false
	}
	for _, k := range schema.Kinds {
		if strings.TrimSuffix(key, ".") == k.Name {
			return laterError(k.Later)
		}
		for _, r := range k.Rows {
			stem, open := strings.CutSuffix(r.Path, "*")
			if r.Path == key || open && strings.HasPrefix(key, stem) {
				return laterError(r.Later)
			}
		}
	}
	return fmt.Errorf("is not a label"), false
}

func laterError(later bool) (error, bool) {
	if later {
		return fmt.Errorf("is not built yet: write %q behind it", notYet), true
	}
	return nil, false
}

// labelsOf returns the labels of every service of a compose file, of a fragment
// of one, or of every entry of a routes file.
func labelsOf(t *testing.T, f fence) (all []map[string]string) {
	t.Helper()
	var top map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(f.text), &top); err != nil {
		t.Errorf("%s: %v", f.at, err)
		return nil
	}
	var file composeFile
	if err := yaml.Unmarshal([]byte(f.text), &file); err != nil {
		return routesFileLabels(t, f)
	}
	nodes := []yaml.Node{file.Labels}
	for _, s := range file.Services {
		nodes = append(nodes, s.Labels, s.Deploy.Labels)
	}
	if !slices.ContainsFunc([]string{"services", "labels", "networks", "volumes", "environment", "secrets"}, func(key string) bool { _, ok := top[key]; return ok }) {
		return routesFileLabels(t, f)
	}
	for _, n := range nodes {
		labels, err := composeLabels(n)
		if err != nil {
			t.Errorf("%s: %v", f.at, err)
		}
		all = append(all, labels)
	}
	return all
}

// composeLabels reads labels as Compose does, which takes no bool and nothing
// that is empty.
func composeLabels(n yaml.Node) (map[string]string, error) {
	labels := map[string]string{}
	var list []string
	if n.Kind == yaml.SequenceNode {
		if err := n.Decode(&list); err != nil {
			return nil, err
		}
		for _, text := range list {
			key, value, _ := strings.Cut(text, "=")
			labels[key] = value
		}
		return labels, nil
	}
	var values map[string]yaml.Node
	if n.Kind != 0 {
		if err := n.Decode(&values); err != nil {
			return nil, err
		}
	}
	for key, value := range values {
		if tag := value.ShortTag(); value.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!int" && tag != "!!float" {
			return nil, fmt.Errorf("the value of %s has to be quoted: it is no text", key)
		}
		labels[key] = value.Value
	}
	return labels, nil
}

func routesFileLabels(t *testing.T, f fence) (all []map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
		t.Fatal(err)
	}
	routes, err := (&discovery.RoutesFile{Path: path}).Load()
	if err != nil {
		t.Errorf("%s: as a routes file: %v", f.at, err)
	}
	for _, w := range routes {
		all = append(all, w.Labels)
	}
	return all
}
