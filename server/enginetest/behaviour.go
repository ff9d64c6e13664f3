package enginetest

import (
	"slices"
	"time"
)

// A behaviour is what an engine does beyond bytes in and statuses out.
type behaviour struct {
	name string
	run  func(*trial)
}

// behaviours are those that may be run beside each other.
var behaviours = slices.Concat(requestBehaviours, bodyBehaviours, answerBehaviours, headerBehaviours, fileBehaviours, connBehaviours, goneBehaviours, shutdownBehaviours)

func wait(t *trial, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}
