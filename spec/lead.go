package spec

import (
	"maps"
	"reflect"
	"slices"

	"github.com/fairlead/fairlead/label"
)

// ledBy says which route's labels settled each option of a pool, by kind.
type ledBy map[string]string

// lead settles the options of the pools that c, which speaks for the generation
// in force, leads to. They belong to the pool: a kind that one of its routes
// sets holds for all. The main route comes first, then others by name, then
// those of services further down the alphabet; who contradicts is told so.
func (b *unitBuilder) lead(c *container) {
	for i := range c.drafts {
		d := &c.drafts[i]
		if d.pool == "" {
			continue
		}
		pool := b.pool(d)
		by := b.led[d.pool]
		if by == nil {
			by = ledBy{}
			b.led[d.pool] = by
			b.settle(pool, d)
		} else if pool.Host == "" {
			b.introduce(pool, d)
		}
		b.merge(c, d, pool, by)
	}
}

// settle gives pool the options of d, whatever it had.
func (b *unitBuilder) settle(pool *Pool, d *draft) {
	pool.Options = b.parser.loadOptions(d.opts, label.PerPool)
	b.introduce(pool, d)
}

// introduce says as whom pool is asked for its health.
func (b *unitBuilder) introduce(pool *Pool, d *draft) {
	i := slices.IndexFunc(d.matches, func(m HostPath) bool { return m.Host.Kind == ExactHost })
	if i < 0 {
		return
	}
	tls, _ := label.Get[TLSPolicy](d.opts, "tls")
	pool.Host, pool.Plain = d.matches[i].Host.Text, tls.Mode == TLSOff
}

// merge adds what d sets of pool's options and nobody before it did.
func (b *unitBuilder) merge(c *container, d *draft, pool *Pool, by ledBy) {
	own := b.parser.loadOptions(d.opts, label.PerPool)
	id, prefix := routeID(c.w, d.name), b.parser.cfg.Schema.Prefix+"."
	if d.name != "" {
		prefix += "route." + d.name + "."
	}
	for _, kind := range slices.Sorted(maps.Keys(own)) {
		held, set := pool.Options[kind]
		switch {
		case !set:
			if pool.Options == nil {
				pool.Options = label.Options{}
			}
			pool.Options[kind] = own[kind]
			by[kind] = id
		case by[kind] == "":
			by[kind] = id
		case !reflect.DeepEqual(held, own[kind]):
			b.unit.Problems = append(b.unit.Problems, Problem{
				Code: "pool-differs", Container: c.w.Name, Route: id, Kind: kind, Label: prefix + kind, Effect: label.Ignored,
				Message: "is set otherwise by " + by[kind] + ", which shares the pool " + d.pool,
				Fix:     "set it once, or give this route a pool of its own with the label pool",
			})
		}
	}
}
