package balance

import (
	"net/http"
	"sync/atomic"
)

// RoundRobin takes the endpoints in turn. Its zero value is ready to use.
type RoundRobin struct{ turn atomic.Uint64 }

var _ Picker = (*RoundRobin)(nil)

// Pick returns the next index.
func (p *RoundRobin) Pick(_ *http.Request, eps []*Endpoint) int {
	return int((p.turn.Add(1) - 1) % uint64(len(eps)))
}
