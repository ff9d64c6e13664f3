// Package servertest serves handlers in tests by an engine of ours: the default
// one, or the one that FAIRLEAD_ENGINE names, so that the same tests hold
// for both (make unit).
package servertest

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/server/h1"
)

// Name returns the engine's name, as --engine takes it.
func Name() string { return cmp.Or(os.Getenv("FAIRLEAD_ENGINE"), "fairlead") }

// Std reports whether the engine is net/http's.
func Std() bool { return Name() == "std" }

// Engine returns an engine that serves h. What it would log is lost.
func Engine(h http.Handler) server.Engine {
	if !Std() {
		return h1.New(h1.Config{Handler: h, Poison: true})
	}
	return server.NewStd(server.StdConfig{Handler: h})
}

// A Server serves on a port of its own until the test ends.
type Server struct {
	Addr, URL string
	// Client asks it. Its connections are closed when the test ends.
	Client *http.Client
}

// Start serves h.
func Start(t testing.TB, h http.Handler) *Server {
	t.Helper()
	s := &server.Server{Engine: func(server.EntryPoint) server.Engine { return Engine(h) }, Drain: time.Millisecond}
	if err := s.Bind(server.EntryPoint{Name: "test", Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	serving := make(chan struct{})
	s.Serving = func() { close(serving) }
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	<-serving
	transport := &http.Transport{}
	out := &Server{Addr: s.EntryPoints()[0].Addr, Client: &http.Client{Transport: transport}}
	out.URL = "http://" + out.Addr
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return out
}
