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

// print writes s for people: what came of it, then both sides of the proxy.
func (s *sent) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", s.URL, s.outcome())
	side := "to the proxy at " + s.Address
	if s.TLS != nil {
		side += ", " + s.TLS.String()
	}
	b.WriteString(side + "\n")
	printHead(&b, ">", s.Request)
	for _, line := range s.Informed {
		printHead(&b, "<", []string{line})
	}
	printHead(&b, "<", s.Answer)
	times := "connected after " + inMillis(s.Connected)
	if s.Secured > 0 {
		times += ", TLS " + inMillis(s.Secured)
	}
	if s.First > 0 {
		times += ", first byte " + inMillis(s.First)
	}
	fmt.Fprintf(&b, "  %s, done %s; body of %s\n", times, inMillis(s.Done), counted(s.Bytes, "byte"))
	if s.Held > 0 {
		fmt.Fprintf(&b, "  it waited %s for a container\n", inMillis(s.Held))
	}
	if s.Cause != "" && s.Err == "" {
		b.WriteString("  why: " + s.Cause + "\n")
	}
	for i := range s.Attempts {
		s.Attempts[i].print(&b)
	}
	if s.Unseen {
		b.WriteString("\nanother process answered: what it sent to the app is not known\n")
	}
	if s.Body != "" {
		b.WriteString("\n" + strings.TrimRight(s.Body, "\n") + "\n")
		if s.More {
			b.WriteString("…\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *sentTry) print(b *strings.Builder) {
	fmt.Fprintf(b, "\nto the app, %s", strings.TrimSpace(a.Container+" "+a.Endpoint))
	if a.Kept {
		b.WriteString(", by a connection that was open")
	}
	b.WriteString("\n")
	printHead(b, ">", a.Request)
	printHead(b, "<", a.Answer)
	times := "asked after " + inMillis(a.Begun)
	if a.Sent > 0 {
		times += ", sent " + inMillis(a.Sent)
	}
	if a.Answered > 0 {
		times += ", answered " + inMillis(a.Answered)
	}
	b.WriteString("  " + times + "\n")
	if a.Err != "" {
		b.WriteString("  failed: " + a.Err + "\n")
	}
}

func printHead(b *strings.Builder, sign string, lines []string) {
	for _, line := range lines {
		b.WriteString("  " + sign + " " + line + "\n")
	}
}

// counted returns n and what it counts.
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
