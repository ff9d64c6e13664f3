package main

import (
	"cmp"
	"errors"
	"fmt"
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

// TestPagesNameRealCommands keeps commands, flags and variables in the pages
// those that the program has.
func TestPagesNameRealCommands(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		wrong, n := wrongCommands(p)
		found += n
		for _, w := range wrong {
			t.Error(w)
		}
	}
	if found < 150 {
		t.Errorf("found %d commands and settings: most were missed", found)
	}
}

// TestPagesNameRealLabels keeps the labels in the pages those that the program
// reads without a Problem, and what a page calls "not yet" what is not built.
func TestPagesNameRealLabels(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		wrong, n := wrongLabels(t, p)
		found += n
		for _, w := range wrong {
			t.Error(w)
		}
	}
	if found < 500 {
		t.Errorf("found %d labels: most were missed", found)
	}
}

// TestMistakesInPagesAreFound keeps the two tests above from passing whatever
// a page says.
func TestMistakesInPagesAreFound(t *testing.T) {
	for text, want := range map[string]string{
		"`fairlead rotues`":                                  "unknown command",
		"`fairlead routes --jsno`":                           "no flag --jsno",
		"    docker exec <proxy> /fairlead explain":          "accepts 1 arg",
		"    fairlead run --idle-timeout 10":                 "has no unit",
		"`FAIRLEAD_HTPP`":                                    "FAIRLEAD_HTTP",
		"`FAIRLEAD_IDLE_TIMEOUT=75`":                         "has no unit",
		"`--default timeout.idle=90s`":                       "not a policy",
		"`--trusted-proxies 10.0.0.0/33`":                    "10.0.0.0/33",
		"`--http 80`":                                        "want [NAME=]HOST:PORT",
		"`--acme-mail a@example.com`":                        "no flag of any command",
		"`fairlead.prot: \"80\"`":                            "is not a label",
		"`static.cache: 30`":                                 "has no unit",
		"`fairlead.tls.min`":                                 "is not a label",
		"`fairlead.port: http`":                              "is not a number",
		"`fairlead.route.Api.path: /api`":                    "route.NAME.KEY",
		"`fairlead.auth.basic`":                              "not built yet",
		"`fairlead.scheme: h2c`":                             "does not work yet",
		"`fairlead.port` (not yet)":                          "is built",
		"`fairlead routes` (not yet)":                        "is built",
		"    docker run --label fairlead.hots=a.ex your/app": "is not a label",
		"```yaml\nservices:\n  a:\n    labels:\n      fairlead.hots: a.ex\n```":                                      "is not a label",
		"```yaml\nservices:\n  a:\n    labels: [fairlead.host=a.ex, fairlead.prot=80]\n```":                          "is not a label",
		"```yaml\nservices:\n  a:\n    labels:\n      fairlead.host: a.ex\n      fairlead.strip: true\n```":          "has to be quoted",
		"```yaml\nservices:\n  a:\n    labels:\n      fairlead.host: a.ex\n      fairlead.url: http://10.0.0.1\n```": "untrusted-url",
		"```yaml\nservices:\n  a:\n    image: fairlead:local\n    command: [run, --htpp, \":80\"]\n```":              "no flag --htpp",
		"```yaml\nservices:\n  a: {\n```":                          "yaml",
		"```yaml\nnas:\n  url: http://10.0.0.1\n  hots: a.ex\n```": "is not a label",
		"| x | `fairlead.hots: a.ex` |":                            "is not a label",
		"`fairlead.hots: a.ex` <!-- wrong -->":                     "",
		"```yaml wrong\nlabels:\n  fairlead.hots: a.ex\n```":       "",
		"`fairlead.auth.basic` (not yet)":                          "",
		"`fairlead frobnicate` (not yet)":                          "",
	} {
		p := readPage("page.md", text)
		wrong, _ := wrongCommands(p)
		more, _ := wrongLabels(t, p)
		got := strings.Join(append(wrong, more...), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
}

// wrongCommands returns what p says of commands, flags and variables that is
// not so, and how many it names.
func wrongCommands(p page) (wrong []string, found int) {
	root := rootCommand()
	flags := allFlags(root)
	note := func(at string, err error) {
		if found++; err != nil {
			wrong = append(wrong, at+": "+err.Error())
		}
	}
	for _, s := range p.snippets {
		if args, ok := commandOf(s.text); ok {
			err := tryCommand(args, s.block)
			note(s.at, s.judge(err, err != nil))
		}
		for _, name := range envNames.FindAllString(s.text, -1) {
			note(s.at, tryEnv(name, s.text))
		}
		if m := flagSpan.FindStringSubmatch(s.text); m != nil && !s.block {
			err := trySetting(m[1], m[2])
			if !flags[m[1]] {
				err = fmt.Errorf("--%s is no flag of any command", m[1])
			}
			note(s.at, err)
		}
	}
	for _, f := range p.fences {
		for _, args := range proxyCommands(f) {
			note(f.at, tryCommand(args, true))
		}
	}
	return wrong, found
}

// wrongLabels returns what p says of labels that is not so, and how many it
// names.
func wrongLabels(t *testing.T, p page) (wrong []string, found int) {
	t.Helper()
	schema := routing.Schema("fairlead")
	note := func(at string, err error) {
		if err != nil {
			wrong = append(wrong, at+": "+err.Error())
		}
	}
	for _, s := range p.snippets {
		name, value, assigned, ok := labelOf(s)
		if !ok {
			continue
		}
		found++
		later, err := tryKey(schema, strings.TrimPrefix(name, "fairlead."))
		if assigned {
			later, err = problemsOf(schema, map[string]string{name: value})
		}
		note(s.at, s.judge(err, later))
	}
	for _, f := range p.fences {
		if f.info != "yaml" {
			continue
		}
		all, err := labelsOf(t, f)
		note(f.at, err)
		for _, labels := range all {
			found += len(labels)
			_, err := problemsOf(schema, labels)
			note(f.at, err)
		}
		for _, p := range projectProblems(f, schema) {
			note(f.at, fmt.Errorf("%s", p))
		}
	}
	return wrong, found
}

// judge holds s to what its page says of it: that it works, or that it does not
// yet. missing says that it is not built; any other err is a mistake.
func (s snippet) judge(err error, missing bool) error {
	later := strings.HasPrefix(s.after, saidLater)
	switch {
	case later && err == nil:
		return fmt.Errorf("%q is built, and the page says%s", s.text, saidLater)
	case err != nil && !(later && missing):
		return fmt.Errorf("%q: %w", s.text, err)
	}
	return nil
}

var (
	envNames    = regexp.MustCompile(`\bFAIRLEAD_[A-Z0-9][A-Z0-9_]*`)
	flagSpan    = regexp.MustCompile(`^--([a-z][a-z0-9-]*)(?:[ =](\S+)$)?`)
	placeholder = regexp.MustCompile(`^[A-Z_-]+(=[A-Z]+)?$`) // NAME, KEY=VALUE
	endOfWords  = regexp.MustCompile(`\s(?:\||>|2>|&&|;|#|→)(?:\s|$).*|\s*\)?;.*`)
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
	rest = strings.NewReplacer("[", "", "]", "", `"$@"`, "").Replace(endOfWords.ReplaceAllString(rest, ""))
	if strings.TrimSpace(rest) == "" {
		return nil, false // a function that hands on what it is given
	}
	// What stands in quotes is one word.
	rest = quoted.ReplaceAllStringFunc(rest, func(q string) string { return strings.ReplaceAll(strings.Trim(q, `"'`), " ", "\u00a0") })
	words := strings.Split(rest, " ")
	return slices.DeleteFunc(words, func(w string) bool { return w == "" }), true
}

var quoted = regexp.MustCompile(`'[^']*'|"[^"]*"`)

// tryCommand reports what is wrong with a call. In prose a call may lack
// arguments: it names the command.
func tryCommand(args []string, complete bool) error {
	root := rootCommand() // whose flags nobody has set
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
		c.Flags().Set(f.Name, cmp.Or(value, f.NoOptDefVal)) // what arguments a command takes may depend on it
		if hasValue {
			if err := trySetting(name, strings.Trim(value, `"'`)); err != nil {
				return fmt.Errorf("%s %s: %w", f.Name, value, err)
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

// tryEnv reports whether name is a setting, and takes its value where text
// gives it one.
func tryEnv(name, text string) error {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&settings{}).flags(f)
	key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-"))
	switch {
	case strings.HasPrefix(name, spec.SecretEnv):
		return nil
	case f.Lookup(key) == nil:
		return unknownEnv(f, name, key)
	}
	_, value, _ := strings.Cut(text, name)
	if !strings.HasPrefix(value, "=") && !strings.HasPrefix(value, ": ") {
		return nil
	}
	for _, v := range envValues(f.Lookup(key), strings.Trim(strings.TrimSpace(value[1:]), `"'`)) {
		if err := trySetting(key, v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// trySetting gives the setting called name a value, as the start of the program
// does. A placeholder is no value, and flags of other commands have none here.
func trySetting(name, value string) error {
	s := &settings{}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.flags(f)
	if value == "" || placeholder.MatchString(value) || f.Lookup(name) == nil {
		return nil
	}
	if err := f.Set(name, value); err != nil {
		return err
	}
	_, entries := s.entryPoints()
	_, trusted := s.trusted()
	_, defaults := s.policies(routing.Schema("fairlead"))
	return errors.Join(s.check(), entries, trusted, defaults)
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
		for _, q := range unit.Problems {
			if q.Code != "foreign-labels" { // the page shows what somebody moves here from
				problems = append(problems, q)
			}
		}
	}
	return problems
}

var (
	spanLabel  = regexp.MustCompile(`^["']?(fairlead\.[^\s=:…"']*)(?:: |=)?(.*)$`)
	shortLabel = regexp.MustCompile(`^([a-z][a-z-]*(?:\.[A-Za-z-]+)*): (.+)$`) // of a page that says what is left out
	lineLabel  = regexp.MustCompile(`["']?(fairlead\.[a-z][^\s=:…"']*)=("[^"]*"|'[^']*'|\S+)`)
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
		m = shortLabel.FindStringSubmatch(s.text)
		if m == nil || m[2] == "…" {
			return "", "", false, false
		}
		if _, err := tryKey(routing.Schema("fairlead"), m[1]); err != nil {
			return "", "", false, false
		}
		m[1] = "fairlead." + m[1]
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
func problemsOf(schema *label.Schema, labels map[string]string) (later bool, err error) {
	read, problems := schema.Read("page", labels)
	for _, route := range append([]string{""}, routesOnPage(read)...) {
		_, more := schema.Decode("page", schema.For(read, route, nil))
		problems = append(problems, more...)
	}
	if len(problems) == 0 {
		return false, nil
	}
	other := slices.IndexFunc(problems, func(p label.Problem) bool { return p.Code != "not-yet" })
	return other < 0, fmt.Errorf("%s", problems[max(other, 0)])
}

func routesOnPage(l label.Labels) (names []string) {
	for name := range l.Routes {
		names = append(names, name)
	}
	return names
}

// tryKey reports whether key, without a value, is a label, a group of labels
// (static.…), or stands for any (KEY).
func tryKey(schema *label.Schema, key string) (later bool, err error) {
	if rest, ok := strings.CutPrefix(key, "route."); ok {
		_, key, _ = strings.Cut(rest, ".")
	}
	if key == "" || key == "KEY" || key == "*" {
		return false, nil
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
	return false, fmt.Errorf("is not a label")
}

func laterError(later bool) (bool, error) {
	if later {
		return true, fmt.Errorf("is not built yet: write %q behind it", saidLater)
	}
	return false, nil
}

// ofCompose are keys by which a block is a compose file, or a part of one.
var ofCompose = []string{"services", "labels", "networks", "volumes", "environment", "secrets"}

// labelsOf returns the labels of every service of a compose file, of a fragment
// of one, or of every entry of a routes file.
func labelsOf(t *testing.T, f fence) (all []map[string]string, err error) {
	t.Helper()
	var top map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(f.text), &top); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(ofCompose, func(key string) bool { _, ok := top[key]; return ok }) {
		if isRoutesFile(top) {
			return routesFileLabels(t, f)
		}
		return nil, nil
	}
	var file composeFile
	if err := yaml.Unmarshal([]byte(f.text), &file); err != nil {
		return nil, err
	}
	nodes := []yaml.Node{file.Labels}
	for _, s := range file.Services {
		nodes = append(nodes, s.Labels, s.Deploy.Labels)
	}
	for _, n := range nodes {
		labels, err := composeLabels(n)
		if err != nil {
			return nil, err
		}
		all = append(all, labels)
	}
	return all, nil
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

// isRoutesFile tells a routes file from other YAML by the target or host that
// each of its entries has.
func isRoutesFile(top map[string]yaml.Node) bool {
	for _, entry := range top {
		var keys map[string]yaml.Node
		if entry.Decode(&keys) != nil {
			return false
		}
		_, host := keys["host"]
		_, url := keys["url"]
		if !host && !url {
			return false
		}
	}
	return len(top) > 0
}

func routesFileLabels(t *testing.T, f fence) (all []map[string]string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
		t.Fatal(err)
	}
	routes, err := (&discovery.RoutesFile{Path: path}).Load()
	for _, w := range routes {
		all = append(all, w.Labels)
	}
	return all, err
}
