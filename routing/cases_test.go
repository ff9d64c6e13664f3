package routing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A case file has cases "=== name", each of a part with labels, a line "----",
// what requests get, and, behind another "----", the problems.
func TestLabelsToAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Split("\n"+string(data), "\n=== ")[1:] {
			name, body, _ := strings.Cut(c, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+name, func(t *testing.T) { runCase(t, body) })
		}
	}
}

func runCase(t *testing.T, body string) {
	parts := strings.Split(body, "----\n")
	if len(parts) < 2 || len(parts) > 3 {
		t.Fatalf("%d parts, want labels, requests and perhaps problems", len(parts))
	}
	w := newWorld(t)
	w.serveApps()
	w.read(parts[0])
	table := w.turn()
	w.wants(parts[1])
	want := ""
	if len(parts) == 3 {
		want = parts[2]
	}
	if got := strings.TrimSpace(table.problemLines()); got != strings.TrimSpace(want) {
		t.Errorf("problems:\n%s\nwant:\n%s", got, want)
	}
}
