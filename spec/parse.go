package spec

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
)

// Config is what the operator decided about reading labels.
type Config struct {
	Schema   *label.Schema
	Domain   string          // of default hosts, "localhost"
	Network  string          // preferred where several are shared, "" for none
	Defaults []label.Setting // of --default
	Entries  []string        // names and ports of the entry points that `listen` may name
	Names    Names           // who vouches for which hosts
}

// A Parser turns snapshots into specs. It remembers the last one and reads
// only what changed since; the result is the same as that of a fresh one, but
// for the generations it has seen take over. It is not safe for concurrent use.
type Parser struct {
	cfg Config

	self    Self // what of it has a say here
	control *Control
	last    []*Workload
	members map[string]map[string]*container // by owner, then id
	units   []*Unit                          // by owner; never changed, only replaced
	ready   map[string]time.Time             // containers that have been ready, by id: the start of the last run in which they were
	holds   map[string]map[string]generation // by owner and service: whose labels hold
	dirty   map[string]bool                  // owners to read again
}

// NewParser returns a Parser that has seen nothing.
func NewParser(cfg Config) *Parser {
	return &Parser{
		cfg: cfg, control: &none, members: map[string]map[string]*container{}, ready: map[string]time.Time{}, holds: map[string]map[string]generation{}, dirty: map[string]bool{},
	}
}

// Ready notes that the container was found ready in the run that began at
// started: from then on its generation's labels may hold, and its files are
// complete. Ids of containers that are not there are ignored, and what is said
// of an earlier run than the last.
func (p *Parser) Ready(id string, started time.Time) {
	w := workload(p.last, id)
	last, known := p.ready[id]
	if w == nil || known && !started.After(last) {
		return
	}
	p.ready[id] = started
	p.dirty[w.Owner()] = true
}

// Parse returns what the labels of snap ask for. Units of owners with nothing
// changed are the same pointers as before.
func (p *Parser) Parse(snap Snapshot) Spec {
	self := relevant(snap.Self)
	moved := !reflect.DeepEqual(p.self, self)
	p.self = self
	p.order(snap.Control)
	p.apply(snap.Workloads, moved)
	p.rebuild()
	return Spec{Units: p.units}
}

// relevant returns what of s decides addresses and messages. The gateways of
// all bridges change whenever any project comes or goes, which must not have
// every container read again.
func relevant(s Self) Self {
	if s.HostNet || s.ID == "" {
		s.Gateways = nil
	}
	return s
}

// apply takes in what differs between the last workloads and these, or all if
// the proxy itself moved; both are sorted by id.
func (p *Parser) apply(now []*Workload, moved bool) {
	i, j := 0, 0
	for i < len(p.last) || j < len(now) {
		switch {
		case i < len(p.last) && j < len(now) && p.last[i] == now[j] && !moved:
			i, j = i+1, j+1
		case j == len(now) || i < len(p.last) && p.last[i].ID < now[j].ID:
			p.drop(p.last[i])
			delete(p.ready, p.last[i].ID)
			i++
		case i == len(p.last) || now[j].ID < p.last[i].ID:
			p.add(now[j])
			j++
		default:
			p.drop(p.last[i])
			p.add(now[j])
			i, j = i+1, j+1
		}
	}
	p.last = now
}

func (p *Parser) drop(w *Workload) {
	owner := w.Owner()
	delete(p.members[owner], w.ID)
	if len(p.members[owner]) == 0 {
		delete(p.members, owner)
	}
	p.dirty[owner] = true
}

func (p *Parser) add(w *Workload) {
	owner := w.Owner()
	if p.members[owner] == nil {
		p.members[owner] = map[string]*container{}
	}
	p.members[owner][w.ID] = p.read(w)
	p.dirty[owner] = true
}

// rebuild replaces the units of dirty owners.
func (p *Parser) rebuild() {
	if len(p.dirty) == 0 {
		return
	}
	dirty := slices.Sorted(maps.Keys(p.dirty))
	next := make([]*Unit, 0, len(p.units)+len(dirty))
	old := p.units
	for _, owner := range dirty {
		i, found := slices.BinarySearchFunc(old, owner, func(u *Unit, owner string) int { return strings.Compare(u.Owner, owner) })
		next = append(next, old[:i]...)
		old = old[i:]
		var before *Unit
		if found {
			before, old = old[0], old[1:]
		}
		if u := p.renew(owner, before); u != nil {
			next = append(next, u)
		}
	}
	p.units = append(next, old...)
	clear(p.dirty)
}

// renew reads owner again: nil if nothing is left of it, before if it came out
// the same.
func (p *Parser) renew(owner string, before *Unit) *Unit {
	if p.members[owner] == nil {
		delete(p.holds, owner)
		return nil
	}
	u := p.unit(owner)
	if before != nil && reflect.DeepEqual(u, before) {
		return before
	}
	return u
}

// Owner returns who the workload belongs to, and so who holds its hosts.
func (w *Workload) Owner() string {
	switch {
	case w.Source == FromRoutes:
		return RoutesOwner
	case w.Project != "" && w.Project != RoutesOwner: // which nobody may pretend to be
		return w.Project
	}
	return w.Name
}

// RoutesOwner is the owner of the routes file's entries. No container can have
// this name, and a label that says so is not believed.
const RoutesOwner = "(routes)"

// service returns the name that containers sharing load have in common.
func (w *Workload) service() string {
	if w.Service != "" {
		return w.Service
	}
	return w.Name
}
