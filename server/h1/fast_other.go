//go:build !linux

package h1

// Elsewhere than on Linux connections are read and written by their own methods.

func (c *conn) enterable() {}

func (c *conn) runInside() {}

func (c *conn) writeInside(a, b, tail []byte) (_, _, _ []byte, err error) { return a, b, tail, nil }

func (c *conn) findLostEnd() {}

func (c *conn) hungUp() bool { return false }

// watcher watches clients' descriptors, of which it knows none.
type watcher struct{}

func (w *watcher) close() {}

func (c *conn) watch(*requestContext, bool) (token uint64) { return 0 }

func (c *conn) rewatch(token uint64, arrived bool) {}

func (c *conn) unwatch(token uint64) {}
