package upstream

import "net/http"

// poisoned is what is found by whoever keeps a header for too long.
const poisoned = "\xdb\xdb POISONED: used after Body.Close \xdb\xdb"

// poison overwrites what the next exchange will use again, so that tests fail
// which use it after Body.Close. A tunnel's connection serves nobody else, and may
// still be read while it is closed.
func (c *conn) poison() {
	if c.reply.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	for _, values := range c.head.fields.Header {
		for i := range values {
			values[i] = poisoned
		}
	}
	c.head.fields.Header["X-Poisoned"] = []string{poisoned}
	for _, buf := range [][]byte{c.in, c.out[:cap(c.out)]} {
		for i := range buf {
			buf[i] = 0xdb
		}
	}
}
