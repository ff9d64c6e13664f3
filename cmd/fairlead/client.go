package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/fairlead/fairlead/admin"
	"github.com/spf13/cobra"
)

// clientFlags are those of commands that ask the running proxy.
type clientFlags struct {
	admin, dataDir string
	json           bool
}

func (f *clientFlags) add(c *cobra.Command) {
	adminFlag(c.Flags(), &f.admin)
	c.Flags().StringVar(&f.dataDir, "data-dir", defaultDataDir(), "data directory of the proxy")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// client returns a client of the proxy that flags and environment name.
func (f *clientFlags) client(c *cobra.Command) (admin.Client, error) {
	if err := fromEnv(c.Flags(), os.Environ()); err != nil {
		return admin.Client{}, err
	}
	return admin.Client{Socket: adminSocket(f.admin, f.dataDir)}, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
