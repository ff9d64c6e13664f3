//go:build !linux

package upstream

import "net"

// socket is not there but on Linux: connections are read and written as net.Conn.
type socket struct{ net.Conn }

func newSocket(net.Conn) *socket { return nil }

// Ask is never called.
func (s *socket) Ask(_, _ []byte) (wrote, read int, err error) { return 0, 0, net.ErrClosed }

// usable believes the connection: a dead one shows when it is written to.
func (c *conn) usable(*call) bool { return c.cause.Load() == nil }
