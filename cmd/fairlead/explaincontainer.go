package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// A containerView says what becomes of one container, and why.
type containerView struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Project string `json:"project,omitempty"`
	Service string `json:"service,omitempty"`
	State   string `json:"state"`
	Health  string `json:"health,omitempty"`
	Reason  string `json:"reason,omitempty"` // of the state
	// Verdict is a stable code: one of spec.Verdict's, of which "routed" stays for what
	// gets requests. Else it is "not-ready", "route-refused", "standby", "maintenance",
	// or the code of the problem for which it has no address ("no-shared-network",
	// "port-ambiguous", …). Besides there are "proxy" (this program's own container),
	// "gone" (it was removed), "other-project" (--project leaves it out) and "unseen"
	// (so new that the proxy has not read it yet).
	Verdict  string           `json:"verdict"`
	Serves   bool             `json:"serves"` // requests may get to it now
	Why      string           `json:"why"`    // in one sentence
	Next     string           `json:"next,omitempty"`
	Networks []containerPlace `json:"networks,omitempty"`
	Choices  []spec.Choice    `json:"choices,omitempty"`
	Routes   []containerRoute `json:"routes,omitempty"`
	Problems []spec.Problem   `json:"problems,omitempty"`
}

// A containerPlace is a network that the container is on.
type containerPlace struct {
	Network string `json:"network"`
	Address string `json:"address,omitempty"`
	Shared  bool   `json:"shared"` // the proxy can reach it there
}

// A containerRoute is a route that has to do with the container.
type containerRoute struct {
	ID       string                  `json:"id"`
	Hosts    []string                `json:"hosts"`          // with paths
	Lost     []string                `json:"lost,omitempty"` // hosts that another owner holds, and who
	State    string                  `json:"state"`
	Reason   string                  `json:"reason,omitempty"`
	Speaks   bool                    `json:"speaks"`             // its labels are those of the route
	Endpoint *upstream.EndpointState `json:"endpoint,omitempty"` // that it is; nil if it gets none of its requests
}

// inquest answers questions about containers.
type inquest struct {
	p        *process
	view     routing.View
	verdicts map[string]spec.Verdict // by id
	self     spec.Self
	known    map[string]*spec.Workload // by id
}

// explainContainer answers the commands explain --container and --all.
func (p *process) explainContainer(t *routing.Table, r *http.Request) (any, error) {
	everyone, err := p.engine.Everyone(r.Context())
	if err != nil {
		p.log.Warn().Err(err).Msg("containers are explained as they were last known")
	}
	q := &inquest{p: p, view: t.View(), verdicts: map[string]spec.Verdict{}, known: map[string]*spec.Workload{}}
	for _, v := range t.Verdicts() {
		q.verdicts[v.ID] = v
	}
	snap, _ := p.watch.known()
	q.self = snap.Self
	for _, w := range snap.Workloads {
		if w.Source == spec.FromRoutes {
			continue
		}
		q.known[w.ID] = w
		if !slices.ContainsFunc(everyone, func(l discovery.Listed) bool { return l.ID == w.ID }) {
			everyone = append(everyone, discovery.Listed{ID: w.ID, Name: w.Name, Project: w.Project, Service: w.Service, State: w.State.String()})
		}
	}
	slices.SortFunc(everyone, func(a, b discovery.Listed) int { return strings.Compare(a.Name, b.Name) })
	if name := r.URL.Query().Get("container"); name != "" {
		if everyone, err = meant(name, everyone); err != nil {
			return nil, admin.Status{Code: http.StatusNotFound, Err: err}
		}
	}
	views := make([]containerView, len(everyone))
	for i, l := range everyone {
		views[i] = q.about(l)
	}
	return views, nil
}

// meant returns the containers that name stands for: one by its name or its id, all
// of a service, or one by the beginning of its id.
func meant(name string, all []discovery.Listed) (found []discovery.Listed, err error) {
	name = strings.TrimPrefix(name, "/")
	for _, fits := range []func(l discovery.Listed) bool{
		func(l discovery.Listed) bool { return l.Name == name || l.ID == name },
		func(l discovery.Listed) bool {
			return l.Service != "" && (l.Service == name || l.Project+"/"+l.Service == name)
		},
		func(l discovery.Listed) bool { return len(name) >= shortestID && strings.HasPrefix(l.ID, name) },
	} {
		for _, l := range all {
			if fits(l) {
				found = append(found, l)
			}
		}
		if found != nil {
			return found, nil
		}
	}
	var words []string
	for _, l := range all {
		words = append(words, l.Name)
		if l.Service != "" {
			words = append(words, l.Service, l.Project+"/"+l.Service)
		}
	}
	err = fmt.Errorf("the engine has no container %q", label.Shown(name))
	if near := nearest(name, words); len(near) > 0 {
		err = fmt.Errorf("%w, did you mean %s?", err, strings.Join(near, " or "))
	}
	return nil, err
}

// nearest returns up to three of words that come close to name.
func nearest(name string, words []string) (near []string) {
	const most = 3
	for len(near) < most {
		next := label.Nearest(name, slices.Values(words))
		if next == "" {
			break
		}
		near = append(near, next)
		words = slices.DeleteFunc(words, func(w string) bool { return w == next })
	}
	return near
}

// about explains one container.
func (q *inquest) about(l discovery.Listed) containerView {
	v := containerView{Name: l.Name, ID: l.ID, Project: l.Project, Service: l.Service, State: l.State, Verdict: "unseen"}
	w := q.known[l.ID]
	if w == nil {
		v.Why, v.Next = "it is so new that the proxy has not read it yet", "ask again in a moment; if this stays, see fairlead health"
		if only := q.p.settings.projects; len(only) > 0 && !slices.Contains(only, l.Project) {
			v.Verdict, v.Why = "other-project", "the proxy is for the compose projects "+strings.Join(only, ", ")+" alone (--project)"
			v.Next = "add --project " + cmp.Or(l.Project, "NAME") + " to the proxy, or remove --project"
			if l.Project == "" {
				v.Next = "remove --project from the proxy: this container has no compose project"
			}
		}
		return v
	}
	v.State, v.Reason = w.State.String(), w.Reason
	if w.Health != spec.NoHealthcheck {
		v.Health = w.Health.String()
	}
	v.Networks = q.places(w)
	if code := q.verdicts[l.ID].Code; code != "" {
		v.Verdict = code
	}
	v.Routes = q.routes(w)
	v.Problems = q.problems(&v)
	if v.Verdict == "routed" || strings.HasSuffix(v.Verdict, "-generation") {
		v.Choices = spec.Choices(q.p.reading, q.self, w)
	}
	switch {
	case w.State == spec.Gone:
		v.Verdict = "gone"
	case w.ID == q.self.ID && len(v.Routes) == 0 && v.Verdict == "no-labels":
		v.Verdict = "proxy"
	}
	q.judge(&v, w)
	return v
}

func (q *inquest) places(w *spec.Workload) (all []containerPlace) {
	for _, a := range w.Networks {
		place := containerPlace{Network: a.Network, Shared: q.self.Bridges && a.Driver != "overlay" || slices.Contains(q.self.Networks, a.Network)}
		for _, addr := range []netip.Addr{a.IPv4, a.IPv6} {
			if addr.IsValid() && place.Address == "" {
				place.Address = addr.String()
			}
		}
		all = append(all, place)
	}
	return all
}

// routes returns those that w speaks for or gets requests of.
func (q *inquest) routes(w *spec.Workload) (all []containerRoute) {
	for i := range q.view.Routes {
		r := &q.view.Routes[i]
		at := slices.IndexFunc(r.Endpoints, func(e upstream.EndpointState) bool { return e.ID == w.ID })
		if r.Container != w.Name && at < 0 {
			continue
		}
		out := containerRoute{ID: r.ID, State: r.State, Reason: r.Reason, Speaks: r.Container == w.Name}
		if at >= 0 {
			out.Endpoint = &r.Endpoints[at]
		}
		for _, m := range r.Matches {
			switch where := m.Host + strings.TrimSuffix(m.Path, "/"); {
			case !m.Refused:
				out.Hosts = append(out.Hosts, where)
			case m.Holder != r.Owner: // else it is a default host that is not needed
				out.Lost = append(out.Lost, where+", which "+m.Holder+" holds")
			}
		}
		all = append(all, out)
	}
	return all
}

// problems returns those of the container, and of its routes.
func (q *inquest) problems(v *containerView) (all []spec.Problem) {
	for _, p := range q.view.Problems {
		if p.Container == v.Name || slices.ContainsFunc(v.Routes, func(r containerRoute) bool { return r.ID == p.Route && p.Effect == label.Refused }) {
			all = append(all, p)
		}
	}
	return all
}
