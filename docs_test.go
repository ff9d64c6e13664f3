package fairlead_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName   = regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9][A-Za-z0-9]*)`")
	testDecl   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	localLink  = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	namedFiles = regexp.MustCompile("`([a-z0-9/_]+_test\\.go)`")
)

// TestPagesNameWhatExists keeps the documentation true: a test, a test file or
// a page that it points to must be there.
func TestPagesNameWhatExists(t *testing.T) {
	declared := map[string]bool{}
	pages := 0
	walk(t, ".go", func(path, text string) {
		for _, m := range testDecl.FindAllStringSubmatch(text, -1) {
			declared[m[1]] = true
		}
	})
	walk(t, ".md", func(path, text string) {
		pages++
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if !declared[m[1]] {
				t.Errorf("%s names %s, which is no test", path, m[1])
			}
		}
		for _, m := range namedFiles.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(m[1]); err != nil && strings.Contains(m[1], "/") {
				t.Errorf("%s names %s: %v", path, m[1], err)
			}
		}
		for _, m := range localLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
	})
	if pages < 10 || len(declared) < 100 {
		t.Errorf("found %d pages and %d tests: the walk missed most of them", pages, len(declared))
	}
}

func walk(t *testing.T, ext string, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ext {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			visit(path, string(data))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
