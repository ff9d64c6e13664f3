package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
)

// routesView is the table, and whether it may be out of date.
type routesView struct {
	routing.View
	Orders spec.Control `json:"orders"` // also those whose route or container is not there now
	Stale  string       `json:"stale,omitempty"`
}

func (p *process) routesView(t *routing.Table) routesView {
	v := routesView{View: t.View(), Orders: *p.orders.current()}
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
	fmt.Fprintln(tw, "HOST AND PATH\tROUTE\tSTATE\tREQUESTS\tENDPOINTS")
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			if m.Refused && m.Holder == r.Owner {
				continue // a default host that is not needed
			}
			state := r.State
			if m.Refused {
				state = "refused"
			}
			fmt.Fprintf(tw, "%s%s\t%s\t%s\t%d\t%s\n", m.Host, strings.TrimSuffix(m.Path, "/"), r.ID, state, r.Count.Total(), cmp.Or(endpointList(r.Endpoints), served(&r)))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range v.Routes {
		if r.Reason != "" {
			fmt.Fprintf(w, "\n%s: %s\n", r.ID, r.Reason)
		}
	}
	for _, r := range v.Routes {
		for _, line := range filesLines(r.Files) {
			fmt.Fprintf(w, "\n%s: %s\n", r.ID, line)
		}
	}
	v.printEndpoints(w)
	v.printOrders(w)
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

// printEndpoints says why endpoints get no requests, or only in need, where the
// reason of their route does not.
func (v *routesView) printEndpoints(w io.Writer) {
	reasons := map[string]string{} // by container
	for _, r := range v.Routes {
		for _, e := range r.Endpoints {
			switch {
			case e.State == "drained":
				reasons[e.Container] = e.Reason
			case e.Reason != "" && r.State != "no-endpoint":
				reasons[e.Container] = e.State + ", " + e.Reason
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "\n%s: %s\n", name, reasons[name])
	}
}

// printOrders prints the orders for routes that are not there.
func (v *routesView) printOrders(w io.Writer) {
	for _, id := range slices.Sorted(maps.Keys(v.Orders.Maintenance)) {
		if !slices.ContainsFunc(v.Routes, func(r routing.RouteView) bool { return r.ID == id }) {
			fmt.Fprintf(w, "\n%s: no such route now; once it is back, under maintenance until %s\n", id, v.Orders.Maintenance[id].End("fairlead maintenance "+id+" off"))
		}
	}
}

// served says what a route without endpoints answers with.
func served(r *routing.RouteView) string {
	if r.Files != nil {
		return "files"
	}
	return ""
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
