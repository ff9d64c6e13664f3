package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
)

func maintenanceCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "maintenance ROUTE on|off", Short: "Answer requests for ROUTE with 503 and a page, or no longer", Args: cobra.ExactArgs(2),
		Long: "Answer every request for ROUTE, as fairlead routes names it, with 503 and a page, or no longer.\nThe order outlives the proxy and the containers of the route. It does not override the label maintenance.",
		RunE: func(c *cobra.Command, args []string) error {
			return f.order(c, "maintenance", url.Values{"route": args[:1], "to": args[1:]})
		},
	}
	c.Flags().String("for", "", "with on: how long, 1s to 1y (10m, 2h, 7d); without it until off")
	f.add(c)
	return c
}

// maintenance answers the command maintenance.
func (p *process) maintenance(t *routing.Table, r *http.Request) (any, error) {
	q := r.URL.Query()
	order, err := newOrder(q)
	to := q.Get("to")
	switch {
	case err != nil:
		return nil, err
	case to != "on" && to != "off":
		return nil, admin.Status{Code: http.StatusBadRequest, Err: fmt.Errorf("maintenance %q: want on or off", label.Shown(to))}
	case to == "off" && q.Has("for"):
		return nil, admin.Status{Code: http.StatusBadRequest, Err: errors.New("--for goes with on")}
	}
	id := q.Get("route")
	route, err := routeNamed(id, t.View().Routes)
	_, waits := p.orders.current().Maintenance[id]
	switch {
	case to == "off" && (err == nil || waits): // an order waits for its route to come back
		return p.endMaintenance(r, id, route.Maintenance == middleware.ByLabel)
	case err != nil:
		return nil, err
	}
	return p.maintain(r, route, order)
}

// routeNamed returns the route called id.
func routeNamed(id string, routes []routing.RouteView) (routing.RouteView, error) {
	var ids []string
	for _, r := range routes {
		if r.ID == id {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	err := fmt.Errorf("there is no route %q", label.Shown(id))
	if near := label.Nearest(id, slices.Values(ids)); near != "" {
		err = fmt.Errorf("%w, did you mean %q?", err, near)
	}
	return routing.RouteView{}, admin.Status{Code: http.StatusNotFound, Err: err}
}

// maintain puts route under maintenance.
func (p *process) maintain(r *http.Request, route routing.RouteView, order spec.Order) (any, error) {
	undo := "fairlead maintenance " + route.ID + " off"
	out := &ordered{Done: route.ID + " is under maintenance" + lasts(order) + ", requests get 503", Undo: undo}
	if before, again := p.orders.give(maintenances, route.ID, order); again {
		out.Done = renewed(route.ID+" is under maintenance", before, order, undo)
	}
	if route.Maintenance == middleware.ByLabel {
		out.Warnings = append(out.Warnings, p.settings.labelPrefix+".maintenance is true already, and does not end with this order")
	}
	p.log.Info().Str("route", route.ID).Str("until", order.End(undo)).Msg("maintenance ordered over the admin socket")
	return out, p.carryOut(r.Context(), out)
}

// endMaintenance takes back the order for the route called id. byLabel is
// whether that is under maintenance without one.
func (p *process) endMaintenance(r *http.Request, id string, byLabel bool) (any, error) {
	remains := "it is under maintenance by " + p.settings.labelPrefix + ".maintenance, which no command overrides: take the label away"
	had := p.orders.take(maintenances, id)
	switch {
	case !had && byLabel:
		return nil, admin.Status{Code: http.StatusConflict, Err: fmt.Errorf("%s: %s", id, remains)}
	case !had:
		return &ordered{Done: id + " is not under maintenance"}, nil
	}
	out := &ordered{Done: id + " is no longer under maintenance", Undo: "fairlead maintenance " + id + " on"}
	if byLabel {
		out.Done, out.Warnings = "the order for "+id+" is taken back", []string{remains}
	}
	p.log.Info().Str("route", id).Msg("maintenance undone over the admin socket")
	return out, p.carryOut(r.Context(), out)
}
