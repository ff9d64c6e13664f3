//go:build !linux

package server

import (
	"io"
	"net"
)

// rawIO is nothing where there is no way to the socket but net's.
type rawIO struct{}

func (*rawIO) open(*net.TCPConn) {}

func (c *tcpConn) sendFile(src io.Reader, left int64) (int64, error) { return c.sendPieces(src, left) }

func (c *tcpConn) writePiece(p []byte) (int, error) { return c.writeWaiting(p) }
