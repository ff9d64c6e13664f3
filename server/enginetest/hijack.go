package enginetest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

var connBehaviours = []behaviour{
	{"Hijack hands over bytes already read", hijack},
	{"Hijack hands over bytes that come later", hijackTunnel},
	{"Hijack without Upgrade works or is an error", hijackPlain},
	{"the writer is dead behind Hijack", hijackTwice},
	{"101 without Hijack ends the connection", switchWithoutHijack},
	{"Shutdown does not wait for what was hijacked", hijackShutdown},
	{"deadlines reach the connection", deadlines},
	{"ResponseController reaches the engine through Unwrap", unwrap},
}

const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// takeOver hijacks and answers with 101.
func (t *trial) takeOver(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		panic(http.ErrAbortHandler)
	}
	io.WriteString(conn, switched)
	return conn, rw
}

// switched reads the head of the answer to an upgrade.
func (c *client) switched() {
	c.t.Helper()
	if got := c.Line(); got != "HTTP/1.1 101 Switching Protocols" {
		c.t.Fatalf("got %q", got)
	}
	for c.Line() != "" {
	}
}

func hijack(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		conn, rw := t.takeOver(w)
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		rw.WriteString("echo " + line)
		rw.Flush()
	})
	c.Send(upgrade + "early\n")
	if got := c.Rest(); got != switched+"echo early\n" {
		t.Errorf("got %q", got)
	}
}

// hijackTunnel echoes through a tunnel whose client begins at once and ends with
// its side of the connection. What the engine had read comes before the rest.
func hijackTunnel(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		conn, rw := t.takeOver(w)
		defer conn.Close()
		if n := rw.Reader.Buffered(); n > 0 {
			early, _ := rw.Reader.Peek(n)
			conn.Write(early)
		}
		io.Copy(conn, conn)
	})
	data := string(pattern(1 << 20))
	sent := beside(func() { io.WriteString(c, upgrade+data); c.CloseWrite() })
	c.switched()
	if got := c.Rest(); got != data {
		t.Errorf("got %d bytes, the first wrong one is %d of %d", len(got), differ(got, data), len(data))
	}
	<-sent
}

func hijackPlain(t *trial) {
	for _, in := range []string{get(""), post("Content-Length: 3\r\n", "abc"), get10} {
		c := t.dial(func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				w.Header().Set("Connection", "close")
				io.WriteString(w, "still here")
				return
			}
			defer conn.Close()
			rw.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nstill here")
			rw.Flush()
		})
		c.Send(in)
		if _, body := c.Answer("GET"); body != "still here" {
			t.Errorf("%.20q: got %q", in, body)
		}
		if rest := c.Rest(); rest != "" {
			t.Errorf("%.20q: behind the answer came %q", in, rest)
		}
	}
}

func hijackTwice(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := t.takeOver(w)
		defer conn.Close()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write behind Hijack: %v", err)
		}
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("WriteString behind Hijack: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Hijack behind Hijack: %v", err)
		}
		w.WriteHeader(500)
		io.WriteString(conn, "end")
	})
	c.Send(upgrade)
	if got := c.Rest(); got != switched+"end" {
		t.Errorf("got %q", got)
	}
}

// switchWithoutHijack: what a client sends behind a 101 is no HTTP, whatever it
// looks like.
func switchWithoutHijack(t *trial) {
	var baited atomic.Bool
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bait" {
			baited.Store(true)
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	c.Send(upgrade + bait)
	if got := c.Rest(); baited.Load() {
		t.Errorf("bait was served: %q", got)
	}
}

// hijackTimeouts keeps a connection beyond its handler and all timeouts.
func hijackTimeouts(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		conn, rw := t.takeOver(w)
		go func() {
			defer conn.Close()
			line, err := rw.ReadString('\n')
			io.WriteString(conn, line)
			if err != nil {
				t.Errorf("read behind the timeouts: %v", err)
			}
		}()
	}, short)
	c := t.begin(e, upgrade)
	c.switched()
	<-time.After(4 * shortTime)
	c.Send("still here\n")
	if got := c.Rest(); got != "still here\n" {
		t.Errorf("got %q", got)
	}
}

func hijackShutdown(t *trial) {
	release := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := t.takeOver(w)
		go func() {
			defer conn.Close()
			<-release
			io.WriteString(conn, "end")
		}()
	})
	c.Send(upgrade)
	c.switched()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.engine.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	close(release)
	if got := c.Rest(); got != "end" {
		t.Errorf("got %q", got)
	}
}

func deadlines(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Errorf("set deadline: %v", err)
		}
		_, err := io.ReadAll(r.Body)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read behind the deadline: %v", err)
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(408)
	})
	c.Send(post("Content-Length: 5\r\n", ""))
	if res, _ := c.Answer("POST"); res.StatusCode != 408 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func writeDeadline(t *trial) {
	ended := newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(shortTime)); err != nil {
			t.Errorf("set deadline: %v", err)
		}
		n, err := io.CopyN(w, zeros{}, 1<<30) // of which the client reads nothing
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
	})
	c.Send(get(""))
	wait(t, ended, "the deadline")
	c.Close()
}

// deadlineEnds waits beyond a deadline of the request before.
func deadlineEnds(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			return
		}
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(3 * shortTime)); err != nil {
			t.Errorf("set deadline: %v", err)
		}
	})
	c.Send(get(""))
	c.Answer("GET")
	<-time.After(4 * shortTime)
	c.Send(last)
	if got := codes(c.Rest()); got != "200" {
		t.Errorf("got %q", got)
	}
}

// outer is a middleware's writer.
type outer struct{ http.ResponseWriter }

func (o outer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func unwrap(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(outer{outer{w}})
		for name, f := range map[string]func() error{
			"SetReadDeadline":  func() error { return rc.SetReadDeadline(time.Now().Add(patience)) },
			"SetWriteDeadline": func() error { return rc.SetWriteDeadline(time.Now().Add(patience)) },
			"EnableFullDuplex": rc.EnableFullDuplex,
		} {
			if err := f(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			if err := rc.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
			return
		}
		conn, _, err := rc.Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		conn.Close()
	})
	c.Send(get(""))
	c.Answer("GET")
	c.Send(upgrade)
	c.Rest()
}
