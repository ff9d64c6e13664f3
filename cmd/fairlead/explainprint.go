package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/fairlead/fairlead/routing"
)

// print writes e for people: the answer, the way there, and what is known of those
// who are on it.
func (e *explanation) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", e.URL, e.Answer)
	printSteps(&b, e.Steps)
	if e.Route != nil {
		printRoute(&b, "\nroute ", e.Route)
	}
	for i := range e.Rivals {
		printRoute(&b, "the same is matched by ", &e.Rivals[i])
	}
	if len(e.Request) > 0 && e.OK {
		b.WriteString("\nthe app would receive\n")
		for _, line := range e.Request {
			b.WriteString("  " + line + "\n")
		}
	}
	if len(e.Near)+len(e.Problems) > 0 {
		b.WriteString("\n")
	}
	for _, near := range e.Near {
		b.WriteString("near: " + near + "\n")
	}
	for _, p := range e.Problems {
		b.WriteString("problem: " + p.String() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printSteps writes a step to a line, with the colons below each other.
func printSteps(b *strings.Builder, steps []routing.Step) {
	widest := 0
	for _, s := range steps {
		widest = max(widest, len(s.Stage))
	}
	for _, s := range steps {
		route := ""
		if s.Route != "" && ofRoutes[s.Stage] {
			route = s.Route + " "
		}
		fmt.Fprintf(b, "  %*s: %s%s\n", widest, s.Stage, route, s.Outcome)
	}
}

// ofRoutes are the stages at which there is more than one route.
var ofRoutes = map[string]bool{"path": true, "condition": true, "canary": true}

func printRoute(b *strings.Builder, what string, r *routing.RouteView) {
	fmt.Fprintf(b, "%s%s, from the labels of %s: %s", what, r.ID, r.Container, r.State)
	if r.Reason != "" && r.State != "refused" && r.State != "no-endpoint" {
		fmt.Fprintf(b, " (%s)", r.Reason)
	}
	b.WriteString("\n")
	for _, line := range filesLines(r.Files) {
		b.WriteString("  " + line + "\n")
	}
	for _, p := range r.Endpoints {
		b.WriteString("  " + strings.Join(strings.Fields(p.Container+" "+p.Address+" "+p.State), " "))
		if p.Reason != "" {
			fmt.Fprintf(b, " (%s)", p.Reason)
		}
		if p.InFlight > 0 {
			fmt.Fprintf(b, ", %d requests in hand", p.InFlight)
		}
		b.WriteString("\n")
	}
}
