package upstream

import "github.com/fairlead/fairlead/label"

type maxConnsOptions struct{ N int }

var _ = register(label.Kind{
	Name: "max-conns", Level: label.PerEndpoint,
	Doc: "Requests a container works on at once.",
}, nil, label.Def[maxConnsOptions]{
	Value:   label.Int(func(o *maxConnsOptions) *int { return &o.N }, 0, 1_000_000),
	Default: "0", Doc: "How many requests and WebSockets the container gets at once, 0 for no limit. What is beyond that waits its turn for up to `hold`, then gets 503.", Example: "50", Nginx: "server max_conns=, queue",
})

// reserve counts one more request to e, unless that is one too many.
func (e *endpoint) reserve() bool {
	n, most := e.InFlight.Add(1), e.most.Load()
	if most > 0 && n > most {
		e.InFlight.Add(-1)
		return false
	}
	return true
}

// finish takes back what reserve counted, and lets the next one in.
func (e *endpoint) finish() {
	e.InFlight.Add(-1)
	if e.most.Load() > 0 {
		e.pool.admit(1)
	}
}

// free returns how many more requests e takes.
func (e *endpoint) free() int64 {
	most := e.most.Load()
	if most == 0 {
		return unlimited
	}
	return max(0, most-e.InFlight.Load())
}

const unlimited = 1 << 30
