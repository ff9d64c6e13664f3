package server

import (
	"errors"
	"io"
	"testing"
)

// Inside a callback Read does not wait.
func TestReadsInsideACallbackDoNotWait(t *testing.T) {
	c, client, _ := connected(t, Limits{})
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	inside := func(trusts bool, f func()) {
		t.Helper()
		err := raw.Read(func(fd uintptr) bool {
			c.Enter(fd, trusts)
			defer c.Leave()
			f()
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {
		t.Helper()
		if n, err := c.Read(buf); n != 0 || !errors.Is(err, nothingYet{}) {
			t.Errorf("read %d, %v, want an error that is temporary", n, err)
		}
	}
	inside(true, nothing)

	client.Write([]byte("hello"))
	if _, err := io.ReadFull(c, buf[:1]); err != nil { // so that the rest is there
		t.Fatal(err)
	}
	inside(true, func() {
		if n, err := c.Read(buf); string(buf[:n]) != "ello" || err != nil {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		nothing()
	})

	client.CloseWrite()
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("behind the callback: %d, %v", n, err)
	}
	inside(false, func() {
		if n, err := c.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("read %d, %v, want the end", n, err)
		}
	})
}
