// Package routing compiles a spec into an immutable table of routes and serves
// requests by the one that is live.
package routing

import (
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// A Table serves requests by the routes it was compiled from. It never changes:
// a change compiles another one from it, which shares what did not change.
type Table struct {
	units     []*unit      // by owner
	specs     []*spec.Unit // of units, side by side; nil where something could not be built and is tried again
	exact     [shards]map[string]*hostTable
	wildcards map[string]*hostTable // by what follows "*."
	regexps   []*hostTable          // in the order they are asked
	any       *hostTable
	contested map[spec.Host]*hostTable // those where several routes match the same

	shared map[string]map[string]*pool // pools across owners: by key, then owner

	// What this table did to the one before: carried out by Live.Swap.
	commit  []func()
	settled []func() // the rest of it, once the table is live
	retired []func()
	changed []*upstream.Pool // of routes whose labels are not what they were
	Changes []Change         // by route
	// Problems that came with this table, and those that went.
	Appeared, Cleared []spec.Problem

	env *Env // what it was compiled with

	// requests counts those in progress. It is apart from the table so that one
	// long request does not keep a replaced table in memory.
	requests *atomic.Int64
}

// A unit is a spec.Unit compiled.
type unit struct {
	spec   *spec.Unit
	routes []*route // as in spec
	pools  []*pool  // as in spec
	failed bool     // something of it could not be built
}

// A route is a spec.Route compiled.
type route struct {
	spec       *spec.Route
	handler    http.Handler
	pool       *upstream.Pool  // nil if it answers by itself
	files      *backend.Static // that it answers with; nil for none
	conditions conditions
	running    bool // a container of its pool runs, ready or not
	problems   []spec.Problem
	build      *build.Build
	tally      *exchange.Tally // of its requests since there was a route of its id
}

// ready reports whether the route can answer now.
func (r *route) ready() bool { return r.pool == nil || r.pool.Ready() }

// A pool is an upstream.Pool and what holds it while a table names it.
type pool struct {
	up    *upstream.Pool // nil if err
	err   error          // why it could not be made
	spec  *spec.Pool
	build *build.Build
}

// A hostTable is every route of one host pattern.
type hostTable struct {
	host   spec.Host
	re     *regexp.Regexp // of a regexp host
	self   [1]*hostTable
	holder string        // "" while nobody wants the host for good
	since  time.Time     // when holder took it
	until  time.Time     // when it is free, zero while the holder is there
	tls    *spec.TLSHost // what it asks of TLS; nil if nothing serves

	exactPaths map[string][]*leg
	prefixes   []prefix // longest first
	exprs      []*leg
	last       []*leg // refused routes whose match is in doubt
	claims     []*leg // all that want this host, refused or not, in order
	problems   []spec.Problem
	contested  bool // several routes match the same
}

type prefix struct {
	text string
	legs []*leg
}

// A leg is one host and path of a route.
type leg struct {
	route    *route
	path     spec.Path      // in canonical spelling
	re       *regexp.Regexp // of a regexp path
	fallback bool           // wanted only where the route's own host is another owner's
	idle     bool           // a fallback that is not needed
	equal    bool           // matches the same as the leg before it
	rivalled bool           // there is another that matches the same
	split    *split         // of it and those behind it that match the same; nil without a canary
	refused  bool           // the host or path is another owner's
}

// serves reports whether requests can reach l.
func (l *leg) serves() bool { return !l.idle && !l.refused }

// A Change is a route that came or went.
type Change struct {
	Sign   string `json:"sign"` // "+", "-" or "~"
	Route  string `json:"route"`
	Detail string `json:"detail"` // hosts and paths → pool
}

// Problems returns everything wrong with the labels of the table, by owner, and
// what requests have shown to be.
func (t *Table) Problems() []spec.Problem {
	var all []spec.Problem
	for _, u := range t.units {
		all = append(all, u.problems()...)
		for _, r := range u.routes {
			all = append(all, r.observed()...)
		}
	}
	for _, host := range t.patterns() {
		all = append(all, t.lookup(host).problems...)
	}
	return all
}

// lookup returns the table of exactly this pattern, nil if there is none.
func (t *Table) lookup(host spec.Host) *hostTable {
	switch host.Kind {
	case spec.ExactHost:
		return t.exact[shardOf(host.Text)][host.Text]
	case spec.WildcardHost:
		return t.wildcards[host.Text]
	case spec.RegexpHost:
		for _, h := range t.regexps {
			if h.host.Text == host.Text {
				return h
			}
		}
		return nil
	}
	return t.any
}
