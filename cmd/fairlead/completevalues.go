package main

import (
	"slices"
	"strings"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/routing"
	"github.com/spf13/cobra"
)

const noFiles = cobra.ShellCompDirectiveNoFileComp

// offers are completions; the same one is there once.
type offers []cobra.Completion

func (o *offers) add(word, about string) {
	if !slices.ContainsFunc(*o, func(c cobra.Completion) bool { return strings.HasPrefix(c+"\t", word+"\t") }) {
		*o = append(*o, cobra.CompletionWithDesc(word, about))
	}
}

// completeLabel offers keys, with the prefix and the name of a route where they
// have been typed, and nginx's words.
func completeLabel(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	var o offers
	prefix, _ := c.Flags().GetString("label-prefix")
	entries := routing.Schema(prefix).Entries()
	lead := ""
	if strings.HasPrefix(typed, prefix+".") {
		lead = prefix + "."
	}
	if rest, ok := strings.CutPrefix(typed[len(lead):], "route."); ok {
		if name, _, ok := strings.Cut(rest, "."); ok {
			lead += "route." + name + "."
		}
	}
	for _, e := range entries {
		o.add(lead+e.Key, notYet(&e)+firstSentence(e.Doc))
	}
	for _, e := range entries {
		for _, word := range e.Directives() {
			if typed != "" && !strings.Contains(word, " ") && strings.HasPrefix(word, typed) {
				o.add(word, "nginx's word for "+e.Label)
			}
		}
	}
	return o, noFiles
}

// completeDefault offers policies, and behind KEY= the words there are for it.
func completeDefault(c *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var o offers
	key, _, value := strings.Cut(typed, "=")
	for _, e := range routing.Schema("fairlead").Entries() {
		switch {
		case !e.Policy:
		case !value:
			o.add(e.Key+"=", firstSentence(e.Doc))
		case e.Key == key:
			for _, word := range e.Words {
				o.add(key+"="+word, "")
			}
		}
	}
	if value {
		return o, noFiles
	}
	return o, noFiles | cobra.ShellCompDirectiveNoSpace
}

// completeContainer offers containers that get requests, or those that are
// drained.
func completeContainer(drained bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var o offers
		var v routesView
		if len(args) == 0 && ask(c, "routes", &v) {
			for _, r := range v.Routes {
				for _, e := range r.Endpoints {
					if e.ID != "" && (e.State == "drained") == drained {
						o.add(e.Container, e.State+", of "+r.ID)
					}
				}
			}
		}
		return o, noFiles
	}
}

// completeAnyContainer offers those without a route too.
func completeAnyContainer(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var o offers
	var v routesView
	if ask(c, "routes", &v) {
		for _, r := range v.Routes {
			for _, e := range r.Endpoints {
				if e.ID != "" {
					o.add(e.Container, e.State+", of "+r.ID)
				}
			}
		}
		for _, other := range v.Others {
			o.add(other.Container, other.Code)
		}
	}
	return o, noFiles
}

func completeMaintenance(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var o offers
	var v routesView
	switch {
	case len(args) == 1:
		return []cobra.Completion{"on", "off"}, noFiles
	case len(args) == 0 && ask(c, "routes", &v):
		for _, r := range v.Routes {
			o.add(r.ID, r.State)
		}
		for id := range v.Orders.Maintenance {
			o.add(id, "under maintenance once it is back")
		}
	}
	return o, noFiles
}

// completeCertificate offers hosts whose certificate an authority is asked for.
func completeCertificate(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var o offers
	var v certs.View
	if len(args) == 0 && ask(c, "certs", &v) {
		for _, l := range v.Lines {
			if l.Source == "acme" {
				o.add(l.Host, l.State)
			}
		}
	}
	return o, noFiles
}

// completeURL offers what routes match by an exact host and a plain path.
func completeURL(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var o offers
	var v routesView
	if len(args) > 0 || !ask(c, "routes", &v) {
		return nil, noFiles
	}
	scheme, _, ok := strings.Cut(typed, "://")
	if scheme += "://"; !ok {
		scheme = ""
	}
	for _, r := range v.Routes {
		for _, m := range r.Matches {
			path := strings.TrimPrefix(m.Path, "=")
			if !m.Refused && !strings.ContainsAny(m.Host, "*~") && strings.HasPrefix(path, "/") {
				o.add(scheme+m.Host+strings.TrimSuffix(path, "/"), r.ID)
			}
		}
	}
	return o, noFiles
}
