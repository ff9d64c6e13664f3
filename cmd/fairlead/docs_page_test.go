package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// How a page says that what it shows does not work.
const (
	onPurpose = "<!-- wrong -->" // behind it in the same line, for readers of the source
	wrongInfo = "yaml wrong"     // the info string of a block
	saidLater = " (not yet)"     // right behind the code span, for everybody
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
