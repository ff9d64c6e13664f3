package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
)

func drainCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "drain CONTAINER", Short: "Send CONTAINER no new requests; those that run finish", Args: cobra.ExactArgs(1),
		Long: "Send CONTAINER (a name, an id, or at least four digits of one) no new requests; those that run finish.\nThe order outlives the proxy and ends with the container: its successor is another one.",
		RunE: func(c *cobra.Command, args []string) error {
			return f.order(c, "drain", url.Values{"container": args})
		},
	}
	c.Flags().String("for", "", "how long, 1s to 1y (10m, 2h, 7d); without it until fairlead undrain")
	f.add(c)
	return c
}

func undrainCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "undrain CONTAINER", Short: "Take back fairlead drain", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.order(c, "undrain", url.Values{"container": args})
		},
	}
	f.add(c)
	return c
}

// drain answers the command drain.
func (p *process) drain(t *routing.Table, r *http.Request) (any, error) {
	q := r.URL.Query()
	order, err := newOrder(q)
	if err != nil {
		return nil, err
	}
	routes := t.View().Routes
	w, err := p.container(q.Get("container"), routes)
	if err != nil {
		return nil, err
	}
	undo := "fairlead undrain " + w.Name
	out := &ordered{Done: w.Name + " gets no new requests" + lasts(order) + ", those that run finish", Undo: undo}
	if before, again := p.orders.give(drains, w.ID, order); again {
		out.Done = renewed(w.Name+" is drained", before, order, undo)
	} else {
		out.Warnings = lastOnes(routes, w)
	}
	p.log.Info().Str("container", w.Name).Str("until", order.End(undo)).Msg("drain ordered over the admin socket")
	return out, p.carryOut(r.Context(), out)
}

// undrain answers the command undrain.
func (p *process) undrain(t *routing.Table, r *http.Request) (any, error) {
	w, err := p.container(r.URL.Query().Get("container"), t.View().Routes)
	if err != nil {
		return nil, err
	}
	if !p.orders.take(drains, w.ID) {
		return &ordered{Done: w.Name + " is not drained"}, nil
	}
	out := &ordered{Done: w.Name + " gets requests again", Undo: "fairlead drain " + w.Name}
	p.log.Info().Str("container", w.Name).Msg("drain undone over the admin socket")
	return out, p.carryOut(r.Context(), out)
}

// container returns the container that name, an id or the beginning of one
// stands for. It is one to which a route leads, or of which there is an order.
func (p *process) container(name string, routes []routing.RouteView) (*spec.Workload, error) {
	routed := map[string]bool{}
	for id := range p.orders.current().Drained {
		routed[id] = true
	}
	for _, r := range routes {
		for _, e := range r.Endpoints {
			routed[e.ID] = true
		}
	}
	all := p.watch.containers()
	found := named(name, all)
	switch {
	case len(found) == 1 && routed[found[0].ID]:
		return found[0], nil
	case len(found) == 1:
		return nil, admin.Status{Code: http.StatusConflict, Err: fmt.Errorf("no route leads to %s, so there is nothing to drain", found[0].Name)}
	case len(found) > 1:
		return nil, admin.Status{Code: http.StatusConflict, Err: fmt.Errorf("more than one id begins with %s: those of %s", name, strings.Join(names(found), ", "))}
	}
	err := fmt.Errorf("there is no container %q", label.Shown(name))
	all = slices.DeleteFunc(all, func(w *spec.Workload) bool { return !routed[w.ID] })
	if near := label.Nearest(name, slices.Values(names(all))); near != "" {
		err = fmt.Errorf("%w, did you mean %q?", err, near)
	}
	return nil, admin.Status{Code: http.StatusNotFound, Err: err}
}

// shortestID is how much of an id has to be given.
const shortestID = 4

// named returns the container of all that is called name or has that id, else
// those whose id begins so.
func named(name string, all []*spec.Workload) (found []*spec.Workload) {
	for _, w := range all {
		switch {
		case w.Name == name || w.ID == name:
			return []*spec.Workload{w}
		case len(name) >= shortestID && strings.HasPrefix(w.ID, name):
			found = append(found, w)
		}
	}
	return found
}

func names(all []*spec.Workload) (out []string) {
	for _, w := range all {
		out = append(out, w.Name)
	}
	return out
}

// lastOnes warns of pools in which nobody but w was ready.
func lastOnes(routes []routing.RouteView, w *spec.Workload) (warnings []string) {
	for _, r := range routes {
		ready := map[string]bool{}
		for _, e := range r.Endpoints {
			if e.State == "ready" {
				ready[e.ID] = true
			}
		}
		if len(ready) == 1 && ready[w.ID] {
			warnings = append(warnings, "it was the last ready endpoint of "+r.ID+": requests get 503 until fairlead undrain "+w.Name)
		}
	}
	return warnings
}
