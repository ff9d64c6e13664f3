package upstream

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
)

// What comes while a connection is idle is seen before it is used: bytes, or its
// end.
func TestUnsolicitedBytesWhileIdle(t *testing.T) {
	for _, unasked := range []string{"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", ""} {
		said := make(chan struct{})
		o := serveRaw(t, func(n int, c net.Conn, r *bufio.Reader) {
			for {
				if _, err := readRequest(r); err != nil {
					return
				}
				io.WriteString(c, hello)
				if n == 1 {
					<-said
					io.WriteString(c, unasked)
					c.Close()
					said <- struct{}{}
					return
				}
			}
		})
		p := poolOf(t, Config{}, endpointAt("web", o))
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		said <- struct{}{}
		<-said
		r, x := request(t, "POST", "/", nil)
		status, body, err := do(t, p, r)
		if status != 200 || body != "hello" || err != nil || x.Retries != 0 {
			t.Errorf("behind %q: got %d %q %v after %d retries; want 200 hello after none", unasked, status, body, err, x.Retries)
		}
	}
}

// The edge of an end that comes right behind an answer is lost to whoever waits
// for the next one: the connection is not looked at so soon.
func TestEndRightBehindAnAnswer(t *testing.T) {
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, err := readRequest(r); err == nil {
			io.WriteString(c, hello)
		}
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	for i := range 300 {
		if _, body, err := get(t, p, "/"); body != "hello" || err != nil {
			t.Fatalf("request %d: got %q, %v", i, body, err)
		}
	}
}

func TestNegotiatedConnectionIsNotShared(t *testing.T) {
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, endpointAt("web", o))
	r, _ := request(t, "GET", "/", nil)
	r.Header["Authorization"] = []string{"Negotiate YII="}
	for range 2 {
		if _, _, err := do(t, p, r); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.Accepted(); got != 2 {
		t.Errorf("connections: got %d, want 2: an authenticated one was used again", got)
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	keptIdle := defaultKeepalive.N
	clients := keptIdle + 20
	var arrived sync.WaitGroup
	arrived.Add(clients)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil {
				return
			}
			arrived.Done()
			arrived.Wait()
			io.WriteString(c, hello)
		}
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			if _, _, err := get(t, p, "/"); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	tr := p.all[0].transport
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.idle) != keptIdle || len(tr.conns) != keptIdle {
		t.Errorf("idle: got %d of %d connections, want %d", len(tr.idle), len(tr.conns), keptIdle)
	}
}
