//go:build !linux

package enginetest

// drained does not know what the engine has read: pieces may come to it
// together, and tests that cut requests to pieces show less.
func (c *client) drained() {}
