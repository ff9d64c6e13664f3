package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/acmetest"
	"github.com/spf13/cobra"
)

// typed returns what is offered behind a command line whose last word is being
// typed, without descriptions.
func typed(t *testing.T, env []string, args ...string) (offered []string, directive string) {
	t.Helper()
	x := execute(t, env, append([]string{"__complete"}, args...)...)
	if code := x.code(); code != 0 || strings.Count(x.stderr(), "\n") > 1 {
		t.Errorf("completing %q: exit code %d and %q, want silence", args, code, x.stderr())
	}
	for line := range strings.Lines(x.stdout()) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(word, ":") {
			return offered, word
		}
		offered = append(offered, word)
	}
	t.Errorf("completing %q: no directive ends %q", args, x.stdout())
	return offered, ""
}

// offersOf fails the test unless exactly want, or at least what follows "…", is
// offered.
func offersOf(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	if open := len(want) > 0 && want[0] == "…"; open {
		for _, w := range want[1:] {
			if !slices.Contains(got, w) {
				t.Errorf("completing %s: %q is not among %q", what, w, got)
			}
		}
		return
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("completing %s: got %q, want %q", what, got, want)
	}
}

// Directives of cobra to the shell's script.
const (
	filesToo, onlyOffered, goesOn, extensions, directories = ":0", ":4", ":6", ":8", ":16"
)

func TestCompletionOfWhatIsKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line      []string
		want      []string
		directive string
	}{
		{[]string{""}, []string{"…", "run", "routes", "explain", "labels", "completion", "version"}, onlyOffered},
		{[]string{"dr"}, []string{"drain"}, onlyOffered},
		{[]string{"certs", ""}, []string{"retry"}, onlyOffered},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", "powershell"}, onlyOffered},
		{[]string{"labels", "ti"}, []string{"…", "timeout.connect", "header.response.NAME", "host"}, onlyOffered},
		{[]string{"labels", "fairlead.ti"}, []string{"…", "fairlead.timeout.connect", "fairlead.host"}, onlyOffered},
		{[]string{"labels", "route.api.ti"}, []string{"…", "route.api.timeout.connect"}, onlyOffered},
		{[]string{"labels", "fairlead.route.api."}, []string{"…", "fairlead.route.api.timeout.connect"}, onlyOffered},
		{[]string{"labels", "proxy_rea"}, []string{"…", "proxy_read_timeout"}, onlyOffered},
		{[]string{"labels", "--label-prefix", "edge", "edge."}, []string{"…", "edge.host"}, onlyOffered},
		{[]string{"labels", "host", ""}, nil, onlyOffered},
		{[]string{"run", "--log-level", ""}, []string{"debug", "info", "warn", "error"}, onlyOffered},
		{[]string{"--log-level", ""}, []string{"debug", "info", "warn", "error"}, onlyOffered},
		{[]string{"--engine="}, []string{"fairlead", "std"}, onlyOffered},
		{[]string{"--access-log", ""}, []string{"stdout", "off"}, filesToo},
		{[]string{"--default", ""}, []string{"…", "log=", "maintenance=", "header.response.NAME="}, goesOn},
		{[]string{"--default", "log="}, []string{"log=on", "log=off"}, onlyOffered},
		{[]string{"--data-dir", ""}, nil, directories},
		{[]string{"--routes", ""}, []string{"yaml", "yml"}, extensions},
		{[]string{"--docker-tls-ca", ""}, nil, filesToo},
		{[]string{"--domain", ""}, nil, onlyOffered},
		{[]string{"--max-fields", ""}, nil, onlyOffered},
		{[]string{"--log-le"}, []string{"--log-level"}, onlyOffered},
		{[]string{"drain", "--for", ""}, []string{"10m", "1h", "1d"}, onlyOffered},
		{[]string{"maintenance", "shop/web", ""}, []string{"on", "off"}, onlyOffered},
		{[]string{"maintenance", "shop/web", "on", ""}, nil, onlyOffered},
		{[]string{"routes", ""}, nil, onlyOffered},
	} {
		got, directive := typed(t, nil, tt.line...)
		what := strings.Join(tt.line, " ")
		offersOf(t, what, got, tt.want)
		if directive != tt.directive {
			t.Errorf("completing %s: got directive %s, want %s", what, directive, tt.directive)
		}
	}
}

func TestCompletionAsksTheRunningProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	p := w.startWith(ca, flags...)
	w.run(inProject(labelled("web-1", "host=www.example.com", "http=serve", "route.api.path=/api", "route.re.host=~x[0-9]\\.test", "route.any.host=*.app.localhost"), "shop", "web"), nil)
	w.run(inProject(labelled("web-2", "host=www.example.com", "http=serve", "route.api.path=/api", "route.re.host=~x[0-9]\\.test", "route.any.host=*.app.localhost"), "shop", "web"), nil)
	p.settle()
	p.tell("drain", "web-2")
	socket := []string{"--admin", p.admin.Socket}
	for _, tt := range []struct {
		line, want []string
	}{
		{[]string{"drain"}, []string{"web-1"}},
		{[]string{"undrain"}, []string{"web-2"}},
		{[]string{"maintenance"}, []string{"shop/web", "shop/web.api", "shop/web.re", "shop/web.any"}},
		{[]string{"explain"}, []string{"www.example.com", "www.example.com/api"}},
		{[]string{"certs", "retry"}, []string{"www.example.com"}},
	} {
		got, _ := typed(t, nil, append(append(tt.line, socket...), "")...)
		offersOf(t, strings.Join(tt.line, " "), got, tt.want)
	}
	got, _ := typed(t, nil, append(append([]string{"explain"}, socket...), "https://w")...)
	offersOf(t, "explain https://w", got, []string{"https://www.example.com", "https://www.example.com/api"})
	got, _ = typed(t, []string{"FAIRLEAD_ADMIN=" + p.admin.Socket, "FAIRLEAD_ACTIVE_HELP=0", "FAIRLEAD_COMPLETION_DESCRIPTIONS=true"}, "drain", "")
	offersOf(t, "drain, by the environment that fish makes,", got, []string{"web-1"})
}

// A command that comes to have such a flag has its completion.
func TestCompletionOfFlagsByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	w.run(labelled("web", "host=app.test"), nil)
	w.run(labelled("plain"), nil)
	p.await("app.test", 200, "web")
	root := &cobra.Command{Use: "fairlead"}
	c := &cobra.Command{Use: "command", Args: cobra.ArbitraryArgs, Run: func(*cobra.Command, []string) {}}
	var f clientFlags
	f.add(c)
	c.Flags().String("container", "", "")
	c.Flags().String("format", "", "")
	root.AddCommand(c)
	completeArguments(root)
	if err := c.Flags().Set("admin", p.admin.Socket); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string][]string{"container": {"web", "plain"}, "format": {"text", "json", "github", "sarif"}} {
		complete, ok := c.GetFlagCompletionFunc(flag)
		if !ok {
			t.Errorf("--%s has no completion", flag)
			continue
		}
		all, _ := complete(c, nil, "")
		var got []string
		for _, one := range all {
			word, _, _ := strings.Cut(one, "\t")
			got = append(got, word)
		}
		offersOf(t, "--"+flag, got, want)
	}
	if c.ValidArgsFunction != nil {
		t.Error("a command that takes any arguments got a completion, want files")
	}
}

// A key is no question: whatever is the matter with the proxy, completion says
// nothing, and soon.
func TestCompletionIsSilentWithoutAProxy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mute := filepath.Join(dir, "mute.sock")
	ln, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	for _, env := range [][]string{{"FAIRLEAD_ADMIN=" + filepath.Join(dir, "none.sock")}, {"FAIRLEAD_ADMIN=" + mute}, {"FAIRLEAD_NONSENSE=1"}} {
		for _, line := range [][]string{{"drain"}, {"undrain"}, {"maintenance"}, {"explain"}, {"certs", "retry"}} {
			if got, directive := typed(t, env, append(line, "")...); len(got) > 0 || directive != onlyOffered {
				t.Errorf("completing %q with %q: got %q and %s, want nothing", line, env, got, directive)
			}
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, s := range shells {
		x := execute(t, nil, "completion", s.name)
		if code := x.code(); code != 0 || !strings.Contains(x.stdout(), "__complete") || x.stderr() != "" {
			t.Errorf("completion %s: exit code %d, %d bytes, %q; want a script", s.name, code, len(x.stdout()), x.stderr())
		}
	}
	for want, args := range map[string][]string{`did you mean "bash"?`: {"bsh"}, "name one shell: bash, zsh, fish, powershell": nil, "name one shell": {"bash", "zsh"}} {
		x := execute(t, nil, append([]string{"completion"}, args...)...)
		if code := x.code(); code != exitUsage || !strings.Contains(x.stderr(), want) {
			t.Errorf("completion %q: exit code %d, %q; want %d and %q", args, code, x.stderr(), exitUsage, want)
		}
	}
}

// pressTab has bash complete a line as it does when a key is pressed. The
// functions in front are those of the package bash-completion that the script
// calls, as far as these lines need them.
const pressTab = `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
__ltrim_colon_completions() { :; }
source <(fairlead completion bash) || exit
COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMP_KEY=9
complete -p fairlead || exit
compopt() { :; }
__start_fairlead
printf '%s\n' "${COMPREPLY[@]}"
`

func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "fairlead")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line, want []string
	}{
		{[]string{"mainten"}, []string{"maintenance"}},
		{[]string{"labels", "timeout.c"}, []string{"timeout.connect"}},
		{[]string{"run", "--log-level", "d"}, []string{"debug"}},
		{[]string{"completion", "f"}, []string{"fish"}},
		{[]string{"maintenance", "shop/web", ""}, []string{"off", "on"}},
		{[]string{"labels", "nonsense"}, nil},
	} {
		cmd := exec.Command("bash", append([]string{"--norc", "-c", pressTab, "bash", "fairlead"}, tt.line...)...)
		cmd.Env = []string{asProgram + "=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("bash, %q: %v\n%s", tt.line, err, out)
			continue
		}
		_, reply, _ := strings.Cut(string(out), "\n") // behind what complete -p printed
		lines := strings.Fields(reply)
		offersOf(t, "in bash "+strings.Join(tt.line, " "), lines, tt.want)
	}
}
