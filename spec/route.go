package spec

import (
	"time"

	"github.com/fairlead/fairlead/label"
)

// A Spec is what all labels together ask for, and what is wrong with them.
type Spec struct {
	Units []*Unit // by Owner
}

// A Unit is everything of one owner: a compose project, or a container where
// there is none. It never changes; an equal pointer means nothing of the owner
// changed.
type Unit struct {
	Owner    string
	Routes   []*Route // by ID
	Pools    []*Pool  // by Key; also those of a generation whose labels do not hold yet
	Problems []Problem
	Verdicts []Verdict // one per container, by name
}

// A Verdict says in a word what became of a container, for `routes`.
type Verdict struct {
	Container string `json:"container"`
	ID        string `json:"id"`
	State     string `json:"state"`
	Code      string `json:"code"` // "routed", "no-labels", "disabled", "one-off", "refused", "no-host", "older-generation", "newer-generation"
}

// A Route sends the requests it matches to a pool, or answers them itself.
type Route struct {
	ID        string // "shop/web", "shop/web.api": owner, service, name
	Owner     string
	Service   string
	Name      string // "" for the main route
	Container string // whose labels hold
	// ContainerID is that container's: a renamed container keeps what it holds.
	ContainerID string
	Origin      string    // "" for labels of its own, else what it was expanded from: "enable", "redirect-from", "static"
	Created     time.Time // of the service's oldest container
	Vanished    bool      // all containers of the service are gone

	Matches []HostPath
	// Fallback replaces Matches where another owner holds the host: the longer
	// default host of `enable`.
	Fallback   []HostPath
	Conditions Conditions
	Priority   int
	Listen     []string // names or ports of entry points; nil for all
	Share      []string // owners that may add routes to its hosts

	Pool    string        // key of the pool, "" if the route answers by itself
	Files   *Files        // that it answers with, before the pool if there is one; nil for none
	Canary  Canary        // its share among routes that match the same
	Options label.Options // what its labels ask for besides, by kind
	TLS     TLSPolicy
	// TLSInDoubt: a tls label is wrong, so that TLS may not be what was meant. What
	// the hosts ask is for their other routes to say, where there are some.
	TLSInDoubt bool
	// PlainHTTP is one of the Plain… constants.
	PlainHTTP string
	// Maintenance is the order by which Options have maintenance; zero where a
	// label says so itself, or nobody does.
	Maintenance Order

	// Refused says why every request is answered 503. With LastResort the match
	// itself is uncertain, and the route answers only what nothing else matches.
	Refused    *Problem
	LastResort bool
}

// HostPath is one host and path a route answers for.
type HostPath struct {
	Host Host
	Path Path
}

// Problems returns every problem, by owner.
func (s Spec) Problems() []Problem {
	var all []Problem
	for _, u := range s.Units {
		all = append(all, u.Problems...)
	}
	return all
}
