package routing

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/spec"
)

// route builds what r's options ask for.
func (c *compiler) route(r *spec.Route, u *unit) *route {
	b := c.env.Build
	b.Route = r
	b.Log = b.Log.With().Str("route", r.ID).Logger()
	b.Kind = "route"
	out := &route{spec: r, build: &b, tally: build.Keep(&b, build.Route, "tally", func() *exchange.Tally { return new(exchange.Tally) })}
	var err error
	if out.conditions, err = compileConditions(r); err != nil {
		out.refuse(b.Prefix+".match", err)
	}
	transport, err := out.target(u)
	if err != nil {
		out.refuse(b.Prefix+".upstream-tls", err)
	}
	if c.env.Certificates != nil {
		if err := c.env.Certificates.Check(r.TLS); err != nil {
			out.refuse(b.Prefix+".tls", err)
		}
	}
	end, err := backend.New(&b, transport)
	if err != nil {
		out.refuse(b.Prefix+"."+b.Kind, err)
	}
	out.files, _ = end.(*backend.Static)
	handler, problems := middleware.Chain(&b, r.Options, end)
	out.problems = append(out.problems, problems...)
	out.handler = handler
	if out.refusal() != nil {
		out.handler = http.HandlerFunc(refused)
	}
	return out
}

// target returns what r's requests go to, nil if r answers by itself.
func (r *route) target(u *unit) (http.RoundTripper, error) {
	p := u.pool(r.spec.Pool)
	r.running = p.running()
	switch {
	case r.spec.Pool == "":
		return nil, nil
	case p == nil:
		return nil, fmt.Errorf("there is no pool %s", r.spec.Pool)
	case p.err != nil:
		return nil, p.err
	}
	r.pool = p.up
	return p.up, nil
}

// refuse notes why r cannot be served.
func (r *route) refuse(name string, err error) {
	r.problems = append(r.problems, spec.Problem{
		Code: middleware.CannotBuild, Container: r.spec.Container, Route: r.spec.ID, Label: name, Message: err.Error(), Effect: label.Refused,
	})
}

// failed reports whether something of r could not be built that may be built
// another time: a file may appear.
func (r *route) failed() bool {
	return slices.ContainsFunc(r.problems, func(p spec.Problem) bool { return p.Code == middleware.CannotBuild })
}

// refusal returns the problem that refuses r, nil if none does.
func (r *route) refusal() *spec.Problem {
	if r.spec.Refused != nil {
		return r.spec.Refused
	}
	for i := range r.problems {
		if r.problems[i].Effect == label.Refused {
			return &r.problems[i]
		}
	}
	return nil
}

// observed returns what requests and copies of files have shown to be wrong. It is
// no property of the labels, and not logged as theirs.
func (r *route) observed() []spec.Problem {
	return append(r.hiddenClient(), r.files.Problems()...)
}

// hiddenClient returns the problem of a condition on addresses that somebody
// could not fulfil because a published port hides addresses (docs/threats.md 50).
func (r *route) hiddenClient() []spec.Problem {
	if r.conditions.hidden == nil || !r.conditions.hidden.Load() {
		return nil
	}
	return []spec.Problem{{
		Code: "client-address-hidden", Container: r.spec.Container, Route: r.spec.ID, Label: r.build.Prefix + ".match.client-ip", Effect: label.Hinted,
		Message: "clients come in through a published port, behind which their address is hidden: they match no address",
		Fix:     "run the proxy with  network_mode: host",
	}}
}

// refused answers for a route whose labels are wrong where they narrow or
// protect: open would be worse than closed.
func refused(w http.ResponseWriter, r *http.Request) {
	exchange.Refuse(w, r, exchange.Refusal{
		Status: http.StatusServiceUnavailable, Code: "route-refused",
		Message: "This site is switched off because one of its labels is wrong. Its operator finds the reason in the log of the proxy, or with fairlead explain.",
	})
}

func compileConditions(r *spec.Route) (conditions, error) {
	out := conditions{listen: r.Listen, methods: r.Conditions.Methods, key: conditionKey(r)}
	out.any = conditionCount(r) > 0
	var err error
	if out.headers, err = compileCompares(r.Conditions.Headers); err != nil {
		return out, err
	}
	for i := range out.headers {
		out.headers[i].name = http.CanonicalHeaderKey(out.headers[i].name)
	}
	if out.query, err = compileCompares(r.Conditions.Query); err != nil {
		return out, err
	}
	for _, rng := range r.Conditions.ClientIP {
		out.clientIP, out.hidden = append(out.clientIP, rng.Prefixes()...), new(atomic.Bool)
	}
	return out, nil
}

func compileCompares(list []spec.Compare) ([]compare, error) {
	var out []compare
	for _, from := range list {
		to := compare{name: from.Name, text: from.Text}
		if from.Regexp {
			var err error
			if to.re, err = label.Whole(from.Text); err != nil {
				return nil, err
			}
		}
		out = append(out, to)
	}
	return out, nil
}

func conditionCount(r *spec.Route) int {
	n := r.Conditions.Count()
	if r.Listen != nil {
		n++
	}
	return n
}

// conditionKey writes conditions and priority so that routes for the same
// requests have the same key, in whatever order their labels list them.
func conditionKey(r *spec.Route) string {
	if r.Priority == 0 && conditionCount(r) == 0 {
		return ""
	}
	parts := []string{strconv.Itoa(r.Priority)}
	add := func(what string, list []string) {
		for _, text := range slices.Sorted(slices.Values(list)) {
			parts = append(parts, what+strconv.Quote(text))
		}
	}
	compares := func(list []spec.Compare) (out []string) {
		for _, c := range list {
			out = append(out, strconv.Quote(c.Name)+strconv.FormatBool(c.Regexp)+c.Text)
		}
		return out
	}
	var clients []string
	for _, rng := range r.Conditions.ClientIP {
		clients = append(clients, rng.Preset+rng.Prefix.String())
	}
	add("listen", r.Listen)
	add("method", r.Conditions.Methods)
	add("header", compares(r.Conditions.Headers))
	add("query", compares(r.Conditions.Query))
	add("client", clients)
	return strings.Join(parts, " ")
}
