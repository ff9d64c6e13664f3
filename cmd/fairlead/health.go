package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "health", Short: "Ask whether the running proxy is ready (exit code 1 if not)", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			var answer struct {
				State string `json:"state"`
			}
			if err := client.Get(c.Context(), "ready", nil, &answer); err != nil {
				c.PrintErrln("fairlead:", err)
				return errNo
			}
			if f.json {
				return writeJSON(c.OutOrStdout(), answer)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), answer.State)
			return err
		},
	}
	f.add(c)
	return c
}
