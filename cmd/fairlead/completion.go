package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/check"
	"github.com/fairlead/fairlead/label"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A shell is one that completion can be had for, and how to switch it on.
type shell struct {
	name, setup string
	write       func(root *cobra.Command, w io.Writer) error
}

var shells = []shell{
	{"bash", "source <(fairlead completion bash), in ~/.bashrc; the package bash-completion is needed", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", "source <(fairlead completion zsh), in ~/.zshrc behind compinit", func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
	{"fish", "fairlead completion fish > ~/.config/fish/completions/fairlead.fish", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
	{"powershell", "fairlead completion powershell | Out-String | Invoke-Expression, in $PROFILE", func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }},
}

func completionCommand() *cobra.Command {
	names, long := []string{}, "Print a script by which SHELL completes commands, flags, labels, and what the running proxy has:\nroutes, containers, hosts. To switch it on:\n"
	for _, s := range shells {
		names = append(names, s.name)
		long += fmt.Sprintf("  %-11s %s\n", s.name, s.setup)
	}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a completion script for bash, zsh, fish or powershell", Long: strings.TrimSuffix(long, "\n"),
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("completion: name one shell: " + strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			i := slices.Index(names, args[0])
			if i < 0 {
				err := fmt.Errorf("completion: %q is not one of %s", label.Shown(args[0]), strings.Join(names, ", "))
				if near := label.Nearest(args[0], slices.Values(names)); near != "" {
					err = fmt.Errorf("%w, did you mean %q?", err, near)
				}
				return err
			}
			return shells[i].write(c.Root(), c.OutOrStdout())
		},
	}
}

// completions say what can stand where an argument of a command is being typed,
// by the command's path below the root.
var completions = map[string]cobra.CompletionFunc{
	"labels":      completeLabel,
	"drain":       completeContainer(false),
	"undrain":     completeContainer(true),
	"maintenance": completeMaintenance,
	"certs retry": completeCertificate,
	"explain":     completeURL,
	"check": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return composeFiles, cobra.ShellCompDirectiveFilterFileExt
	},
}

// composeFiles are the endings of files that check reads.
var composeFiles = []string{"yaml", "yml"}

// flagWords are values of flags, all there are or likely ones. A flag without
// any is completed to nothing, where a file would be wrong.
var flagWords = map[string][]string{
	"log-level": {"debug", "info", "warn", "error"}, "log-format": {"auto", "console", "json"}, "access-log": {"stdout", "off"},
	"engine": {ownEngine, stdEngine}, "acme-directory": {"off"}, "min-body-rate": {"off"}, "http": {"off"}, "https": {"off"},
	"method": {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, "for": {"10m", "1h", "1d"}, "format": check.Formats,
	"docker-host":  {"unix:///var/run/docker.sock"},
	"label-prefix": nil, "domain": nil, "network": nil, "project": nil, "share-host": nil, "internal-names": nil, "trusted-proxies": nil,
	"acme-email": nil, "acme-eab-kid": nil, "acme-eab-hmac": nil, "from": nil, "header": nil, "max-head-bytes": nil,
}

// completeArguments gives c and all below it their completions. What a
// command says of itself stands.
func completeArguments(c *cobra.Command) {
	path := strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), c.Root().Name()))
	if c.ValidArgsFunction == nil && c.ValidArgs == nil {
		c.ValidArgsFunction = completions[path]
		if c.ValidArgsFunction == nil && (path == "" || c.Args != nil && c.Args(c, []string{"x"}) != nil) {
			c.ValidArgsFunction = cobra.NoFileCompletions // it takes none
		}
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		words, known := flagWords[f.Name]
		switch {
		case f.Name == "default":
			_ = c.RegisterFlagCompletionFunc(f.Name, completeDefault)
		case f.Name == "container":
			_ = c.RegisterFlagCompletionFunc(f.Name, completeAnyContainer)
		case f.Name == "data-dir" || f.Name == "secrets-dir":
			_ = c.MarkFlagDirname(f.Name)
		case f.Name == "routes":
			_ = c.MarkFlagFilename(f.Name, "yaml", "yml")
		case known || f.Value.Type() != "string" && f.Value.Type() != "stringArray":
			// An error says that the flag has its completion, as those that run and
			// the root share.
			_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, wholeWords(f.Name)))
		}
	})
	for _, below := range c.Commands() {
		completeArguments(below)
	}
}

// wholeWords lets files be offered too where one can stand.
func wholeWords(flag string) cobra.ShellCompDirective {
	if flag == "access-log" {
		return cobra.ShellCompDirectiveDefault
	}
	return cobra.ShellCompDirectiveNoFileComp
}

// completionTimeout is how long the running proxy has to answer while somebody
// waits behind a key.
const completionTimeout = 300 * time.Millisecond

// ask reads what the running proxy has, and reports whether it did. The shells'
// scripts leave a variable in the environment that is no setting.
func ask(c *cobra.Command, name string, out any) bool {
	environ := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, envPrefix+"ACTIVE_HELP=") || strings.HasPrefix(pair, envPrefix+"COMPLETION_DESCRIPTIONS=")
	})
	if fromEnv(c.Flags(), environ) != nil {
		return false
	}
	text := func(flag string) string { s, _ := c.Flags().GetString(flag); return s }
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	return admin.Client{Socket: adminSocket(text("admin"), text("data-dir"))}.Get(ctx, name, nil, out) == nil
}
