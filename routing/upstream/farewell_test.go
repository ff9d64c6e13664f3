package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// switching answers /ws with a 101, says "x" on the tunnel and holds it open.
func switching(t *testing.T) *origin {
	return serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			head, err := readRequest(r)
			if err != nil {
				return
			}
			if !strings.HasPrefix(head, "GET /ws ") {
				io.WriteString(c, hello)
				continue
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx")
			io.Copy(io.Discard, r)
			return
		}
	})
}

func openTunnel(t *testing.T, p *Pool) *tunnel {
	t.Helper()
	r, _ := request(t, "GET", "/ws", nil)
	r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	resp, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	tunnel, ok := resp.Body.(*tunnel)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("got %d with a %T, want 101 with a tunnel", resp.StatusCode, resp.Body)
	}
	return tunnel
}

func TestFarewellAsksEachTunnelOnce(t *testing.T) {
	p := poolOf(t, Config{}, endpointAt("web", switching(t)))
	tr := p.all[0].transport
	if _, _, err := get(t, p, "/"); err != nil { // leaves a connection that nobody registered
		t.Fatal(err)
	}
	var asked [4]atomic.Int32
	ask := func(i int) func() { return func() { asked[i].Add(1) } }
	want := func(when string, counts ...int32) {
		t.Helper()
		for i, n := range counts {
			if got := asked[i].Load(); got != n {
				t.Errorf("%s: tunnel %d was asked %d times, want %d", when, i, got, n)
			}
		}
	}

	first, back, gone := openTunnel(t, p), openTunnel(t, p), openTunnel(t, p)
	first.OnFarewell(ask(0))
	back.OnFarewell(ask(1))
	back.OnFarewell(nil)
	gone.OnFarewell(ask(2))
	gone.Close()
	want("before", 0, 0, 0, 0)
	tr.farewell()
	want("after a farewell", 1, 0, 0, 0)
	tr.farewell()
	want("after a second one", 1, 0, 0, 0)
	back.OnFarewell(ask(3))
	want("registered behind it", 1, 0, 0, 1)

	tr.open()
	openTunnel(t, p).OnFarewell(ask(2))
	want("after the endpoint came back", 1, 0, 0, 1)
	tr.farewell()
	want("when it leaves again", 1, 0, 1, 1)
}

func TestATunnelThatALeavingEndpointEndsIsBidFarewell(t *testing.T) {
	for _, leaving := range []bool{true, false} {
		p := poolOf(t, Config{}, endpointAt("web", switching(t)))
		tun := openTunnel(t, p)
		var asked atomic.Int32
		tun.OnFarewell(func() { asked.Add(1) })
		if leaving {
			p.all[0].transport.shut()
		}
		tun.SetReadDeadline(time.Now().Add(-time.Second))
		buf := make([]byte, 8)
		if n, err := tun.Read(buf); err == nil && n == 1 { // "x", if that was read with the head
			_, err = tun.Read(buf)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v, want a deadline that was exceeded", err)
			}
		}
		if n := asked.Load(); n != 0 {
			t.Errorf("leaving %v: asked %d times when a deadline passed, want 0", leaving, n)
		}
		tun.SetReadDeadline(time.Time{})
		tun.CloseWrite() // the app ends, too
		if _, err := io.Copy(io.Discard, tun); err != nil {
			t.Fatal(err)
		}
		want := int32(0)
		if leaving {
			want = 1
		}
		if n := asked.Load(); n != want {
			t.Errorf("leaving %v: asked %d times at the end, want %d", leaving, n, want)
		}
	}
}

func TestLoadTellsTunnelsFromRequests(t *testing.T) {
	p := poolOf(t, Config{}, endpointAt("web", switching(t)))
	tr := p.all[0].transport
	want := func(when string, requests, tunnels int, inFlight int64) {
		t.Helper()
		gotR, gotT := tr.load()
		if all := p.Endpoints()[0].InFlight; gotR != requests || gotT != tunnels || all != inFlight {
			t.Errorf("%s: got %d requests and %d tunnels, %d in flight, want %d and %d, %d", when, gotR, gotT, all, requests, tunnels, inFlight)
		}
	}
	want("at first", 0, 0, 0)
	one, two := openTunnel(t, p), openTunnel(t, p)
	r, _ := request(t, "GET", "/", nil)
	resp, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	want("with a request and two tunnels", 1, 2, 3)
	one.Close()
	one.Close()
	want("with one tunnel closed twice", 1, 1, 2)
	resp.Body.Close()
	want("with the request done", 0, 1, 1)
	two.Close()
	want("at the end", 0, 0, 0)
}
