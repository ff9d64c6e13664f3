package h1

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/conntest"
)

// A client that leaves ends the context of its request, whoever waits for that and
// whatever was sent before.
func TestAClientThatLeavesEndsTheContext(t *testing.T) {
	requests := map[string]string{
		"without a body":     get,
		"with a body":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"outside a callback": "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
	}
	leave := map[string]func(*conntest.Client){
		"by closing":      func(c *conntest.Client) { c.Close() },
		"by half-closing": func(c *conntest.Client) { c.CloseWrite() },
		"by a reset":      func(c *conntest.Client) { c.Stream.(*net.TCPConn).SetLinger(0); c.Close() },
	}
	each(t, func(t *testing.T, how link) {
		for kind, request := range requests {
			for by, f := range leave {
				t.Run(kind+" "+by, func(t *testing.T) {
					asked, causes := make(chan bool), make(chan error, 1)
					e := start(t, func(w http.ResponseWriter, r *http.Request) {
						io.Copy(io.Discard, r.Body)
						child, cancel := context.WithCancel(r.Context())
						defer cancel()
						close(asked)
						<-child.Done()
						causes <- context.Cause(r.Context())
					})
					c := dial(t, e, how)
					c.Send(request)
					within(t, asked, "the handler")
					f(c)
					if got := within(t, causes, "the context to end"); got != context.Canceled {
						t.Errorf("got the cause %v", got)
					}
				})
			}
		}
	})
}

// Err tells without Done what Done would, where the connection can be looked at.
func TestErrLooksAtTheConnection(t *testing.T) {
	asked, left := make(chan bool), make(chan bool)
	errs := make(chan error, 2)
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		errs <- r.Context().Err()
		close(asked)
		<-left
		ctx := r.Context()
		for ctx.Err() == nil {
		}
		errs <- ctx.Err()
		<-ctx.Done()
	})
	c := dial(t, e, byCallback)
	c.Send(get)
	within(t, asked, "the handler")
	c.Close()
	close(left)
	if err := within(t, errs, "the first answer"); err != nil {
		t.Errorf("Err of a client that is there: %v", err)
	}
	if err := within(t, errs, "the second answer"); err != context.Canceled {
		t.Errorf("Err of a client that left: %v", err)
	}
}

// Connections whose context was asked for serve the next request all the same, and
// a pipelined one is not lost.
func TestRequestsGoOnBehindOneThatAskedForDone(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		var last context.Context
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			if last != nil && last.Err() == nil {
				t.Error("the context of the request before has not ended")
			}
			last = r.Context()
			select {
			case <-last.Done():
				t.Error("the context ended with the client there")
			default:
			}
			io.WriteString(w, r.URL.Path)
		})
		c := dial(t, e, how)
		for _, paths := range [][]string{{"/a"}, {"/b", "/c", "/d"}, {"/e"}} {
			for _, p := range paths {
				c.Send("GET " + p + " HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			for _, want := range paths {
				if _, got := c.Answer("GET"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		}
	})
}

// Where reading on is all that tells, what it reads belongs to the next request.
func TestWhatALookoutReadsIsNotLost(t *testing.T) {
	asked, sent := make(chan bool, 2), make(chan bool)
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		r.Context().Done()
		asked <- true
		<-sent
		io.WriteString(w, r.URL.Path)
	})
	c := dial(t, e, byMethods)
	c.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	within(t, asked, "the handler")
	c.Send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	close(sent)
	for _, want := range []string{"/a", "/b"} {
		if _, got := c.Answer("GET"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The end of a client that has sent all of a request is no reason to lose the
// part of the body that was not read yet.
func TestABodyIsReadBehindTheEndOfItsClient(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		half := make(chan bool)
		got := make(chan error, 1)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			within(t, half, "the client to half-close")
			n, err := io.Copy(io.Discard, r.Body)
			if n != 100000 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			<-done
			got <- r.Context().Err()
			io.WriteString(w, "late")
		})
		c := dial(t, e, how)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100000))
		c.CloseWrite()
		close(half)
		if err := within(t, got, "the context to end"); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		if _, body := c.Answer("GET"); body != "late" {
			t.Errorf("a half-closed client got %q", body)
		}
	})
}

func TestContextsKnowTheirAddress(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		addr := r.Context().Value(http.LocalAddrContextKey)
		if addr == nil {
			t.Error("no local address")
			return
		}
		io.WriteString(w, addr.(interface{ String() string }).String())
		if _, ok := r.Context().Deadline(); ok || r.Context().Value(http.ServerContextKey) != nil {
			t.Error("it has a deadline or a server")
		}
	})
	c := dial(t, e, byCallback)
	c.Send(get)
	if _, got := c.Answer("GET"); got != c.RemoteAddr().String() {
		t.Errorf("got %q, want %v", got, c.RemoteAddr())
	}
}

// Many clients that come and go, with handlers that ask, do not confuse the one
// that watches them.
func TestTheWatcherTellsClientsApart(t *testing.T) {
	const stayers = 20
	hold := make(chan bool)
	waiting := make(chan bool, 1000)
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		done := r.Context().Done()
		waiting <- true
		if r.URL.Path == "/go" {
			<-done
			return
		}
		select {
		case <-done:
			t.Error("the context of a client that stays has ended")
		case <-hold:
		}
	})
	var stay []*conntest.Client
	for range stayers {
		c := dial(t, e, byCallback)
		c.Send(get)
		stay = append(stay, c)
		within(t, waiting, "a handler")
		for range 10 {
			c := dial(t, e, byCallback)
			c.Send("GET /go HTTP/1.1\r\nHost: x\r\n\r\n")
			within(t, waiting, "a handler")
			c.Close()
		}
	}
	waitFor(t, "those that left", func() bool { return e.Stats().Conns == stayers })
	close(hold)
	for _, c := range stay {
		c.Answer("GET")
	}
	waitFor(t, "nobody to be watched", func() bool { return watched(e) == 0 })
}

func TestACloseOfTheEngineEndsContexts(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		asked := make(chan bool)
		ended := make(chan bool)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			close(asked)
			<-done
			close(ended)
		})
		c := dial(t, e, how)
		c.Send(get)
		within(t, asked, "the handler")
		e.Close()
		within(t, ended, "the context to end")
		if got := c.Rest(); got != "" {
			t.Errorf("got %q from a connection that was cut", got)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}
