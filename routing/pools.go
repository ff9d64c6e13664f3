package routing

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// pools fills in the pools of u; old ones with the same key go on.
func (c *compiler) pools(u *unit, old []*pool) {
	now := u.spec.Pools
	for len(old) > 0 || len(now) > 0 {
		switch order := compareFirst(old, now, func(p *pool, s *spec.Pool) int { return strings.Compare(p.spec.Key, s.Key) }); {
		case order < 0:
			c.dropPool(old[0], u.spec.Owner)
			old = old[1:]
		case order > 0:
			u.pools = append(u.pools, c.newPool(now[0], u.spec.Owner))
			now = now[1:]
		default:
			u.pools = append(u.pools, c.pool(old[0], now[0], u.spec.Owner))
			old, now = old[1:], now[1:]
		}
	}
	u.failed = slices.ContainsFunc(u.pools, func(p *pool) bool { return p.err != nil })
}

// pool returns the pool of key, nil if there is none.
func (u *unit) pool(key string) *pool {
	i, found := slices.BinarySearchFunc(u.pools, key, func(p *pool, key string) int { return strings.Compare(p.spec.Key, key) })
	if !found {
		return nil
	}
	return u.pools[i]
}

// running reports whether a container of p runs, ready or not. A route without
// a pool has nothing to wait for.
func (p *pool) running() bool {
	return p == nil || slices.ContainsFunc(p.spec.Endpoints, func(e spec.Endpoint) bool { return e.State == spec.Running })
}

// pool returns the pool of s: old, perhaps with other endpoints, unless what it
// is made of changed.
func (c *compiler) pool(old *pool, s *spec.Pool, owner string) *pool {
	switch {
	case old.err != nil || old.spec.TLS != s.TLS:
		p := c.newPool(s, owner)
		c.next.retired = append(c.next.retired, old.build.Release)
		return p
	case reflect.DeepEqual(old.spec, s):
		return old
	}
	p := &pool{up: old.up, spec: s, build: old.build}
	c.setEndpoints(p, owner)
	return p
}

func (c *compiler) newPool(s *spec.Pool, owner string) *pool {
	b := c.env.Build
	b.Kind, b.Route = "pool", &spec.Route{ID: s.Key, Pool: s.Key}
	p := &pool{spec: s, build: &b}
	made := ""
	if s.TLS != (spec.UpstreamTLS{}) {
		made = fmt.Sprintf("%+v", s.TLS) // another key: connections are not shared with those verified otherwise
	}
	p.up, p.err = build.TryKeep(&b, build.Pool, made, func() (*upstream.Pool, error) { return c.env.NewPool(s.Key, s.TLS, &b) })
	c.setEndpoints(p, owner)
	return p
}

// dropPool takes p, which no route of owner names any more, out of next.
func (c *compiler) dropPool(p *pool, owner string) {
	if crossesOwners(p.spec.Key) {
		c.part(p.spec.Key, owner, nil)
	}
	c.next.retired = append(c.next.retired, p.build.Release)
}

// setEndpoints gives p the endpoints of its spec once the table is live. A pool
// across owners gets those of all of them.
func (c *compiler) setEndpoints(p *pool, owner string) {
	switch {
	case crossesOwners(p.spec.Key):
		c.part(p.spec.Key, owner, p)
	case p.err == nil:
		c.set(p.up, p.spec)
	}
}

// set has up become s when the table is swapped in.
func (c *compiler) set(up *upstream.Pool, s *spec.Pool) {
	c.next.commit = append(c.next.commit, func() { up.Set(*s) })
	c.next.settled = append(c.next.settled, up.Enter)
}

// crossesOwners reports whether owners share the pool of key.
func crossesOwners(key string) bool { return strings.HasPrefix(key, "@") }

// part notes owner's part of a pool across owners, nil for none.
func (c *compiler) part(key, owner string, p *pool) {
	t := c.next
	if c.resplit == nil {
		c.resplit = map[string]bool{}
		if t.shared = maps.Clone(t.shared); t.shared == nil {
			t.shared = map[string]map[string]*pool{}
		}
	}
	if !c.resplit[key] {
		if t.shared[key] = maps.Clone(t.shared[key]); t.shared[key] == nil {
			t.shared[key] = map[string]*pool{}
		}
		c.resplit[key] = true
	}
	if delete(t.shared[key], owner); p != nil && p.err == nil {
		t.shared[key][owner] = p
	}
}

// setShared has the pools across owners whose parts changed set when the table
// is live.
func (c *compiler) setShared() {
	for _, key := range slices.Sorted(maps.Keys(c.resplit)) {
		parts := c.next.shared[key]
		whole := map[*upstream.Pool]*spec.Pool{} // one, unless the parts are not verified alike
		for _, owner := range slices.Sorted(maps.Keys(parts)) {
			p := parts[owner]
			if whole[p.up] == nil {
				w := *p.spec // the first owner's labels hold for all
				w.Endpoints = nil
				whole[p.up] = &w
			}
			whole[p.up].Endpoints = append(whole[p.up].Endpoints, p.spec.Endpoints...)
		}
		if len(whole) == 0 {
			delete(c.next.shared, key)
		}
		for up, s := range whole {
			c.set(up, s)
		}
	}
}
