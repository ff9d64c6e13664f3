package upstream

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/fairlead/fairlead/routing/balance"
	"github.com/fairlead/fairlead/spec"
)

// view is what requests see of a pool. It never changes.
type view struct {
	all     []*endpoint // that may be asked, by tier, best first
	tiers   []tier      // of all, index by index
	best    int         // how many of all are of the best tier
	picks   []*balance.Endpoint
	picker  balance.Picker
	sticky  *sticky // nil without
	limited bool    // some have a max-conns
}

// A tier says how good an endpoint is. Requests go to the best that is there.
type tier uint8

const (
	primary    tier = iota // ready
	standIn                // ready, and a backup
	lastResort             // listens, and its first health check is still out
	doubtful               // its health check fails, or requests to it did
	unusable
)

// tier returns how good e is now.
func (e *endpoint) tier() tier {
	switch {
	case e.spec.Standby || !e.listening || weightOf(e.spec.Options) == 0:
		return unusable
	case e.state == ready && isBackup(e.spec.Options):
		return standIn
	case e.state == ready:
		return primary
	case e.state == starting && !e.pool.health().active():
		return lastResort
	case e.state == unhealthy:
		return doubtful
	}
	return unusable
}

// newView arranges what p has; for use under its mutex.
func newView(p *Pool) *view {
	v := &view{picker: p.picker}
	for _, e := range p.all {
		if e.tier() < unusable {
			v.all = append(v.all, e)
			v.limited = v.limited || e.most.Load() > 0
		}
	}
	slices.SortStableFunc(v.all, func(a, b *endpoint) int { return cmp.Compare(a.tier(), b.tier()) })
	for _, e := range v.all {
		v.tiers = append(v.tiers, e.tier())
		if v.tiers[0] == e.tier() {
			v.picks = append(v.picks, &e.Endpoint)
		}
	}
	v.best = len(v.picks)
	v.sticky = newSticky(option(p.options, "sticky", stickyOptions{}), p, v.all[:v.best])
	return v
}

// pick returns the endpoint for r; busy says that it is nil only because those
// that could be asked have all that they take.
func (v *view) pick(r *http.Request, tried []*endpoint) (e *endpoint, busy bool) {
	if v.limited || len(tried) > 0 {
		return v.pickAmong(r, tried)
	}
	if v.sticky != nil {
		if e := v.sticky.of(r); e != nil {
			return e, false
		}
	}
	switch v.best {
	case 0:
		return nil, false
	case 1:
		return v.all[0], false
	}
	return v.all[v.picker.Pick(r, v.picks)], false
}

// pickAmong picks from the best tier of which anybody was not tried. A backup
// also stands in for those that are busy, one in doubt does not.
func (v *view) pickAmong(r *http.Request, tried []*endpoint) (*endpoint, bool) {
	busy := false
	for i := 0; i < len(v.all) && !(busy && v.tiers[i] > standIn); {
		at := v.tiers[i]
		var able []*endpoint
		for ; i < len(v.all) && v.tiers[i] == at; i++ {
			switch e := v.all[i]; {
			case slices.Contains(tried, e):
			case e.free() == 0:
				busy = true
			default:
				able = append(able, e)
			}
		}
		if len(able) > 0 {
			return v.choose(r, able), false
		}
	}
	return nil, busy
}

func (v *view) choose(r *http.Request, able []*endpoint) *endpoint {
	if v.sticky != nil {
		if e := v.sticky.of(r); e != nil && slices.Contains(able, e) {
			return e
		}
	}
	picks := make([]*balance.Endpoint, len(able))
	for i, e := range able {
		picks[i] = &e.Endpoint
	}
	return able[v.picker.Pick(r, picks)]
}

// others reports whether anybody else than e could be asked instead: as good as
// the best, or a backup. One in doubt will do no better than one that is ready.
func (v *view) others(e *endpoint, tried []*endpoint) bool {
	for i, o := range v.all {
		if v.tiers[i] > max(v.tiers[0], standIn) {
			break
		}
		if o != e && !slices.Contains(tried, o) {
			return true
		}
	}
	return false
}

// free returns how many more requests the best endpoints take.
func (v *view) free() (n int64) {
	for _, e := range v.all {
		n = min(n+e.free(), unlimited)
	}
	return n
}

// name returns the state in a word: for a container that does not run, its own.
func (e *endpoint) name() string {
	switch {
	case e.state == starting:
		return "starting"
	case e.state == ready:
		return "ready"
	case e.state == unhealthy:
		return "unhealthy"
	case e.state == drained:
		return "drained"
	case e.state == draining || e.spec.State != spec.Running:
		return e.spec.State.String()
	}
	return "down"
}
