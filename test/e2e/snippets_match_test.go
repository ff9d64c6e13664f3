package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var spaces = regexp.MustCompile(`[ \t]+`)

// What is another one in each run.
var variable = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\b([a-z0-9-]+)_([a-z0-9-]+)_([0-9]+)\b`), "$1-$2-$3"}, // names of Compose 1
	{regexp.MustCompile(`\b172\.[0-9]+\.[0-9]+\.[0-9]+\b`), "172.18.0.2"},
	{regexp.MustCompile(`\b[0-9]+(\.[0-9]+)? (ms|s)\b`), "1 ms"},
	{regexp.MustCompile(`\b(pid=|fd=|pid )[0-9]+`), "${1}1"},
	{regexp.MustCompile(`\b20[0-9]{2}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+Z?)?`), "2027-01-08"},
}

// plain makes lines comparable: columns are as wide as what is in them.
func plain(text string) []string {
	text = strings.ReplaceAll(text, "\r", "")
	for _, v := range variable {
		text = v.re.ReplaceAllString(text, v.by)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// matches reports how output differs from what a page shows. In a line of the
// page … stands for anything, and a line that is … for any lines.
func matches(output, shown string) error {
	got, want := plain(output), plain(shown)
	at := 0
	for i := 0; i < len(want); i++ {
		if want[i] == "…" {
			if i+1 == len(want) {
				return nil
			}
			i++
			next := slices.IndexFunc(got[at:], func(line string) bool { return like(line, want[i]) })
			if next < 0 {
				return fmt.Errorf("the page shows %q, which was not said", want[i])
			}
			at += next + 1
			continue
		}
		if at >= len(got) {
			return fmt.Errorf("the page shows %q, where nothing more was said", want[i])
		}
		if !like(got[at], want[i]) {
			return fmt.Errorf("the page shows %q, where %q was said", want[i], got[at])
		}
		at++
	}
	if at < len(got) {
		return fmt.Errorf("the page ends where %q was said", got[at])
	}
	return nil
}

func like(line, shown string) bool {
	parts := strings.Split(shown, "…")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	ok, err := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", line)
	return ok && err == nil
}

var (
	imageLine = regexp.MustCompile(`(?m)(?:image: |\s)((?:your/|fairlead:)[A-Za-z0-9./:_-]+)`)
	hostName  = regexp.MustCompile(`[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:localhost|example\.com|example\.org|example\.net)`)
)

// imagesOf returns the names that the pages' blocks give to images of ours and
// of readers.
func imagesOf(all []page) []string {
	names := map[string]bool{"fairlead:local": true}
	for _, p := range all {
		for _, b := range p.blocks {
			for _, m := range imageLine.FindAllStringSubmatch(b.text, -1) {
				names[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// hostsOf returns every host that the pages name.
func hostsOf(all []page) []string {
	names := map[string]bool{}
	for _, p := range all {
		for _, name := range hostName.FindAllString(p.text, -1) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestSnippetsMatchWhatWasSaid(t *testing.T) {
	const said = "HOST   STATE\nshop_web_1  ready\n\na line\nmore, 172.20.3.4 after 7 ms\nthe end 12:30\n"
	for shown, want := range map[string]string{
		"HOST STATE\nshop-web-1 ready\na line\nmore, 172.18.0.2 after 1.25 s\nthe end 12:30": "",
		"HOST STATE\n…\nthe end …":           "",
		"…\nshop-web-1 ready\n…":             "",
		"HOST STATE":                         `the page ends where "shop-web-1 ready" was said`,
		"HOST STATE\nshop-web-1 starting\n…": `the page shows "shop-web-1 starting", where "shop-web-1 ready" was said`,
		"…\nnothing of the kind\n…":          `the page shows "nothing of the kind", which was not said`,
		"…\nthe end …\nand on":               `the page shows "and on", where nothing more was said`,
	} {
		got := ""
		if err := matches(said, shown); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", shown, got, want)
		}
	}
}
