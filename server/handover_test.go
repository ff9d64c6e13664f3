package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// succeed has a second server take the ports of the first.
func succeed(t *testing.T, first running, c StdConfig) running {
	t.Helper()
	sockets, err := first.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	points := first.EntryPoints()
	for i := range points {
		points[i].Listener = nil
	}
	left, err := Inherit(points, sockets)
	if err != nil || len(left) > 0 || points[0].Listener == nil {
		t.Fatalf("inherited %+v, left %v: %v", points, left, err)
	}
	serving := make(chan struct{})
	s := &Server{Serving: func() { close(serving) }}
	second := start(t, s, c, points[0])
	<-serving
	if second.addr != first.addr {
		t.Fatalf("the second serves %s, want %s", second.addr, first.addr)
	}
	return second
}

// closed reports whether nobody is let in any more.
func (gs *guests) closed() bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	return gs.leaving
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

// get returns the body and whether it was the last of its connection.
func get(t *testing.T, c net.Conn) (body string, last bool) {
	t.Helper()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), res.Close
}

func TestAfterAHandoverNewConnectionsAreTheOthers(t *testing.T) {
	first := start(t, &Server{}, StdConfig{Handler: says("first")}, EntryPoint{})
	idle := first.dial(t)
	if body, _ := get(t, idle); body != "first" {
		t.Fatalf("got %q", body)
	}
	succeed(t, first, StdConfig{Handler: says("second")})
	first.HandOver()
	first.HandOver() // a second time does nothing
	if _, err := first.Sockets(); !errors.Is(err, ErrNotServing) {
		t.Errorf("sockets of a server that was handed over: %v, want %v", err, ErrNotServing)
	}
	until(t, first.guests.closed) // what comes before may still be let in
	for range 20 {
		if body, _ := get(t, first.dial(t)); body != "second" {
			t.Fatalf("got %q, want the second server", body)
		}
	}
	if !first.Leaving() {
		t.Error("it does not say that answers are the last ones")
	}
	// The idle connection is still good for a request.
	if body, _ := get(t, idle); body != "first" {
		t.Errorf("the idle connection got %q", body)
	}
	idle.Close()
	if err := first.stop(); err != nil {
		t.Error(err)
	}
}

func TestConnectionsInTheBacklogAreServedByTheOther(t *testing.T) {
	// A server that is bound and does not accept yet has a full queue.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		waiting = append(waiting, c)
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	points := []EntryPoint{{Name: "http", Addr: "127.0.0.1:0"}}
	if _, err := Inherit(points, []Socket{{Name: "http", Bound: ln.Addr().String(), File: file}}); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	start(t, &Server{}, StdConfig{Handler: says("second")}, points[0])
	for _, c := range waiting {
		if body, _ := get(t, c); body != "second" {
			t.Errorf("got %q", body)
		}
	}
}

func TestAHandshakeInProgressOutlivesAHandover(t *testing.T) {
	var first *Server
	addr := secure(t, func(s *Server, _ *StdConfig) { first = s }, says("first"))
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	half := &halting{Conn: raw, halt: make(chan struct{})}
	c := tls.Client(half, &tls.Config{InsecureSkipVerify: true, ServerName: "app.test", NextProtos: []string{"http/1.1"}})
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	until(t, func() bool { return first.Stats().Conns == 1 }) // nobody takes what waits
	first.HandOver()
	until(t, func() bool { _, err := net.Dial("tcp", addr); return err != nil })
	close(half.halt)
	if err := <-done; err != nil {
		t.Fatalf("handshake: %v, want it made", err)
	}
	if body, _ := get(t, c); body != "first" {
		t.Errorf("got %q", body)
	}
}

func TestAHandshakeInProgressIsCutWhenTheServerStops(t *testing.T) {
	s := &Server{TLS: &tls.Config{}}
	r := start(t, s, StdConfig{Handler: says("never")}, EntryPoint{TLS: true})
	io.WriteString(r.dial(t), "\x16\x03\x01\x02")
	until(t, func() bool { return r.Stats().Conns == 1 })
	began := time.Now()
	r.stop()
	if took := time.Since(began); took >= parting || r.Stats().CutAtShutdown > 0 {
		t.Errorf("stopped after %s with %+v, want it cut at once", took, r.Stats())
	}
}

// halting does not send what follows the ClientHello before it may.
type halting struct {
	net.Conn
	sent int
	halt chan struct{}
}

func (h *halting) Write(p []byte) (int, error) {
	if h.sent++; h.sent > 1 {
		<-h.halt
	}
	return h.Conn.Write(p)
}

// connection is what a handler gets by Hijack.
type connection interface{ OnFarewell(func()) }

// goodbye is echo for connections that want to be told.
func goodbye(said string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		inner := conn
		if t, ok := conn.(*tls.Conn); ok {
			inner = t.NetConn()
		}
		inner.(connection).OnFarewell(func() { io.WriteString(conn, said); conn.Close() })
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		io.Copy(conn, conn)
	}
}

func TestUpgradedConnectionsAreToldThatTheServerStops(t *testing.T) {
	r := start(t, &Server{Drain: time.Minute}, StdConfig{Handler: goodbye("1001")}, EntryPoint{})
	c := upgraded(t, r)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if b, _ := io.ReadAll(c); !strings.HasSuffix(string(b), "1001") {
		t.Errorf("got %q at the end, want the farewell", b)
	}
	if st := r.Stats(); st.CutAtShutdown != 0 {
		t.Errorf("stats %+v, want nothing cut", st)
	}
}

// Who does not heed the farewell is cut after parting, not after all of Drain.
func TestUpgradedConnectionsThatStayAreCut(t *testing.T) {
	r := start(t, &Server{Drain: time.Hour}, StdConfig{Handler: http.HandlerFunc(echo)}, EntryPoint{})
	c := upgraded(t, r)
	began := time.Now()
	r.stop()
	if took := time.Since(began); took < parting || took > parting+patience {
		t.Errorf("stopped after %s, want about %s", took, parting)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was not cut")
	}
	if st := r.Stats(); st.CutAtShutdown != 1 {
		t.Errorf("stats %+v, want one cut", st)
	}
}

func TestUpgradedConnectionsGoOnAfterAHandover(t *testing.T) {
	r := start(t, &Server{Drain: 100 * time.Millisecond, Courtesy: time.Millisecond}, StdConfig{Handler: goodbye("1001")}, EntryPoint{})
	c := upgraded(t, r)
	r.HandOver()
	until(t, func() bool { _, err := net.Dial("tcp", r.addr); return err != nil })
	c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // longer than Drain
	if b, err := io.ReadAll(c); !errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(b), "1001") {
		t.Fatalf("got %q, %v, want silence: HandedDrain has not passed", b, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	r.stop() // which shortens it
	if b, _ := io.ReadAll(c); !strings.HasSuffix(string(b), "1001") {
		t.Errorf("got %q at the end, want the farewell", b)
	}
}

func TestHandedDrainEndsWithAFarewell(t *testing.T) {
	r := start(t, &Server{HandedDrain: 400 * time.Millisecond}, StdConfig{Handler: goodbye("1001")}, EntryPoint{})
	c := upgraded(t, r)
	began := time.Now()
	r.HandOver()
	b, _ := io.ReadAll(c)
	if took := time.Since(began); !strings.HasSuffix(string(b), "1001") || took < 250*time.Millisecond {
		t.Errorf("got %q after %s, want the farewell after 300ms", b, took)
	}
}

func TestOnFarewell(t *testing.T) {
	var gs guests
	ours, theirs := net.Pipe()
	defer theirs.Close()
	conn, _ := gs.admit(ours, &Limits{}, nil)
	c := conn.(connection)
	var told []string
	c.OnFarewell(func() { told = append(told, "replaced") })
	c.OnFarewell(func() { told = append(told, "first") })
	gs.farewell()
	gs.farewell()
	c.OnFarewell(func() { told = append(told, "late") })
	c.OnFarewell(nil)
	if got := strings.Join(told, " "); got != "first late" {
		t.Errorf("told %q, want the last one once, and a late one at once", got)
	}
	conn.Close()

	ours, theirs2 := net.Pipe()
	defer theirs2.Close()
	var fresh guests
	conn, _ = fresh.admit(ours, &Limits{}, nil)
	conn.(connection).OnFarewell(func() { t.Error("told, though it was taken back") })
	conn.(connection).OnFarewell(nil)
	fresh.farewell()
	conn.Close()
}

func TestARequestInProgressAtAHandoverIsFinished(t *testing.T) {
	running, release := make(chan bool), make(chan bool)
	h := func(w http.ResponseWriter, r *http.Request) {
		running <- true
		<-release
		io.WriteString(w, "first")
	}
	r := start(t, &Server{Drain: time.Millisecond}, StdConfig{Handler: http.HandlerFunc(h)}, EntryPoint{})
	c := r.dial(t)
	got := make(chan string, 1)
	go func() { body, _ := get(t, c); got <- body }()
	<-running
	r.HandOver()
	until(t, func() bool { _, err := net.Dial("tcp", r.addr); return err != nil })
	close(release)
	if body := <-got; body != "first" {
		t.Errorf("got %q, want the answer", body)
	}
}

func TestInheritMatches(t *testing.T) {
	tests := []struct {
		name    string
		points  []EntryPoint
		sockets []Socket
		want    []int // index of the socket of each point, -1 for none
	}{
		{"by name and address", []EntryPoint{{Name: "a", Addr: ":0"}, {Name: "b", Addr: ":0"}},
			[]Socket{{Name: "b", Addr: ":0"}, {Name: "a", Addr: ":0"}}, []int{1, 0}},
		{"by address", []EntryPoint{{Name: "new", Addr: ":80"}}, []Socket{{Name: "old", Addr: ":443"}, {Name: "old", Addr: ":80"}}, []int{1}},
		{"by name alone, from systemd", []EntryPoint{{Name: "https", Addr: ":443"}, {Name: "http", Addr: ":80"}},
			[]Socket{{Name: "http", Bound: "[::]:8080"}, {Name: "https", Bound: "[::]:8443"}}, []int{1, 0}},
		{"two of a name", []EntryPoint{{Name: "lan", Addr: ":80"}, {Name: "lan", Addr: ":443"}},
			[]Socket{{Name: "lan", Addr: ":443"}, {Name: "lan", Addr: ":80"}}, []int{1, 0}},
		{"by where it is bound", []EntryPoint{{Name: "http", Addr: "127.0.0.1:80"}, {Name: "all", Addr: ":81"}, {Name: "v6", Addr: "[::1]:82"}},
			[]Socket{{Name: "unknown", Bound: "[::1]:82"}, {Name: "unknown", Bound: "0.0.0.0:81"}, {Name: "unknown", Bound: "127.0.0.1:80"}}, []int{2, 1, 0}},
		{"one stack is not both", []EntryPoint{{Name: "http", Addr: "0.0.0.0:80"}}, []Socket{{Name: "x", Bound: "[::]:80", Addr: ":80"}}, []int{-1}},
		{"another address", []EntryPoint{{Name: "http", Addr: "127.0.0.1:80"}}, []Socket{{Name: "http", Bound: "127.0.0.2:80", Addr: "127.0.0.2:80"}}, []int{-1}},
		{"any port is none in particular", []EntryPoint{{Name: "http", Addr: "127.0.0.1:0"}}, []Socket{{Name: "x", Bound: "127.0.0.1:0", Addr: "x"}}, []int{-1}},
		{"no socket twice", []EntryPoint{{Name: "a", Addr: ":80"}, {Name: "b", Addr: ":80"}}, []Socket{{Name: "a", Addr: ":80"}}, []int{0, -1}},
		{"an address that is none", []EntryPoint{{Name: "http", Addr: "nonsense"}}, []Socket{{Name: "x", Bound: "/run/socket", Addr: "x"}}, []int{-1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lns []net.Listener
			for i := range tt.sockets {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				lns = append(lns, ln)
				if tt.sockets[i].File, err = ln.(*net.TCPListener).File(); err != nil {
					t.Fatal(err)
				}
			}
			left, err := Inherit(tt.points, tt.sockets)
			if err != nil {
				t.Fatal(err)
			}
			defer closeListeners(tt.points)
			wantLeft := len(tt.sockets)
			for i, at := range tt.want {
				ln := tt.points[i].Listener
				switch {
				case at < 0 && ln != nil:
					t.Errorf("point %d has %s, want none", i, ln.Addr())
				case at >= 0 && (ln == nil || ln.Addr().String() != lns[at].Addr().String()):
					t.Errorf("point %d has %v, want socket %d", i, ln, at)
				}
				if at >= 0 {
					wantLeft--
				}
			}
			if len(left) != wantLeft {
				t.Errorf("left %v, want %d", left, wantLeft)
			}
			for _, s := range tt.sockets {
				if s.File.Close() == nil {
					t.Error("a file is still open")
				}
			}
		})
	}
}

func TestInheritRefusesWhatIsNoListener(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	good, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	points := []EntryPoint{{Name: "good", Addr: ":80"}, {Name: "bad", Addr: ":81"}}
	if _, err := Inherit(points, []Socket{{Name: "good", File: good}, {Name: "bad", Bound: "a pipe", File: r}}); err == nil || !strings.Contains(err.Error(), "a pipe (entry point bad)") {
		t.Errorf("got %v, want an error that names it", err)
	}
	if _, err := points[0].Listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener: %v, want it closed", err)
	}
}

func TestSocketsNeedAServer(t *testing.T) {
	s := &Server{Engine: func(EntryPoint) Engine { return NewStd(StdConfig{Handler: http.HandlerFunc(ok)}) }}
	if _, err := s.Sockets(); !errors.Is(err, ErrNotServing) {
		t.Errorf("before Serve: %v", err)
	}
	serving := make(chan struct{})
	s.Serving = func() { close(serving) }
	if err := s.Bind(EntryPoint{Name: "odd", Listener: &closable{done: make(chan struct{})}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	<-serving
	if _, err := s.Sockets(); err == nil || !strings.Contains(err.Error(), "entry point odd: a *server.closable has no file") {
		t.Errorf("of a listener without a file: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// closable is a listener to which nobody comes.
type closable struct{ done chan struct{} }

func (c *closable) Accept() (net.Conn, error) { <-c.done; return nil, net.ErrClosed }
func (c *closable) Close() error              { close(c.done); return nil }
func (c *closable) Addr() net.Addr            { return &net.TCPAddr{} }
