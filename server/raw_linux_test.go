package server

import (
	"io"
	"testing"
)

func TestReadsAndWritesAllocateNothing(t *testing.T) {
	c, client, _ := connected(t, Limits{})
	buf := make([]byte, 128)
	got := testing.AllocsPerRun(100, func() {
		client.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		io.ReadFull(client, buf)
	})
	if got != 0 {
		t.Errorf("%v allocations for a read and a write, want none", got)
	}
	if c.moved != 0 {
		t.Error("a write that the socket took at once set a deadline")
	}
}
