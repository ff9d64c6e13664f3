package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/spf13/cobra"
)

// routesView is the table, and whether it may be out of date.
type routesView struct {
	routing.View
	Stale string `json:"stale,omitempty"`
}

func (p *process) routesView(t *routing.Table) routesView {
	v := routesView{View: t.View()}
	if p.certs != nil {
		v.Problems = append(v.Problems, p.certs.Problems()...)
	}
	if stale := p.watch.stale.Load(); stale != nil {
		v.Stale = *stale
	}
	return v
}

func routesCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "routes", Short: "Show the routes of the running proxy, their endpoints and problems", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			var v routesView
			if err := client.Get(c.Context(), "routes", nil, &v); err != nil {
				return err
			}
			if f.json {
				return writeJSON(c.OutOrStdout(), v)
			}
			return v.print(c.OutOrStdout())
		},
	}
	f.add(c)
	return c
}

func (v *routesView) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "HOST AND PATH\tROUTE\tSTATE\tENDPOINTS")
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			if m.Refused && m.Holder == r.Owner {
				continue // a default host that is not needed
			}
			state := r.State
			if m.Refused {
				state = "refused"
			}
			fmt.Fprintf(tw, "%s%s\t%s\t%s\t%s\n", m.Host, strings.TrimSuffix(m.Path, "/"), r.ID, state, endpointList(r.Endpoints))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range v.Routes {
		if r.State != "serving" {
			fmt.Fprintf(w, "\n%s: %s\n", r.ID, r.Reason)
		}
	}
	if len(v.Problems) > 0 {
		fmt.Fprintln(w, "\nPROBLEMS")
		for _, p := range v.Problems {
			fmt.Fprintln(w, "  "+p.String())
		}
	}
	if len(v.Others) > 0 {
		fmt.Fprintln(w, "\nNOT ROUTED")
		for _, o := range v.Others {
			fmt.Fprintf(w, "  %s: %s (%s)\n", o.Container, o.Code, o.State)
		}
	}
	if v.Stale != "" {
		fmt.Fprintln(w, "\nMAY BE OUT OF DATE: "+v.Stale)
	}
	return nil
}

func endpointList(endpoints []upstream.EndpointState) string {
	var out []string
	for _, e := range endpoints {
		text := e.Container
		if e.Address != "" && e.Address != e.Container {
			text += " " + e.Address
		}
		out = append(out, text+" "+e.State)
	}
	return strings.Join(out, ", ")
}
