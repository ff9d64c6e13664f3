package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// A container is a workload with its labels read.
type container struct {
	w        *Workload
	code     string // verdict: "routed" while nothing speaks against it
	problems []Problem
	drafts   []draft
	off      bool // a route is switched off
	// labels is what makes its generation: our labels and the pools they come
	// to, as one text. An image that exposes another port is another generation.
	labels string
}

// maxProblems bounds what is told of one container.
const maxProblems = 100

// read reads the labels of w. What it returns depends on w and p.self alone.
func (p *Parser) read(w *Workload) *container {
	c := &container{w: w, code: "routed", labels: ourLabels(p.cfg.Schema.Prefix, w.Labels)}
	if w.OneOff {
		c.code = "one-off"
		return c
	}
	labels, problems := p.cfg.Schema.Read(w.Name, w.Labels)
	c.problems = append(problems, p.secondProxy(w)...)
	if slices.ContainsFunc(problems, func(q Problem) bool { return q.Effect == label.ContainerRefused }) {
		c.code, c.labels = "refused", ""
		return c
	}
	if len(labels.Main) == 0 && len(labels.Routes) == 0 {
		c.code = "no-labels"
		c.foreign(p.cfg.Schema.Prefix)
		return c
	}
	if on, ok := enabled(labels.Main); ok && !on {
		c.code = "disabled"
		return c
	}
	for _, name := range append([]string{""}, slices.Sorted(maps.Keys(labels.Routes))...) {
		p.route(c, labels, name)
	}
	switch {
	case len(c.drafts) > 0:
	case c.off:
		c.code = "disabled"
	default:
		c.noHost(p.cfg.Schema.Prefix)
	}
	c.ignoresStop()
	for _, d := range c.drafts {
		c.labels += "→ " + d.pool + "\n"
	}
	c.problems = bound(dedupe(c.problems))
	return c
}

// enabled reads the label enable of settings; ok is false where it is missing
// or wrong.
func enabled(settings map[string]label.Setting) (on, ok bool) {
	set := settings["enable"]
	if !set.Counts() {
		return false, false
	}
	return label.ParseBool(set.Text)
}

// noHost hints at a container that has labels and no route, unless another
// problem says why.
func (c *container) noHost(prefix string) {
	c.code = "no-host"
	if slices.ContainsFunc(c.problems, func(q Problem) bool {
		return slices.Contains([]string{"host", "enable", "tcp"}, q.Kind) || q.Code == "no-host" || q.Code == "misspelt-prefix"
	}) {
		return
	}
	c.problems = append(c.problems, Problem{
		Code: "no-host", Container: c.w.Name, Message: "has labels, and none that gives it a host",
		Fix: "add the label " + prefix + ".host: app.example.com, or " + prefix + ".enable: \"true\"", Effect: label.Hinted,
	})
}

// ignoresStop hints at an app that does not end on its stop signal, if requests
// are sent to it: each deploy waits for it, and what it was still answering when
// it was killed is broken off.
func (c *container) ignoresStop() {
	seen := c.w.IgnoredStop
	if seen == (IgnoredStop{}) || !slices.ContainsFunc(c.drafts, dialled) {
		return
	}
	c.problems = append(c.problems, Problem{
		Code: "ignores-stop-signal", Container: c.w.Name,
		Message: fmt.Sprintf("did not stop on %s when it was last told to and was killed after %s: every deploy takes that much longer", seen.Signal, seen.After),
		Fix: `write CMD and ENTRYPOINT of its image as lists (["app", "--flag"]), so that no shell keeps the signal from the app, ` +
			`or add to its service  init: true  or, with the signal that the app handles,  stop_signal: SIGINT`,
		Effect: label.Hinted,
	})
}

// ourLabels joins the labels below prefix into one comparable text.
func ourLabels(prefix string, labels map[string]string) string {
	var names []string
	for name := range labels {
		if strings.HasPrefix(name, prefix+".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b []byte
	for _, name := range names {
		b = append(append(b, name...), '=')
		b = append(strconv.AppendQuote(b, labels[name]), '\n')
	}
	return string(b)
}

// dedupe drops repetitions: an inherited label is wrong for each route in turn,
// and is one mistake. Those that refuse a route are kept for each.
func dedupe(problems []Problem) []Problem {
	type mistake struct{ label, code, what string }
	routed, seen := map[mistake]bool{}, map[mistake]bool{}
	for _, q := range problems {
		if q.Route != "" {
			routed[mistake{q.Label, q.Code, ""}] = true
		}
	}
	return slices.DeleteFunc(problems, func(q Problem) bool {
		m := mistake{q.Label, q.Code, q.Message}
		if q.Route == "" && q.Label != "" && routed[mistake{q.Label, q.Code, ""}] {
			return true
		}
		if q.Effect == label.Refused {
			m.what = q.Route
		}
		again := seen[m]
		seen[m] = true
		return again
	})
}

// bound keeps the first problems, those that refuse a route before others, so
// that one container cannot fill the log.
func bound(problems []Problem) []Problem {
	more := len(problems) - maxProblems
	if more <= 0 {
		return problems
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return cost(a) - cost(b) })
	last := problems[maxProblems-1]
	return append(problems[:maxProblems-1:maxProblems-1], Problem{
		Code: "more-problems", Container: last.Container, Message: fmt.Sprintf("has %d more problems", more+1), Effect: label.Hinted,
	})
}

func cost(q Problem) int {
	if q.Effect == label.Refused {
		return 0
	}
	return 1
}
