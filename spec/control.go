package spec

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
)

// A Control is what the operator ordered at run time, beside the labels. It
// never changes once handed over: an equal pointer means the same orders.
type Control struct {
	Drained     map[string]Order `json:"drained,omitempty"`     // containers that get no new requests, by id
	Maintenance map[string]Order `json:"maintenance,omitempty"` // routes that answer every request with 503, by id
}

// An Order is one thing that was ordered. The zero value is none.
type Order struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: until it is undone
}

// Equal reports whether o and x were given at the same time for the same time.
func (o Order) Equal(x Order) bool { return o.Since.Equal(x.Since) && o.Until.Equal(x.Until) }

// End says until when o holds: its time, else that undo, the command, ends it.
func (o Order) End(undo string) string {
	if o.Until.IsZero() {
		return undo
	}
	return o.Until.UTC().Format("2006-01-02 15:04:05 MST")
}

// none is the Control without orders.
var none Control

// order takes in what differs between the last orders and these: of a container
// or route that is new now, its owner is read again anyway.
func (p *Parser) order(now *Control) {
	if now == nil {
		now = &none
	}
	if now == p.control {
		return
	}
	for id := range differing(p.control.Drained, now.Drained) {
		if w := workload(p.last, id); w != nil {
			p.dirty[w.Owner()] = true
		}
	}
	for id := range differing(p.control.Maintenance, now.Maintenance) {
		for _, u := range p.units { // an id does not tell its owner for certain
			if u.route(id) != nil {
				p.dirty[u.Owner] = true
			}
		}
	}
	p.control = now
}

// differing returns the ids whose orders are not the same in a and b.
func differing(a, b map[string]Order) map[string]bool {
	ids := map[string]bool{}
	for _, orders := range []map[string]Order{a, b} {
		for id := range orders {
			if !a[id].Equal(b[id]) {
				ids[id] = true
			}
		}
	}
	return ids
}

// route returns the route called id, nil if there is none.
func (u *Unit) route(id string) *Route {
	i, found := slices.BinarySearchFunc(u.Routes, id, func(r *Route, id string) int { return strings.Compare(r.ID, id) })
	if !found {
		return nil
	}
	return u.Routes[i]
}

// apply makes the orders part of u, which nobody else has seen yet.
func (c *Control) apply(u *Unit, s *label.Schema) {
	for _, pool := range u.Pools {
		for i := range pool.Endpoints {
			e := &pool.Endpoints[i]
			if o, ok := c.Drained[e.ID]; ok {
				e.Drained = "drained by fairlead drain until " + o.End("fairlead undrain "+e.Container)
			}
		}
	}
	if len(c.Maintenance) == 0 {
		return
	}
	for _, r := range u.Routes {
		o, ok := c.Maintenance[r.ID]
		if !ok && r.Origin == "static" {
			// Its files are part of a route, and go with it.
			before, _, _ := strings.Cut(r.ID, "~")
			o, ok = c.Maintenance[strings.TrimSuffix(before, ".")]
		}
		if ok {
			r.maintain(o, s)
		}
	}
}

// maintain gives r the option that the label maintenance stands for, unless that
// label gave it already.
func (r *Route) maintain(o Order, s *label.Schema) {
	const name = "maintenance"
	opts, _ := s.Decode(r.Container, map[string]label.Setting{name: {Key: name, Text: "true", Label: s.Prefix + "." + name}})
	if reflect.DeepEqual(r.Options[name], opts[name]) {
		return
	}
	r.Maintenance = o
	r.Options = maps.Clone(r.Options) // others have it too: what was read of the container
	maps.Copy(r.Options, opts)
}
