package main

import (
	"fmt"
	"net/http"

	"github.com/fairlead/fairlead/admin"
	"github.com/spf13/cobra"
)

// rootView is the internal authority's root.
type rootView struct {
	PEM string `json:"pem"`
}

// rootCertificate answers the command ca.
func (p *process) rootCertificate(*http.Request) (any, error) {
	if p.certs == nil {
		return nil, admin.Status{Code: http.StatusNotFound, Err: errNoTLS}
	}
	return rootView{string(p.certs.Root())}, nil
}

func caCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "ca", Short: "Print the root certificate of the internal authority (PEM)", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := f.root(c)
			fmt.Fprint(c.OutOrStdout(), v.PEM)
			return err
		},
	}
	f.add(c)
	c.AddCommand(caHelpCommand())
	return c
}

// root asks the proxy for its root.
func (f *clientFlags) root(c *cobra.Command) (v rootView, err error) {
	client, err := f.client(c)
	if err != nil {
		return v, err
	}
	err = client.Get(c.Context(), "ca", nil, &v)
	return v, err
}
