package e2e

import (
	"io"
	"net"
	"testing"
)

// relay makes the engine answer at another socket, too.
func relay(t testing.TB, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go splice(c)
		}
	}()
}

func splice(c net.Conn) {
	defer c.Close()
	engine, err := net.Dial("unix", socketPath())
	if err != nil {
		return
	}
	defer engine.Close()
	done := make(chan struct{}, 2)
	go func() { io.Copy(engine, c); done <- struct{}{} }()
	go func() { io.Copy(c, engine); done <- struct{}{} }()
	<-done
}
