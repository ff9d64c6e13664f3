package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/check"
	"github.com/fairlead/fairlead/routing"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shells are those that completion is written for, and how it is read in.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

var shellNames = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what completes our commands in bash, zsh, fish or powershell",
		Long:              "In bash:  source <(fairlead completion bash)\nIn zsh:   source <(fairlead completion zsh)\nIn fish:  fairlead completion fish | source",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(shellNames, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(c *cobra.Command, args []string) error {
			write := shells[args[0]]
			if write == nil {
				return fmt.Errorf("%s: want %s", args[0], strings.Join(shellNames, ", "))
			}
			return write(c.Root(), c.OutOrStdout())
		},
	}
}

// closed are the flags that have few values.
var closed = map[string][]string{
	"log-level": {"debug", "info", "warn", "error"}, "log-format": {"auto", "json", "console"}, "engine": {ownEngine, stdEngine},
	"format": check.Formats, "method": {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
}

// complete adds to the commands of root what their arguments may be.
func complete(root *cobra.Command) {
	all := append(root.Commands(), root)
	for _, c := range root.Commands() {
		all = append(all, c.Commands()...)
	}
	for _, c := range all {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if words, ok := closed[f.Name]; ok {
				c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
			}
		})
		switch c.Name() {
		case "check":
			c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
		case "retry": // of certs
			c.ValidArgsFunction = ofProxyNow((*routesView).hosts)
		case "labels":
			c.ValidArgsFunction = labelKeys
		case "drain":
			c.ValidArgsFunction = ofProxyNow((*routesView).containers)
		case "undrain":
			c.ValidArgsFunction = ofProxyNow((*routesView).drained)
		case "maintenance":
			c.ValidArgsFunction = maintenanceArgs
		case "explain":
			c.ValidArgsFunction = ofProxyNow((*routesView).urls)
		}
	}
}

func labelKeys(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s := routing.Schema("fairlead")
	all, _ := s.Lookup("")
	var out []string
	for _, e := range all {
		out = append(out, strings.Replace(e.Path, "*", "NAME", 1)+"\t"+e.Row.Doc)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func maintenanceArgs(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
	}
	return ofProxyNow((*routesView).ids)(c, args, word)
}

// ofProxyNow completes the first argument by what words returns of the running
// proxy. Where none answers at once there is nothing.
func ofProxyNow(words func(*routesView) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		socket, _ := c.Flags().GetString("admin")
		dir, _ := c.Flags().GetString("data-dir")
		var v routesView
		if err := (admin.Client{Socket: adminSocket(socket, dir)}).Get(ctx, "routes", nil, &v); err != nil {
			return nil, none
		}
		out := words(&v)
		slices.Sort(out)
		return slices.Compact(out), none
	}
}

func (v *routesView) ids() (out []string) {
	for _, r := range v.Routes {
		out = append(out, r.ID)
	}
	return out
}

func (v *routesView) containers() (out []string) {
	for _, r := range v.Routes {
		for _, e := range r.Endpoints {
			out = append(out, e.Container)
		}
	}
	return out
}

func (v *routesView) drained() (out []string) {
	for _, r := range v.Routes {
		for _, e := range r.Endpoints {
			if e.State == "drained" {
				out = append(out, e.Container)
			}
		}
	}
	return out
}

func (v *routesView) hosts() (out []string) {
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			if !strings.ContainsAny(m.Host, "*~") {
				out = append(out, m.Host)
			}
		}
	}
	return out
}

func (v *routesView) urls() (out []string) {
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			if !strings.ContainsAny(m.Host, "*~") && strings.HasPrefix(m.Path, "/") {
				out = append(out, "https://"+m.Host+m.Path)
			}
		}
	}
	return out
}
