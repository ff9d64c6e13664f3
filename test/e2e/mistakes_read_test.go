package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A mistake is one file of test/mistakes; the README there says how they are
// written.
type mistake struct {
	name      string
	intro     string            // the symptom and the mistake, for readers
	files     map[string]string // that are written beside each other
	settings  []string          // of a proxy of its own, as "hold=2s"; nil for the common one
	situation string            // name of a situation, "" without
	compose   string            // "refuses" where compose does not take the file
	requests  []wanted          // before it is mended
	log       []string
	explain   []explained
	check     []string
	against   []string          // what check says beside what the proxy serves
	fixes     map[string]string // by file: lines that change
	then      []wanted          // after it is mended; nil: the app answers the first of requests
}

// wanted is a request and what the client gets.
type wanted struct {
	url    string
	status int    // 0: no answer at all
	text   string // of head or body, "" for any; "app": from the container of the project
}

// explained is what `fairlead explain` has to say of args, line by line.
type explained struct {
	args  []string
	lines []string
}

// between separates what must follow each other in one line.
const between = "…"

var section = regexp.MustCompile(`(?m)^-- (.+) --\n`)

func readMistakes(t *testing.T) []*mistake {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(repo, "test/mistakes/*.txtar"))
	var all []*mistake
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMistake(strings.TrimSuffix(filepath.Base(path), ".txtar"), string(b))
		if err == nil {
			err = m.complete()
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
			continue
		}
		all = append(all, m)
	}
	return all
}

func parseMistake(name, text string) (*mistake, error) {
	m := &mistake{name: name, files: map[string]string{}, fixes: map[string]string{}}
	marks := section.FindAllStringSubmatchIndex(text, -1)
	if marks == nil {
		return nil, fmt.Errorf("has no section")
	}
	m.intro = strings.TrimSpace(text[:marks[0][0]])
	for i, mark := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		if err := m.section(text[mark[2]:mark[3]], text[mark[1]:end]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *mistake) section(head, body string) (err error) {
	before := m.check
	word, rest, _ := strings.Cut(head, " ")
	switch word {
	case "situation":
		m.situation = strings.TrimSpace(body)
	case "proxy":
		m.settings = lines(body)
	case "compose":
		m.compose = strings.TrimSpace(body)
	case "request":
		m.requests, err = parseWanted(body)
	case "then":
		m.then, err = parseWanted(body)
	case "log":
		m.log = lines(body)
	case "explain":
		m.explain = append(m.explain, explained{strings.Fields(rest), lines(body)})
	case "check":
		if m.check = lines(body); rest == "against" {
			m.check, m.against = before, m.check
		}
	case "fixed":
		if rest == "" {
			rest = "compose.yaml"
		}
		m.fixes[rest] = body
	default:
		m.files[head] = body
	}
	return err
}

var wantedLine = regexp.MustCompile(`^(\S+) → (\d+|nothing)(?: … (.+))?$`)

func parseWanted(body string) (all []wanted, err error) {
	for _, line := range lines(body) {
		f := wantedLine.FindStringSubmatch(line)
		if f == nil {
			return nil, fmt.Errorf("%q: want URL → STATUS … TEXT", line)
		}
		w := wanted{url: f[1], text: f[3]}
		fmt.Sscan(f[2], &w.status)
		all = append(all, w)
	}
	return all, nil
}

func lines(body string) (out []string) {
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// complete says what a mistake's file lacks. Advice that does not name what the
// fix writes is none: one word of the lines that are added has to be in what the
// log, explain or check says.
func (m *mistake) complete() error {
	sit, known := situations[m.situation]
	switch {
	case m.intro == "":
		return fmt.Errorf("says nothing of the symptom")
	case m.situation != "" && !known:
		return fmt.Errorf("situation %q is none", m.situation)
	case m.files["compose.yaml"] == "" && m.situation == "":
		return fmt.Errorf("has neither compose.yaml nor a situation")
	case m.check == nil && m.files["compose.yaml"] != "":
		return fmt.Errorf("does not say what check prints, at least: ok")
	case m.log == nil && m.explain == nil && m.compose == "":
		return fmt.Errorf("wants nothing of log and explain")
	case len(m.fixes) == 0 && sit.repair == nil:
		return fmt.Errorf("has no fix")
	}
	said := strings.Join(slices.Concat(m.log, m.check, m.against), "\n")
	for _, e := range m.explain {
		said += "\n" + strings.Join(e.lines, "\n")
	}
	for file, diff := range m.fixes {
		if !named(diff, said) {
			return fmt.Errorf("fixes %s with what neither log, explain nor check name:\n%s", file, diff)
		}
	}
	return nil
}

// named reports whether said names what diff changes: one of the labels, where it
// changes labels, else a word of it. Who mends the app itself has to find only
// which app that is.
func named(diff, said string) bool {
	word := func(r rune) bool { return strings.ContainsRune(" \t\n\"'{}[]=,", r) }
	lines := map[string]int{}
	var labels, words []string
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '-', '+':
			lines[line[1:]]++
		case ' ', '\n':
		default:
			return true // prose: why the fix here is another than the advice
		}
	}
	for line, n := range lines {
		for _, w := range strings.FieldsFunc(line, word) {
			w = strings.Trim(w, ":-")
			switch {
			case n > 1 || len(w) < 4: // it stays, or says nothing
			case strings.HasPrefix(strings.ToLower(w), "fairl"):
				labels = append(labels, w)
			default:
				words = append(words, w)
			}
		}
	}
	in := func(w string) bool { return strings.Contains(said, strings.TrimPrefix(w, "fairlead.")) }
	if labels != nil {
		return slices.ContainsFunc(labels, in)
	}
	return slices.ContainsFunc(words, in) || strings.Contains(said, "{")
}

// mend applies a diff of whole lines to text: those with "-" give way to those
// with "+", where they stand one behind the other.
func mend(text, diff string) (string, error) {
	var old, added strings.Builder
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "-"):
			old.WriteString(line[1:])
		case strings.HasPrefix(line, "+"):
			added.WriteString(line[1:])
		case strings.HasPrefix(line, " "):
			old.WriteString(line[1:])
			added.WriteString(line[1:])
		}
	}
	if old.Len() == 0 || strings.Count(text, old.String()) != 1 {
		return "", fmt.Errorf("is not exactly once in the file:\n%s", old.String())
	}
	return strings.Replace(text, old.String(), added.String(), 1), nil
}

// hasLine reports whether some line of text has the fragments of want, in their
// order.
func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if follows(line, strings.Split(want, between)) {
			return true
		}
	}
	return false
}

func follows(line string, fragments []string) bool {
	for _, f := range fragments {
		_, rest, found := strings.Cut(line, strings.TrimSpace(f))
		if !found {
			return false
		}
		line = rest
	}
	return true
}
