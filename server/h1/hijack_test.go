package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"

// A connection that was taken over is its taker's alone.
func TestAHijackedConnectionIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		taken := make(chan net.Conn, 1)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			if got := rw.Reader.Buffered(); got != len("early") {
				t.Errorf("%d bytes are buffered", got)
			}
			if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
				t.Errorf("a write behind Hijack: %v", err)
			}
			if _, _, err := http.NewResponseController(w).Hijack(); err != http.ErrHijacked {
				t.Errorf("a second Hijack: %v", err)
			}
			select {
			case <-done:
				t.Error("the context ended by Hijack")
			default:
			}
			early := make([]byte, len("early"))
			io.ReadFull(rw, early)
			rw.WriteString("got " + string(early))
			rw.Flush()
			taken <- conn
		})
		c := dial(t, e, how)
		c.Send(upgrade + "early")
		conn := within(t, taken, "the handler")
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown waits for it: %v", err)
		}
		io.WriteString(conn, ", and more")
		want := "got early, and more"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.R, got); err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
		if got := e.Stats(); got.Conns != 0 || got.Hijacked != 1 || got.Requests != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// What is served in a callback cannot be hijacked, and is told so.
func TestHijackNeedsAnUpgrade(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		if inCallback := w.(*writer).d.c.fd != noFD; inCallback != errors.Is(err, http.ErrNotSupported) {
			t.Errorf("in a callback %v: %v", inCallback, err)
		}
		if err != nil {
			io.WriteString(w, "served")
			return
		}
		w.(*writer).d.c.nc.Close()
	})
	c := dial(t, e, byCallback)
	c.Send(get)
	c.CloseWrite()
	if got := c.Rest(); got != "" && !strings.HasSuffix(got, "served") { // nothing where it was taken over
		t.Errorf("got %q", got)
	}
}

// A panic behind Hijack leaves the connection to its taker.
func TestAPanicBehindHijack(t *testing.T) {
	e := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		go func() {
			defer conn.Close()
			io.WriteString(conn, "still there")
		}()
		panic(http.ErrAbortHandler)
	})
	c := dial(t, e, byCallback)
	c.Send(upgrade)
	if got := c.Rest(); got != "still there" {
		t.Errorf("got %q", got)
	}
}
