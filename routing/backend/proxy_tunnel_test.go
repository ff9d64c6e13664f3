package backend

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/conntest"
)

// An upgrade other than to websocket would lead behind the proxy's back.
func TestProxyForwardsNoUpgradeButWebsocket(t *testing.T) {
	heads := make(chan string, 1)
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		for {
			head, err := conntest.ReadHead(r)
			if err != nil {
				return
			}
			heads <- head
			io.WriteString(c, hello)
		}
	}))
	const upgrade = "Connection: Upgrade\r\nUpgrade: "
	for _, head := range []string{
		"GET / HTTP/1.1\r\n" + upgrade + "h2c\r\n", "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nUpgrade: h2c\r\n",
		"GET / HTTP/1.1\r\n" + upgrade + "H2C\r\n", "GET / HTTP/1.1\r\n" + upgrade + "websocket, h2c\r\n", "GET / HTTP/1.1\r\n" + upgrade + "websocket\r\nUpgrade: h2c\r\n",
		"GET / HTTP/1.1\r\n" + upgrade + "h2c\r\nUpgrade: websocket\r\n", "GET / HTTP/1.1\r\n" + upgrade + "TLS/1.0\r\n", "GET / HTTP/1.1\r\n" + upgrade + "\r\n",
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\n", "GET / HTTP/1.1\r\nConnection: close\r\nUpgrade: websocket\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 0\r\n" + upgrade + "websocket\r\n", "GET / HTTP/1.0\r\n" + upgrade + "websocket\r\n",
	} {
		c, r := e.dial(t)
		io.WriteString(c, head+"Host: a\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "hello" {
			t.Fatalf("%q: got %d %q, want it answered as plain HTTP", head, resp.StatusCode, body)
		}
		if got := strings.ToLower(<-heads); strings.Contains(got, "upgrade") || strings.Contains(got, "http2-settings") {
			t.Errorf("%q: the endpoint got\n%s", head, got)
		}
		c.Close()
	}
}

const handshake = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func TestProxyUpgradeAnsweredOtherwise(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		body         string
	}{
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokRAW BYTES", 200, "ok"},
		{"403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nnoRAW BYTES", 403, "no"},
		{"426", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nnoRAW BYTES", 426, "no"},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nRAW BYTES", 502, ""},
		{"no protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nRAW BYTES", 502, ""},
		{"no Connection", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nRAW BYTES", 502, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
				conntest.ReadHead(r)
				io.WriteString(c, tt.answer)
				r.ReadByte()
			}))
			c, r := e.dial(t)
			io.WriteString(c, handshake)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || tt.body != "" && string(body) != tt.body || bytes.Contains(body, []byte("RAW")) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.status, tt.body)
			}
			if n := r.Buffered(); n > 0 {
				t.Errorf("%d bytes came through behind the answer", n)
			}
		})
	}
}

func TestProxyUnasked101(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nRAW")
	}))
	if resp, _ := e.get(t, "/"); resp.StatusCode != 502 {
		t.Errorf("got %d, want 502", resp.StatusCode)
	}
	if x := <-e.done; x.Code != "bad-answer" || !strings.Contains(fmt.Sprint(x.Cause), "nobody asked for") {
		t.Errorf("noted %s: %v", x.Code, x.Cause)
	}
}

func TestProxyWebsocketEcho(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	})
	e := newEdge(t, addr, func(p *Proxy) { p.Timeouts = exchange.Timeouts{Response: time.Hour, Idle: time.Hour} })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, e.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for _, size := range []int{0, 1, 125, 126, 70_000, 1 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		if err := c.Write(ctx, websocket.MessageBinary, want); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("size %d: got %d bytes, %v", size, len(got), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close: %v", err)
	}
	if x := <-e.done; x.Response.Status != 101 || x.Code != "" || x.Cause != nil || x.Response.Bytes < 1<<20 {
		t.Errorf("noted status %d, %d bytes, %s %v", x.Response.Status, x.Response.Bytes, x.Code, x.Cause)
	}
}

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-App: 1\r\n\r\n"

func TestProxyTunnelCarriesWhatIsBufferedAndHalfCloses(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, switched+"early from the app;")
		fromClient, _ := io.ReadAll(r) // until the client half-closes
		fmt.Fprintf(c, "got %s", fromClient)
	}))
	c, r := e.dial(t)
	io.WriteString(c, handshake+"early from the client;")
	resp, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("X-App") != "1" || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	io.WriteString(c, "late")
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(r)
	if want := "early from the app;got early from the client;late"; string(got) != want || err != nil {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
}

func TestProxyTunnelEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, client net.Conn, origin chan struct{}){
		"client resets":  func(_ *testing.T, c net.Conn, _ chan struct{}) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		"client closes":  func(_ *testing.T, c net.Conn, _ chan struct{}) { c.Close() },
		"origin closes":  func(_ *testing.T, c net.Conn, origin chan struct{}) { close(origin); io.Copy(io.Discard, c); c.Close() },
		"nobody says it": func(*testing.T, net.Conn, chan struct{}) {},
	} {
		t.Run(name, func(t *testing.T) {
			origin, ended := make(chan struct{}), make(chan struct{})
			e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
				conntest.ReadHead(r)
				io.WriteString(c, switched)
				if name == "origin closes" {
					<-origin
					return
				}
				io.Copy(io.Discard, r)
				close(ended)
			}), func(p *Proxy) {
				if name == "nobody says it" {
					p.Timeouts.Idle = 300 * time.Millisecond
				}
			})
			c, r := e.dial(t)
			io.WriteString(c, handshake)
			if _, err := conntest.ReadHead(r); err != nil {
				t.Fatal(err)
			}
			end(t, c, origin)
			<-e.done
			if name != "origin closes" {
				<-ended
			}
		})
	}
}

// The limit of the whole exchange holds for a tunnel that is never quiet.
func TestProxyTunnelRequestTimeout(t *testing.T) {
	for _, idle := range []time.Duration{0, time.Hour} {
		e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
			conntest.ReadHead(r)
			io.WriteString(c, switched)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := io.WriteString(c, "."); err != nil {
					return
				}
			}
		}), func(p *Proxy) { p.Timeouts = exchange.Timeouts{Idle: idle, Request: 500 * time.Millisecond} })
		c, r := e.dial(t)
		io.WriteString(c, handshake)
		io.Copy(io.Discard, r)
		c.Close()
		if x := <-e.done; x.Cause != errOver {
			t.Errorf("idle %v: noted %v, want %v", idle, x.Cause, errOver)
		}
	}
}

// One direction alone keeps a tunnel alive.
func TestProxyTunnelIdleCountsBothDirections(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, switched)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 25 {
			<-tick.C
			if _, err := io.WriteString(c, "."); err != nil {
				return
			}
		}
	}), func(p *Proxy) { p.Timeouts.Idle = time.Second })
	c, r := e.dial(t)
	io.WriteString(c, handshake)
	conntest.ReadHead(r)
	if got, _ := io.ReadAll(r); len(got) != 25 {
		t.Errorf("got %d bytes of 25: cut for idleness of the other direction", len(got))
	}
}
