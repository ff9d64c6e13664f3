// Command fairlead is a reverse proxy that watches the Docker socket and serves
// containers by their labels.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = "dev"

// Exit codes (docs/labels.md lists the commands).
const (
	exitNo    = 1 // the answer to the question is no
	exitUsage = 2 // wrong usage, or cannot run
)

// errNo makes a command that answered "no" exit with exitNo, without a message.
var errNo = errors.New("no")

func main() {
	switch err := rootCommand().Execute(); {
	case errors.Is(err, errNo):
		os.Exit(exitNo)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fairlead:", err)
		os.Exit(exitUsage)
	}
}

// rootCommand returns the program as a tree of commands.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "fairlead",
		Short:         "A reverse proxy that reads container labels",
		Long:          "Fairlead watches the Docker socket, reads container labels that describe hosts and paths, and serves them.\nWithout a command it runs the proxy.",
		SilenceErrors: true, SilenceUsage: true,
		Args: knownCommand,
	}
	run := runCommand()
	root.RunE = run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(run, checkCommand(), routesCommand(), explainCommand(), certsCommand(), caCommand(), drainCommand(), undrainCommand(), maintenanceCommand(), labelsCommand(), healthCommand(), upgradeCommand(), completionCommand(), versionCommand())
	completeArguments(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	return root
}

// knownCommand refuses what is no command, with the nearest one that is.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near := label.Nearest(args[0], slices.Values(names)); near != "" {
		err = fmt.Errorf("%w, did you mean %q?", err, near)
	}
	return err
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), "fairlead", version)
			return nil
		},
	}
}
