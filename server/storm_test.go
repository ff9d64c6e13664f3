package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/h1"
)

// engines are all that serve HTTP/1.1.
var engines = map[string]func(http.Handler) server.Engine{
	"fairlead": func(h http.Handler) server.Engine { return h1.New(h1.Config{Handler: h, Poison: true}) },
	"std":      func(h http.Handler) server.Engine { return server.NewStd(server.StdConfig{Handler: h}) },
}

// Thousands of connections that are dropped, at whatever point, leave nothing.
func TestConnectionsThatAreDroppedLeaveNothing(t *testing.T) {
	for name, mk := range engines {
		t.Run(name, func(t *testing.T) {
			const total, atOnce = 5000, 50
			before := runtime.NumGoroutine()
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
			s := &server.Server{Engine: func(server.EntryPoint) server.Engine { return mk(h) }}
			addr, stop := serve(t, s)
			var clients sync.WaitGroup
			for i := range atOnce {
				clients.Go(func() {
					for n := range total / atOnce {
						drop(t, addr, i*total/atOnce+n)
					}
				})
			}
			clients.Wait()
			await(t, "all connections were let in and are gone", func() bool {
				st := s.Stats()
				return st.Conns == 0 && st.Accepted >= total
			})
			stop()
			await(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// drop opens a connection, sends a part of a request that depends on n, and
// closes or resets it.
func drop(t *testing.T, addr string, n int) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nhalf a body"
	if n%2 == 0 {
		io.WriteString(c, request[:n%(len(request)+1)])
	}
	if n%4 < 2 {
		c.(*net.TCPConn).SetLinger(0)
	}
	c.Close()
}

// serve serves on loopback until stop is called. s is open when it returns.
func serve(t *testing.T, s *server.Server) (addr string, stop func()) {
	t.Helper()
	open := make(chan struct{})
	s.Serving = func() { close(open) }
	if err := s.Bind(server.EntryPoint{Name: "http", Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	<-open
	return s.EntryPoints()[0].Addr, stop
}

// await waits for what other goroutines are about to do.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}
