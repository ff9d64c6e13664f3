package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
)

// Kinds like those of other packages, one of each sort, so that what this
// package does with them can be tested without them.

type redirectTo struct{ To string }

type respondWith struct{ Text string }

type allowed struct{ From []string }

type headerSet struct{ Response []string }

type waits struct{ Connect, Idle time.Duration }

type stripped struct{ Prefix string }

type kept struct{ N int }

type share struct{ N int }

type maintained struct{ On bool }

func testSchema() *label.Schema {
	text := func(s string) (string, error) {
		if strings.Contains(s, "!") {
			return "", &label.ValueError{Msg: "is not a name"}
		}
		return s, nil
	}
	later := func(section, name string, inherit label.Inherit, closed bool, below ...string) label.Kind {
		rows := []label.Row{{Type: "–", Doc: "Not built."}}
		for _, b := range below {
			rows = append(rows, label.Row{Path: b, Type: "–", Doc: "Not built."})
		}
		return label.DeclareLater(label.Kind{Name: name, Section: section, Inherit: inherit, FailClosed: closed, Doc: "Not built."}, rows...)
	}
	return label.NewSchema("fairlead", append(Kinds(),
		label.Declare(label.Kind{Name: "redirect", Section: label.SectionURL, Slot: label.Terminal}, nil, label.Def[redirectTo]{
			Value: label.Text(func(o *redirectTo) *string { return &o.To }, func(s string) error {
				if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "https://") {
					return nil
				}
				return &label.ValueError{Msg: "leads nowhere"}
			}), Doc: "Where to.", Example: "/there",
		}),
		label.Declare(label.Kind{Name: "respond", Section: label.SectionURL, Slot: label.Terminal}, nil, label.Def[respondWith]{
			Value: label.Text(func(o *respondWith) *string { return &o.Text }, nil), Doc: "What.", Example: "200 ok",
		}),
		label.Declare(label.Kind{Name: "strip", Section: label.SectionURL, Slot: label.Middleware}, nil, label.Def[stripped]{
			Value: label.Text(func(o *stripped) *string { return &o.Prefix }, nil), Doc: "What.", Example: "true",
		}),
		label.Declare(label.Kind{Name: "allow", Section: label.SectionPolicy, Slot: label.Middleware, Inherit: label.AsPolicy, FailClosed: true}, nil, label.Def[allowed]{
			Value: label.List(func(o *allowed) *[]string { return &o.From }, text), Doc: "Whom.", Example: "lan",
		}),
		label.Declare(label.Kind{Name: "maintenance", Section: label.SectionPolicy, Slot: label.Middleware, Inherit: label.AsPolicy, FailClosed: true}, nil, label.Def[maintained]{
			Value: label.Bool(func(o *maintained) *bool { return &o.On }), Default: "false", Doc: "Whether.", Example: "true",
		}),
		label.Declare(label.Kind{Name: "header", Section: label.SectionPolicy, Slot: label.Middleware, Inherit: label.AsPolicy}, nil, label.Def[headerSet]{
			Name: "response.*", Key: "X-A", Doc: "Which.", Example: "1",
			Value: label.Value[headerSet]{Type: "text", Off: true, Set: func(o *headerSet, name, text string) error {
				o.Response = append(o.Response, name+"="+text)
				return nil
			}},
		}),
		label.Declare(label.Kind{Name: "timeout", Section: label.SectionLoad, Slot: label.Forward, Inherit: label.AsTarget}, nil,
			label.Def[waits]{Name: "connect", Default: "5s", Doc: "How long.", Example: "2s", Value: label.Duration(func(o *waits) *time.Duration { return &o.Connect }, time.Millisecond, time.Minute)},
			label.Def[waits]{Name: "idle", Default: "1h", Doc: "How long.", Example: "2h", Value: label.Duration(func(o *waits) *time.Duration { return &o.Idle }, 0, 24*time.Hour)},
		),
		label.Declare(label.Kind{Name: "keepalive", Section: label.SectionLoad, Slot: label.Pool, Level: label.PerPool, Inherit: label.AsTarget}, nil, label.Def[kept]{
			Value: label.Int(func(o *kept) *int { return &o.N }, 0, 100), Doc: "How many.", Example: "3",
		}),
		label.Declare(label.Kind{Name: "weight", Section: label.SectionLoad, Slot: label.Pool, Level: label.PerEndpoint, Inherit: label.AsTarget}, nil, label.Def[share]{
			Value: label.Int(func(o *share) *int { return &o.N }, 0, 1000), Doc: "How much.", Example: "3",
		}),
		later(label.SectionPolicy, "auth", label.AsPolicy, true, "basic", "forward", "except"),
		later(label.SectionPolicy, "compress", label.AsPolicy, false, "level"),
		later(label.SectionLoad, "balance", label.AsTarget, false),
		later(label.SectionTCP, "tcp", label.Own, true),
	)...)
}

func testConfig() Config {
	return Config{Schema: testSchema(), Domain: "localhost", Entries: []string{"http", "80", "lan", "8080"}}
}

// show writes s as the golden files have it.
func show(s Spec) string {
	var b strings.Builder
	for _, u := range s.Units {
		for _, r := range u.Routes {
			showRoute(&b, r)
		}
		for _, p := range u.Pools {
			fmt.Fprintf(&b, "pool %s\n", p.Key)
			if p.TLS != (UpstreamTLS{}) {
				fmt.Fprintf(&b, "  tls %+v\n", p.TLS)
			}
			if p.Options != nil {
				fmt.Fprintf(&b, "  options %+v, as %s, plain %t\n", p.Options, p.Host, p.Plain)
			}
			for _, e := range p.Endpoints {
				showEndpoint(&b, e)
			}
		}
		for _, q := range u.Problems {
			b.WriteString("problem ")
			if q.Route != "" {
				b.WriteString("of " + q.Route + ", ")
			}
			b.WriteString(q.String() + "\n")
		}
		for _, v := range u.Verdicts {
			fmt.Fprintf(&b, "container %s (%s): %s\n", v.Container, v.State, v.Code)
		}
	}
	return b.String()
}

func showRoute(b *strings.Builder, r *Route) {
	hosts := func(ms []HostPath) string {
		var all []string
		for _, m := range ms {
			all = append(all, m.Host.String()+m.Path.Separate())
		}
		return strings.Join(all, " ")
	}
	to := r.Pool
	if to == "" {
		to = "(answers itself)"
	}
	fmt.Fprintf(b, "route %s: %s → %s\n", r.ID, hosts(r.Matches), to)
	note := func(show bool, format string, args ...any) {
		if show {
			fmt.Fprintf(b, "  "+format+"\n", args...)
		}
	}
	note(r.Fallback != nil, "or, if that is held: %s", hosts(r.Fallback))
	note(r.Origin != "", "from %s", r.Origin)
	note(r.Conditions.Count() > 0, "only %s", showConditions(r.Conditions))
	note(r.Priority != 0, "priority %d", r.Priority)
	note(r.Listen != nil, "listens on %v", r.Listen)
	note(r.Share != nil, "shared with %v", r.Share)
	note(r.Canary.IsSet(), "canary %s", r.Canary)
	note(r.TLS != (TLSPolicy{}), "tls %+v", r.TLS)
	note(r.TLSInDoubt, "tls in doubt")
	note(r.PlainHTTP != "", "plain HTTP: %s", r.PlainHTTP)
	note(r.Vanished, "vanished")
	if r.Files != nil {
		showFiles(note, r.Files)
	}
	note(r.Maintenance != (Order{}), "under maintenance until %s", r.Maintenance.End("undone"))
	for _, name := range sortedKinds(r.Options) {
		note(true, "%s %+v", name, r.Options[name])
	}
	if r.Refused != nil {
		note(true, "refused: %s", r.Refused.Code)
	}
	note(r.LastResort, "last resort")
}

func showFiles(note func(bool, string, ...any), f *Files) {
	note(true, "files %s → %s, else %s", f.Prefix, f.Dir, f.Fallback)
	if f.Index != "index.html" || f.List || f.Cache != (FilesCache{}) || f.Retain != 24*time.Hour {
		note(true, "  index %q, listed %t, cache %+v, retained %s", f.Index, f.List, f.Cache, f.Retain)
	}
	for _, a := range f.Areas {
		note(true, "  %s", strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", a.Below, a.Kind, a.Path(), a.From)))
	}
	for _, r := range f.Runs {
		note(true, "  run of %s: %s %v, ended %t, ready %t", r.Container, r.Dir, r.Skip, r.Ended, r.Ready)
	}
}

// sortedKinds names the kinds of o that this package does not show otherwise.
func sortedKinds(o label.Options) (names []string) {
	for name := range o {
		if !slices.ContainsFunc(Kinds(), func(k label.Kind) bool { return k.Name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func showConditions(c Conditions) string {
	all := slices.Clone(c.Methods)
	compares := func(kind string, list []Compare) {
		for _, q := range list {
			op := "="
			if q.Regexp {
				op = "~"
			}
			all = append(all, kind+" "+q.Name+op+q.Text)
		}
	}
	compares("header", c.Headers)
	compares("query", c.Query)
	for _, r := range c.ClientIP {
		if r.Preset != "" {
			all = append(all, "client "+r.Preset)
		} else {
			all = append(all, "client "+r.Prefix.String())
		}
	}
	return strings.Join(all, ", ")
}

func showEndpoint(b *strings.Builder, e Endpoint) {
	at := "nowhere"
	switch {
	case e.Addr.IsValid():
		at = e.Addr.String()
	case e.Host != "":
		at = e.Host
	case e.Socket != "":
		at = "unix:" + e.Socket
	}
	fmt.Fprintf(b, "  %s at %s://%s, %s", e.Container, e.Scheme, at, e.State)
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	if e.Drained != "" {
		b.WriteString(", " + e.Drained)
	}
	if e.Standby {
		b.WriteString(", on standby")
	}
	if e.Options != nil {
		fmt.Fprintf(b, ", %+v", e.Options)
	}
	b.WriteString("\n")
}
