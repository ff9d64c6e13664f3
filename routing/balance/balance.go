// Package balance holds the ways to pick an endpoint, one to a file.
package balance

import (
	"net/http"
	"sync/atomic"
)

// An Endpoint is what a picker may know of one. The pool owns it.
type Endpoint struct {
	Key      string       // the same for the same run of the same container, so that hashes stay put
	Weight   int          // 1 unless labelled
	InFlight atomic.Int64 // requests it is working on
}

// A Picker picks one of eps, which is never empty, for r and returns its
// index. It is called by many requests at once, keeps nothing of r or eps, and
// must not allocate.
type Picker interface {
	Pick(r *http.Request, eps []*Endpoint) int
}
