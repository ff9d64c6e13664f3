package upstream

import "sync/atomic"

// A budget bounds how much is sent again: one retry for every five requests,
// with enough saved up for what is in flight when a container dies. Without it
// a service that fails under load would get three times that load.
type budget struct {
	fifths  atomic.Int64 // of a retry
	refused atomic.Int64 // retries for which there were none
}

const (
	retryCost    = 5
	budgetAtHand = 100 * retryCost  // of a pool that has seen no request yet
	budgetMost   = 1000 * retryCost // that can be saved up
)

// earn is called for each request. A budget that is full, as it mostly is,
// costs one load.
func (b *budget) earn() {
	if b.fifths.Load() < budgetMost {
		b.fifths.Add(1)
	}
}

// spend reports whether one more request may be sent again.
func (b *budget) spend() bool {
	for {
		have := b.fifths.Load()
		if have < retryCost {
			b.refused.Add(1)
			return false
		}
		if b.fifths.CompareAndSwap(have, have-retryCost) {
			return true
		}
	}
}
