//go:build !linux

package upstream

// alive believes the connection: a dead one shows when it is written to.
func (c *conn) alive() bool { return true }

func (c *conn) look(uintptr) {}
