package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completions returns what the program says to a shell that completes the last
// of words.
func completions(t *testing.T, words ...string) []string {
	t.Helper()
	root := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{"__completeNoDesc"}, words...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, ":") {
			list = append(list, line)
		}
	}
	return list
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	w.run(labelled("shop-web-1", "host=app.test/api"), nil)
	eventually(t, "a route is there", func() bool { return len(p.view().Routes) == 1 })
	at := []string{"--admin", p.admin.Socket}
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{"che"}, []string{"check"}},
		{[]string{"labels", "timeout.re"}, []string{"timeout.request", "timeout.response"}},
		{[]string{"labels", "host", "x"}, nil},
		{[]string{"run", "--log-level", "w"}, []string{"warn"}},
		{[]string{"--engine", ""}, []string{"fairlead", "std"}},
		{[]string{"check", "--format", "s"}, []string{"sarif"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "powershell", "zsh"}},
		{append(append([]string{"drain"}, at...), ""), []string{"shop-web-1"}},
		{append(append([]string{"undrain"}, at...), ""), nil},
		{append(append([]string{"maintenance"}, at...), ""), []string{p.view().Routes[0].ID}},
		{append(append([]string{"maintenance"}, at...), "x", ""), []string{"off", "on"}},
		{append(append([]string{"explain"}, at...), ""), []string{"https://app.test/api"}},
		{append(append([]string{"certs", "retry"}, at...), ""), []string{"app.test"}},
		{[]string{"maintenance", "--admin", "/nowhere", ""}, nil},
	} {
		last := tt.words[len(tt.words)-1]
		// The shell keeps what begins like the last word.
		got := slices.DeleteFunc(completions(t, tt.words...), func(s string) bool { return !strings.HasPrefix(s, last) })
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.words, got, tt.want)
		}
	}
}

// TestBashCompletes has a real bash read the script and complete a line.
func TestBashCompletes(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "fairlead")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec env "+asProgram+"=1 "+self+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// The first two are of the package bash-completion, which may not be there.
	script := `_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur="${COMP_WORDS[COMP_CWORD]}"; prev="${COMP_WORDS[COMP_CWORD-1]}"; }
__ltrim_colon_completions() { :; }
source <(fairlead completion bash) && COMP_WORDS=(fairlead labels timeout.co) && COMP_CWORD=2 && COMP_LINE="${COMP_WORDS[*]}" && COMP_POINT=${#COMP_LINE} && __start_fairlead && echo "${COMPREPLY[@]}"`
	c := exec.Command("bash", "--norc", "-c", script)
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "timeout.connect") {
		t.Errorf("bash completes to %q, %v, want timeout.connect", out, err)
	}
}

func TestCompletionOfEveryShell(t *testing.T) {
	for _, shell := range shellNames {
		root := rootCommand()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"completion", shell})
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), "fairlead") {
			t.Errorf("%s: %d bytes, %v", shell, out.Len(), err)
		}
	}
	if len(shellNames) != len(shells) {
		t.Error("a shell is missing from the list")
	}
	root := rootCommand()
	root.SetArgs([]string{"completion", "tcsh"})
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "bash, zsh") {
		t.Errorf("tcsh: %v", err)
	}
}
