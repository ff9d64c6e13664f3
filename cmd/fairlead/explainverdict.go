package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
	"github.com/spf13/cobra"
)

// judge words the verdict on a container, and what to do.
func (q *inquest) judge(v *containerView, w *spec.Workload) {
	prefix := q.p.settings.labelPrefix
	again := ", " + anew(w)
	switch v.Verdict {
	case "routed":
		q.judgeRouted(v, w)
	case "older-generation":
		q.judgeRouted(v, w)
		v.Verdict, v.Why = "older-generation", v.Why+"; the labels of a newer container of its service hold"
	case "newer-generation":
		v.Why = "its labels are new, and hold once it is ready; until then those of an older container do"
		v.Next = "wait until it is ready; docker logs " + w.Name + " if that takes long"
	case "no-labels":
		v.Why = "it has no label that begins with " + prefix + "."
		v.Next = "to route it, add the label " + prefix + ".host: app.example.com" + again
		if len(v.Problems) > 0 {
			v.Why, v.Next = "it has no label of ours, but something that looks like one", "see the problems below"
		}
	case "no-host":
		v.Why = "it has labels, and none that gives it a host"
		v.Next = "add the label " + prefix + ".host: app.example.com" + again
	case "disabled":
		v.Why = "its label " + prefix + ".enable is false"
		v.Next = "remove that label" + again
	case "one-off":
		v.Why = "docker compose run made it: it has the labels of its service, and serves nothing"
		v.Next = "nothing, or start the service with docker compose up"
	case "refused":
		v.Why = "its labels are refused as a whole"
		v.Next = "mend what the problems below say" + again
	case "gone":
		v.Why = "it was removed; its routes answer 503 for ten minutes"
		v.Next = "start it anew, if that was not meant"
	case "proxy":
		v.Why = "it is the proxy itself"
	default:
		v.Why, v.Next = "the proxy has seen it and not read its labels yet", "ask again in a moment"
	}
}

// anew says how a container gets other labels.
func anew(w *spec.Workload) string {
	if w.Service == "" {
		return "and create it anew"
	}
	return "then docker compose up -d " + w.Service
}

// judgeRouted words what becomes of a container that a route leads to.
func (q *inquest) judgeRouted(v *containerView, w *spec.Workload) {
	var serves, waits *containerRoute
	for i := range v.Routes {
		switch r := &v.Routes[i]; {
		case r.State == "serving" && r.Endpoint != nil && r.Endpoint.State == "ready" && serves == nil:
			serves = r
		case waits == nil || waits.State == "serving" && r.State != "serving":
			waits = r
		}
	}
	if r := serves; r != nil {
		v.Serves = true
		v.Why = "it gets requests for " + strings.Join(r.Hosts, ", ")
		if len(r.Hosts) > 0 {
			v.Next = "fairlead explain " + r.Hosts[0]
		}
		return
	}
	v.Verdict = "not-ready"
	r := waits
	switch {
	case r == nil:
		v.Why = "no route has come of its labels yet"
	case r.State == "refused":
		v.Verdict = "route-refused"
		v.Why, v.Next = "the route "+r.ID+" is refused: "+r.Reason, "mend the label, "+anew(w)
		if len(r.Lost) > 0 {
			v.Why, v.Next = "another owner has the hosts of its route "+r.ID+": "+strings.Join(r.Lost, "; "), "use another host, or do what the problem below says"
		}
	case r.State == "maintenance" || r.State == "standby":
		v.Verdict = r.State
		v.Why, v.Next = "the route "+r.ID+" is in "+r.State+": "+r.Reason, "fairlead explain "+cmp.Or(slices.Concat(r.Hosts, []string{""})[0], "URL")
	case r.Endpoint == nil && r.State == "serving":
		v.Verdict, v.Serves = "routed", true
		v.Why = "the route " + r.ID + " of its labels answers without it"
	case r.Endpoint == nil:
		v.Why = "the route " + r.ID + " sends it nothing: " + cmp.Or(r.Reason, r.State)
	default:
		e := r.Endpoint
		v.Why = "it gets no requests: it is " + e.State
		if e.Reason != "" {
			v.Why += " (" + e.Reason + ")"
		}
		v.Next = nextFor(v, w)
		for _, p := range v.Problems {
			if p.Effect == label.Unrouted {
				v.Verdict = p.Code
			}
		}
	}
}

// nextFor says what to do about a container that is not ready.
func nextFor(v *containerView, w *spec.Workload) string {
	for _, p := range v.Problems {
		if p.Fix != "" && p.Effect == label.Unrouted {
			return p.Fix
		}
	}
	switch w.State {
	case spec.Created, spec.Exited:
		return "docker start " + w.Name + "; docker logs " + w.Name + " says why it ended"
	case spec.Restarting:
		return "docker logs " + w.Name + " says why it ends"
	case spec.Paused:
		return "docker unpause " + w.Name
	case spec.Draining:
		return "nothing: it was told to stop"
	}
	if w.Health == spec.Unhealthy || w.Health == spec.HealthStarting {
		return "docker inspect " + w.Name + " shows what its HEALTHCHECK says"
	}
	if slices.ContainsFunc(v.Routes, func(r containerRoute) bool { return r.Endpoint != nil && r.Endpoint.State == "drained" }) {
		return "fairlead undrain " + w.Name
	}
	return "docker logs " + w.Name + ": does the app listen on 0.0.0.0 and on this port?"
}

// containers asks about one container, or all.
func (f *explainFlags) containers(c *cobra.Command, client admin.Client) error {
	if !f.all && f.container == "" {
		return fmt.Errorf("--container: want a name; --all shows every container")
	}
	var views []containerView
	err := client.Get(c.Context(), "container", url.Values{"container": {f.container}}, &views)
	switch {
	case notFound(err):
		fmt.Fprintln(c.ErrOrStderr(), err)
		return errNo
	case err != nil:
		return err
	case f.json:
		err = writeJSON(c.OutOrStdout(), views)
	case f.all:
		err = printVerdicts(c.OutOrStdout(), views)
	default:
		for i := range views {
			if err == nil && i > 0 {
				_, err = io.WriteString(c.OutOrStdout(), "\n")
			}
			if err == nil {
				err = views[i].print(c.OutOrStdout())
			}
		}
	}
	if err == nil && !f.all && !slices.ContainsFunc(views, func(v containerView) bool { return v.Serves }) {
		return errNo
	}
	return err
}

func printVerdicts(w io.Writer, views []containerView) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CONTAINER\tSTATE\tVERDICT\tWHY")
	for _, v := range views {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Name, v.State, v.Verdict, v.Why)
	}
	return tw.Flush()
}

// print writes v for people.
func (v *containerView) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s\n\n", v.Name, v.Verdict, v.Why)
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %8s: %s\n", what, text)
		}
	}
	state := v.State
	if v.Health != "" {
		state += ", health " + v.Health
	}
	if v.Reason != "" {
		state += " (" + v.Reason + ")"
	}
	line("state", state)
	if v.Service != "" {
		line("service", strings.TrimPrefix(v.Project+"/"+v.Service, "/"))
	}
	for _, p := range v.Networks {
		out := ", which the proxy does not reach"
		if p.Shared {
			out = ""
		}
		line("network", strings.TrimSpace(p.Network+" "+p.Address)+out)
	}
	for _, c := range v.Choices {
		port := "none: " + c.PortWhy
		if c.Port != 0 {
			port = fmt.Sprintf("%d, %s", c.Port, c.PortWhy)
		}
		line("port", port)
		line("address", strings.TrimPrefix(cmp.Or(c.Address, "none")+", "+c.AddressWhy, ", "))
	}
	for _, r := range v.Routes {
		text := r.ID + " (" + strings.Join(slices.Concat(r.Hosts, r.Lost), "; ") + "): " + r.State
		if r.Endpoint != nil {
			text += ", here " + r.Endpoint.State
		}
		if !r.Speaks {
			text += ", from the labels of another container"
		}
		line("route", text)
	}
	for _, p := range v.Problems {
		line("problem", p.String())
	}
	line("next", v.Next)
	_, err := io.WriteString(w, b.String())
	return err
}

func notFound(err error) bool {
	status, ok := errors.AsType[admin.Status](err)
	return ok && status.Code == http.StatusNotFound
}
