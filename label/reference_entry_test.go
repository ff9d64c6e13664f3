package label_test

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/routing"
	"go.yaml.in/yaml/v4"
)

// An example is a line that compose reads as what the label's own example is.
func TestExamplesAreLinesOfAComposeFile(t *testing.T) {
	s := routing.Schema("fairlead")
	entries := s.Entries()
	for _, k := range s.Kinds {
		for _, r := range k.Rows {
			e := entries[0]
			entries = entries[1:]
			if r.Later {
				if e.Example != "" {
					t.Errorf("%s: got the example %q of what is not built yet", e.Label, e.Example)
				}
				continue
			}
			var line map[string]string
			err := yaml.Unmarshal([]byte(e.Example), &line)
			name := "fairlead." + strings.Replace(r.Path, "*", r.Key, 1)
			if got := strings.ReplaceAll(line[name], "$$", "$"); err != nil || len(line) != 1 || got != r.Example {
				t.Errorf("%s: the example %q is read as %q (%v), want %q", e.Label, e.Example, line, err, r.Example)
			}
		}
	}
	if len(entries) > 0 {
		t.Errorf("got %d entries beyond the rows", len(entries))
	}
}
