package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files with what comes out")

// TestCheck runs testdata/check/*.txtar: each is a directory of files, `args`
// the words behind `fairlead check`, and `want` what it says, with the exit code
// in the last line.
func TestCheck(t *testing.T) {
	files, _ := filepath.Glob("testdata/check/*.txtar")
	if len(files) < 30 {
		t.Fatalf("%d golden files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, path)
		})
	}
}

func checkGolden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(t.TempDir()))
	if err := os.Mkdir("shop", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("shop") // its name is the project's
	var args []string
	want := ""
	kept := a.Files[:0]
	for _, f := range a.Files {
		switch f.Name {
		case "want":
			want = string(f.Data)
			continue
		case "args":
			args = strings.Fields(string(f.Data))
		default:
			writeFile(t, f.Name, string(f.Data))
		}
		kept = append(kept, f)
	}
	got, err := command(append([]string{"check"}, args...)...)
	switch {
	case err == nil:
		got += "exit 0\n"
	case errors.Is(err, errNo):
		got += "exit 1\n"
	default:
		got += err.Error() + "\nexit 2\n"
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	a.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
