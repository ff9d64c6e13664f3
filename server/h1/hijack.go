package h1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"time"
)

// Hijack hands over the connection, with what was read of it and not used. It
// fails for requests that neither ask for an upgrade nor have a body to wait for:
// those may be served within a callback, which nobody can take a connection out
// of.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.usable(); err != nil {
		return nil, nil, err
	}
	d, c := w.d, w.d.c
	if c.fd != noFD {
		return nil, nil, errInside
	}
	if w.status != 0 {
		if err := w.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	d.ctx.unwatch()
	if d.body != nil {
		d.body.Close()
	}
	w.hijacked = true
	c.nc.SetDeadline(time.Time{})
	c.engine.tally.hijacked.Add(1)
	c.engine.forget(c)
	early := bytes.Clone(d.in[d.from:d.to])
	d.from = d.to
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), c.nc), max(4<<10, len(early)))
	r.Peek(len(early)) // so that Buffered tells of them
	return c.nc, bufio.NewReadWriter(r, bufio.NewWriter(c.nc)), nil
}
