package label

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files with what comes out")

// TestGolden reads testdata/*.txtar: under each "-- name --" the labels of a
// container ("default KEY: TEXT" is one of --default), then "---->" and, by
// route, the options they come to, and the problems.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no golden files")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split("\n"+string(data), "\n-- ")
		out := strings.TrimSpace(parts[0]) + "\n"
		for _, part := range parts[1:] {
			name, text, _ := strings.Cut(part, " --\n")
			in, want, _ := strings.Cut(text, "---->\n")
			got := decodeAll(in)
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				if strings.TrimSpace(want) != strings.TrimSpace(got) && !*update {
					t.Errorf("labels\n%s\ngot\n%s\nwant\n%s", in, got, want)
				}
			})
			out += "\n-- " + name + " --\n" + strings.TrimSpace(in) + "\n---->\n" + got
		}
		if *update {
			if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func decodeAll(in string) string {
	s := testSchema()
	labels := map[string]string{}
	var defaults []Setting
	for line := range strings.Lines(in) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name = strings.TrimSuffix(name, ":")
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		if key, ok := strings.CutPrefix(name, "default "); ok {
			defaults = append(defaults, Setting{Key: key, Text: text, Label: "--default " + key})
		} else if name != "" {
			labels[name] = text
		}
	}
	var b strings.Builder
	l, problems := s.Read("web", labels)
	for _, route := range append([]string{""}, slices.Sorted(maps.Keys(l.Routes))...) {
		options, more := s.Decode("web", s.For(l, route, defaults))
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace("route "+route))
		for _, name := range slices.Sorted(maps.Keys(options)) {
			fmt.Fprintf(&b, "  %s %+v\n", name, options[name])
		}
		for _, p := range more {
			fmt.Fprintf(&b, "  problem %s\n", p)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem %s\n", p)
	}
	return b.String()
}
