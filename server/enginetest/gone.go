package enginetest

import (
	"context"
	"io"
	"net/http"
	"strings"
)

var goneBehaviours = []behaviour{
	{"a client that leaves ends the context", clientGone},
	{"a client that leaves behind a pipelined request ends the context", goneBehindBytes},
	{"a client that leaves ends a body", goneInBody},
	{"a client that leaves ends an answer", goneInAnswer},
	{"contexts end with their handlers", contextEnds},
	{"bytes that come while a handler waits are the next request", bytesWhileWaiting},
	{"a client that closed its side gets its answers", halfClosed},
	{"a client that closes its side while a handler waits gets its answer", halfClosedLater},
	{"clients may leave at any time", leaveAnywhere},
}

// reset closes c so that the other end gets an RST.
func (c *client) reset() {
	c.tcp.SetLinger(0)
	c.tcp.Close()
}

// watches are ways to wait for the end of a context.
var watches = []struct {
	name string
	wait func(context.Context)
}{
	{"Done", func(ctx context.Context) { <-ctx.Done() }},
	{"Done of a child", func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		<-ctx.Done()
	}},
	{"AfterFunc", func(ctx context.Context) {
		ended := newGate()
		defer context.AfterFunc(ctx, func() { close(ended) })()
		<-ended
	}},
}

// clientGone leaves in each way from each kind of request. The connection has
// served another one before: what is watched is used before.
func clientGone(t *trial) {
	leave := map[string]func(*client){"close": func(c *client) { c.Close() }, "reset": (*client).reset}
	for _, watch := range watches {
		for _, in := range []string{get(""), post("Content-Length: 3\r\n", "abc"), chunked("3\r\nabc\r\n0\r\n\r\n")} {
			for name, leave := range leave {
				began, ended := newGate(), newGate()
				c := t.dial(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/before" {
						return
					}
					io.Copy(io.Discard, r.Body)
					close(began)
					watch.wait(r.Context())
					if r.Context().Err() == nil {
						t.Error("the context that ended has no error")
					}
					close(ended)
				})
				c.Send("GET /before HTTP/1.1\r\nHost: x\r\n\r\n")
				c.Answer("GET")
				c.Send(in)
				wait(t, began, "the request")
				leave(c)
				wait(t, ended, "the end of "+watch.name+" of "+in[:4]+" by "+name)
			}
		}
	}
}

// goneBehindBytes leaves with a request that nobody has read yet.
func goneBehindBytes(t *trial) {
	began, ended := newGate(), newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bait" {
			return
		}
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	c.Send(get(""))
	wait(t, began, "the request")
	c.Send(strings.Repeat(bait, 100))
	c.reset()
	wait(t, ended, "the context to end")
}

func goneInBody(t *trial) {
	for name, leave := range map[string]func(*client){"close": func(c *client) { c.Close() }, "reset": (*client).reset} {
		began, ended := newGate(), newGate()
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			io.ReadFull(r.Body, make([]byte, 3))
			close(began)
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				t.Errorf("%s: half a body looks complete", name)
			}
		})
		c.Send(post("Content-Length: 100\r\n", "abc"))
		wait(t, began, "the request")
		leave(c)
		wait(t, ended, "the body to end")
	}
}

func goneInAnswer(t *trial) {
	ended := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		if n, err := io.CopyN(w, zeros{}, 1<<40); err == nil {
			t.Errorf("wrote %d bytes to nobody", n)
		}
	})
	c.Send(get(""))
	c.Line()
	c.reset()
	wait(t, ended, "the answer to fail")
}

// contextEnds keeps contexts whose Done was taken, as everybody may: they end
// with their handlers, stay ended, and are no other request's.
func contextEnds(t *trial) {
	contexts := make(chan context.Context, 1)
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		select {
		case <-ctx.Done():
			t.Errorf("the context has ended before its handler: %v", ctx.Err())
		default:
		}
		contexts <- ctx
	})
	var kept []context.Context
	for range 3 {
		c.Send(get(""))
		c.Answer("GET")
		kept = append(kept, <-contexts)
		for i, ctx := range kept {
			wait(t, ctx.Done(), "the context of a request that was answered")
			if ctx.Err() == nil {
				t.Errorf("context %d of %d has ended without an error", i+1, len(kept))
			}
		}
	}
}

func bytesWhileWaiting(t *trial) {
	began, release := make(chan bool, 1), newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			done := r.Context().Done()
			began <- true
			select {
			case <-done:
				t.Error("the context has ended, and the client is there")
			case <-release:
			}
		}
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+string(body))
	})
	c.Send(get(""))
	<-began
	for _, piece := range []string{"P", "OST / HT", "TP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", "bc"} {
		c.Send(piece)
	}
	close(release)
	for _, want := range []string{"GET", "POSTabc"} {
		if _, got := c.Answer("GET"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func halfClosed(t *trial) {
	body := string(pattern(1 << 20))
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, body)
	})
	c.Send(get("") + post("Content-Length: 3\r\n", "abc") + get(""))
	c.CloseWrite()
	for range 3 {
		if _, got := c.Answer("GET"); got != body {
			t.Errorf("got %d bytes, want %d", len(got), len(body))
		}
	}
	if rest := c.Rest(); rest != "" {
		t.Errorf("behind the answers came %q", rest)
	}
}

// halfClosedLater closes the client's side while the handler waits, with Done
// taken and without.
func halfClosedLater(t *trial) {
	body := string(pattern(1 << 20))
	for _, watched := range []bool{false, true} {
		began, release := newGate(), newGate()
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			if watched {
				r.Context().Done()
			}
			close(began)
			<-release
			io.WriteString(w, body)
		})
		c.Send(get(""))
		wait(t, began, "the request")
		c.CloseWrite()
		close(release)
		if _, got := c.Answer("GET"); got != body {
			t.Errorf("Done taken: %v: got %d bytes, want %d", watched, len(got), len(body))
		}
		c.Rest()
	}
}

// leaveAnywhere opens connections and leaves them behind each byte of a
// request. The engine must not care, and must not keep any.
func leaveAnywhere(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(pattern(100_000))
	})
	in := post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n") + get("")
	for i := range len(in) + 1 {
		c := t.connect(e)
		c.Send(in[:i])
		if i%2 == 0 {
			c.reset()
		} else {
			c.Close()
		}
	}
	c := t.connect(e)
	c.Send(last)
	if got := codes(c.Rest()); got != "200" {
		t.Errorf("got %q", got)
	}
}
