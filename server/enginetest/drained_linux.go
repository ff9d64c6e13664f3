package enginetest

import (
	"time"

	"golang.org/x/sys/unix"
)

// drained waits until the engine has read what was sent, so that what is sent
// next cannot come to it in the same piece.
func (c *client) drained() {
	c.t.Helper()
	raw, err := c.far.SyscallConn()
	if err != nil {
		return // closed
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(20 * time.Microsecond) {
		left := 0
		err := raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		if err != nil || left == 0 {
			return
		}
	}
	c.t.Fatal("the engine does not read what was sent")
}
