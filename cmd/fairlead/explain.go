package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing"
	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	var f clientFlags
	var method, from string
	var headers []string
	c := &cobra.Command{
		Use: "explain URL", Short: "Say what happens to a request for URL, and why (exit code 1 if no app answers it)", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			var e routing.Explanation
			query := url.Values{"url": {args[0]}, "method": {method}, "from": {from}, "header": headers}
			if err := client.Get(c.Context(), "explain", query, &e); err != nil {
				return err
			}
			if f.json {
				err = writeJSON(c.OutOrStdout(), e)
			} else {
				printExplanation(c.OutOrStdout(), &e)
			}
			if err == nil && !e.OK {
				return errNo
			}
			return err
		},
	}
	c.Flags().StringVar(&method, "method", "GET", "method of the request")
	c.Flags().StringVar(&from, "from", "", "address of the client")
	c.Flags().StringArrayVar(&headers, "header", nil, "NAME: VALUE of the request (repeatable)")
	f.add(c)
	return c
}

// explain answers for the admin socket.
func (p *process) explain(t *routing.Table, r *http.Request) (any, error) {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		return nil, admin.Status{Code: http.StatusBadRequest, Err: err}
	}
	e := t.Explain(q)
	if p.certs != nil {
		if line, known := p.certs.Line(q.Host); known {
			e.Steps = append(e.Steps, routing.Step{Stage: "certificate", Outcome: line.String()})
		}
	}
	return e, nil
}

func queryOf(v url.Values) (*routing.Query, error) {
	target := v.Get("url")
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	// Not url.Parse: the path has to stay as it is, byte for byte.
	_, rest, _ := strings.Cut(target, "://")
	rest, _, _ = strings.Cut(rest, "#") // never sent
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, _, ok := exchange.ParseHost(rest[:end])
	if !ok || host == "" {
		return nil, fmt.Errorf("%q has no valid host: want a URL such as http://app.localhost/path", target)
	}
	path, query, _ := strings.Cut("/"+strings.TrimPrefix(rest[end:], "/"), "?")
	q := &routing.Query{Host: host, Path: path, RawQuery: query, Method: v.Get("method"), Header: http.Header{}}
	for _, h := range v["header"] {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header %q: want NAME: VALUE", h)
		}
		q.Header.Add(name, strings.TrimSpace(value))
	}
	if from := v.Get("from"); from != "" {
		a, err := netip.ParseAddr(from)
		if err != nil {
			return nil, errors.New("from: want an address")
		}
		q.Client = a.Unmap()
	}
	return q, nil
}

func printExplanation(w io.Writer, e *routing.Explanation) {
	fmt.Fprintf(w, "%s%s: %s\n", e.Host, e.Path, e.Answer)
	for _, s := range e.Steps {
		fmt.Fprintln(w, "  "+strings.TrimSpace(s.Stage+" "+s.Route)+": "+s.Outcome)
	}
	if e.Route != nil {
		fmt.Fprintf(w, "route %s, from the labels of %s\n", e.Route.ID, e.Route.Container)
		for _, line := range filesLines(e.Route.Files) {
			fmt.Fprintln(w, "  "+line)
		}
		for _, p := range e.Route.Endpoints {
			fmt.Fprintf(w, "  %s", strings.Join(strings.Fields(p.Container+" "+p.Address+" "+p.State), " "))
			if p.Reason != "" {
				fmt.Fprintf(w, " (%s)", p.Reason)
			}
			fmt.Fprintln(w)
		}
	}
	for _, near := range e.Near {
		fmt.Fprintln(w, "near: "+near)
	}
	for _, p := range e.Problems {
		fmt.Fprintln(w, "problem: "+p.String())
	}
}
