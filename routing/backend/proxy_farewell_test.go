package backend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/fairlead/fairlead/internal/conntest"
)

// leaving is a transport whose tunnels hand out what ends them, instead of
// leaving that to their endpoint.
type leaving struct {
	http.RoundTripper
	farewells chan func()
}

type leavingTunnel struct {
	stream
	farewells chan func()
}

func (l *leaving) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &leavingTunnel{resp.Body.(stream), l.farewells}
	}
	return resp, err
}

func (l *leavingTunnel) OnFarewell(f func()) { l.farewells <- f }

func newLeavingEdge(t *testing.T, addr string) (e *edge, farewells chan func()) {
	farewells = make(chan func(), 1)
	return newEdge(t, addr, func(p *Proxy) { p.Transport = &leaving{p.Transport, farewells} }), farewells
}

// upgraded opens a tunnel through e that is written and read byte for byte;
// early goes out together with the handshake.
func upgraded(t *testing.T, e *edge, early []byte) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, r := e.dial(t)
	c.Write(append([]byte(handshake), early...))
	if head, err := conntest.ReadHead(r); err != nil {
		t.Fatalf("no 101 but %q, %v", head, err)
	}
	return c, r
}

// closing returns a Close frame as servers send it.
func closing(code uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0x88, 2}, code)
}

// maskedClose returns the Close frame with which a client answers, masked with
// zeros.
func maskedClose(code uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0x88, 0x82, 0, 0, 0, 0}, code)
}

func expect(t *testing.T, r io.Reader, who string, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s got %.80x (%d of %d bytes), %v, want %.80x", who, got[:n], n, len(want), err, want)
	}
}

func expectEnd(t *testing.T, r io.Reader, who string) {
	t.Helper()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("%s got %.80x, %v, want the end", who, rest, err)
	}
}

// noted checks what the log will say of the tunnel that ended.
func (e *edge) noted(t *testing.T, code string, cause error) {
	t.Helper()
	if x := <-e.done; x.Code != code || !errors.Is(x.Cause, cause) {
		t.Errorf("noted %q, %v, want %q, %v", x.Code, x.Cause, code, cause)
	}
}

func TestFarewellToAnIdleWebsocket(t *testing.T) {
	inApp := make(chan error, 1)
	e, farewells := newLeavingEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		_, _, err = c.Read(r.Context())
		inApp <- err
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, e.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	f := <-farewells
	f()
	f()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the client got %v, want status 1001", err)
	}
	if err := <-inApp; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the app got %v, want the client's 1001", err)
	}
	if x := <-e.done; x.Code != "going-away" || x.Cause != errStopping || x.Response.Status != 101 || x.Response.Bytes != int64(len(goingAway)) {
		t.Errorf("noted %s %v, status %d, %d bytes, want going-away because %v, 101, the Close frame", x.Code, x.Cause, x.Response.Status, x.Response.Bytes, errStopping)
	}
	f() // of a tunnel that is no more
}

// What the app sends is cut where a frame ends, not where a message does, and
// not where the proxy happens to read.
func TestFarewellWaitsForTheEndOfAFrame(t *testing.T) {
	large := frame(0x82, 300_000)
	for _, tt := range []struct {
		name               string
		before, then, want []byte // before and behind the farewell, and what the client gets of both
	}{
		{"between frames", frame(0x81, 5), frame(0x81, 6), frame(0x81, 5)},
		{"in the middle of a large frame", large[:100_000], slices.Concat(large[100_000:], frame(0x81, 6)), large},
		{"in a head", large[:7], slices.Concat(large[7:], large), large},
		{"in the middle of a fragmented message", frame(0x01, 5), frame(0x80, 6), frame(0x01, 5)},
		{"in a fragment", frame(0x01, 5)[:4], slices.Concat(frame(0x01, 5)[4:], frame(0x00, 6), frame(0x80, 7)), frame(0x01, 5)},
		{"in a stream without a pause", large[:9], bytes.Repeat(large, 5)[9:], large},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, ended := make(chan struct{}), make(chan struct{})
			e, farewells := newLeavingEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
				defer close(ended)
				conntest.ReadHead(r)
				c.Write(append([]byte(switched), tt.before...)) // in one piece: the proxy buffers what is behind the 101
				<-said
				go c.Write(tt.then)
				expect(t, r, "the app", maskedClose(1001))
			}))
			c, r := upgraded(t, e, nil)
			early := min(len(tt.before), len(tt.want))
			expect(t, r, "the client", tt.want[:early])
			(<-farewells)()
			close(said)
			expect(t, r, "the client", slices.Concat(tt.want[early:], []byte(goingAway)))
			c.Write(maskedClose(1001))
			expectEnd(t, r, "the client")
			<-ended
			c.Close()
			e.noted(t, "going-away", errStopping)
		})
	}
}

// A tunnel whose sides are closing it is left to them.
func TestFarewellAddsNoSecondClose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client []byte // with its handshake
		before []byte // from the app, before the farewell
		then   []byte // and after it
	}{
		{"the app closed", nil, closing(1000), nil},
		{"the app is closing", nil, closing(1000)[:1], append(closing(1000)[1:], "garbage"...)},
		{"the client closed", maskedClose(1000), nil, closing(1000)},
		{"the client closed while a frame came", maskedClose(1000), frame(0x81, 9)[:5], append(frame(0x81, 9)[5:], closing(1000)...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said := make(chan struct{})
			e, farewells := newLeavingEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
				conntest.ReadHead(r)
				c.Write(append([]byte(switched), tt.before...))
				if tt.client != nil {
					expect(t, r, "the app", tt.client)
				}
				<-said
				c.Write(tt.then)
				if tt.client == nil {
					expect(t, r, "the app", maskedClose(1000))
				}
			}))
			c, r := upgraded(t, e, tt.client)
			expect(t, r, "the client", tt.before)
			(<-farewells)()
			close(said)
			expect(t, r, "the client", bytes.TrimSuffix(tt.then, []byte("garbage")))
			if tt.client == nil {
				c.Write(maskedClose(1000))
			}
			expectEnd(t, r, "the client")
			c.Close()
			e.noted(t, "", nil)
		})
	}
}

// Frames of all sizes go both ways while the farewell comes: the client gets
// whole frames and a Close behind them, and the app all that the client sent.
func TestFarewellIntoTraffic(t *testing.T) {
	sizes := []int{0, 1, 125, 126, 4000, 65535, 65536, 100_000}
	inApp := make(chan []byte, 1)
	e, farewells := newLeavingEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, switched)
		go send(c, sizes, nil)
		inApp <- readTo(r, maskedClose(1001), func(int) {})
	}))
	for round := range 8 {
		c, r := upgraded(t, e, nil)
		f := <-farewells
		halt, sent := make(chan struct{}), make(chan []byte, 1)
		go func() { sent <- send(c, sizes[:5], halt) }()
		got := readTo(r, []byte(goingAway), func(read int) {
			if read > 20_000*round {
				go f()
			}
		})
		close(halt)
		ends, closed, broken := reference(got)
		if !closed || broken || ends[len(ends)-1] != len(got) {
			t.Errorf("round %d: the client got %d frames in %d bytes, closed %v, broken %v", round, len(ends), len(got), closed, broken)
		}
		want := append(<-sent, maskedClose(1001)...)
		c.Write(maskedClose(1001))
		if from := <-inApp; !bytes.Equal(from, want) {
			t.Errorf("round %d: the app got %d bytes, want the %d that the client sent", round, len(from), len(want))
		}
		c.Close()
		e.noted(t, "going-away", errStopping)
	}
}

// send writes masked frames of sizes in turn until halt is closed or c fails,
// and returns what it wrote.
func send(c net.Conn, sizes []int, halt <-chan struct{}) (sent []byte) {
	for i := 0; ; i++ {
		select {
		case <-halt:
			return sent
		default:
		}
		next := masked(0x82, sizes[i%len(sizes)])
		if _, err := c.Write(next); err != nil {
			return sent
		}
		if halt != nil {
			sent = append(sent, next...)
		}
	}
}

// readTo reads until the bytes that came last are end, or no more come.
func readTo(r io.Reader, end []byte, each func(read int)) (got []byte) {
	var b [4096]byte
	for {
		n, err := r.Read(b[:])
		if got = append(got, b[:n]...); err != nil || bytes.HasSuffix(got, end) {
			return got
		}
		each(len(got))
	}
}

// piped is a tunnel between two pipes, for a bubble whose time is its own.
type piped struct {
	*farewell
	client, app net.Conn // their far ends
	done        chan error
}

func newPiped() *piped {
	client, near := net.Pipe()
	app, far := net.Pipe()
	return &piped{newFarewell(&halfCloser{near}, &halfCloser{far}), client, app, make(chan error, 1)}
}

func (p *piped) run(t *pipes) {
	t.touch()
	t.run(&p.farewell.client, &p.farewell.endpoint)
	p.done <- p.end()
}

func TestFarewellThatCannotBePolite(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []byte        // from the app
		then   []byte        // behind the farewell
		closed bool          // the client gets a Close frame
		reply  []byte        // to it
		after  time.Duration // of the farewell, both are closed
		reason error
	}{
		{"a frame does not end", frame(0x82, 500)[:400], nil, false, nil, patience, errLate},
		{"a head does not end", []byte{0x82, 127, 0}, nil, false, nil, patience, errLate},
		{"the client does not answer", frame(0x81, 2), nil, true, nil, patience, errLate},
		{"the app does not close", frame(0x81, 2), nil, true, maskedClose(1001), patience, errLate},
		{"they are no frames", []byte("garbage"), nil, false, nil, 0, errNoFrames},
		{"they are no frames any more", []byte{0x82, 126, 0}, []byte{125}, false, nil, 0, errNoFrames},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPiped()
				go p.run(&pipes{})
				p.app.Write(tt.before)
				expect(t, p.client, "the client", tt.before)
				began := time.Now()
				p.ask(errStopping)
				if tt.then != nil {
					p.app.Write(tt.then)
					expect(t, p.client, "the client", tt.then)
				}
				if tt.closed {
					expect(t, p.client, "the client", []byte(goingAway))
				}
				if tt.reply != nil {
					p.client.Write(tt.reply)
					expect(t, p.app, "the app", tt.reply)
				}
				expectEnd(t, p.app, "the app")
				expectEnd(t, p.client, "the client")
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if err := <-p.done; !errors.Is(err, errStopping) || !errors.Is(err, tt.reason) {
					t.Errorf("got %v, want %v because %v", err, errStopping, tt.reason)
				}
			})
		})
	}
}

// The client has the whole time to answer, however long the frame took.
func TestFarewellGivesTheClientItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPiped()
		go p.run(&pipes{})
		one := frame(0x82, 100)
		p.app.Write(one[:50])
		expect(t, p.client, "the client", one[:50])
		began := time.Now()
		p.ask(errLeaving)
		<-time.After(patience - time.Millisecond)
		p.app.Write(one[50:])
		expect(t, p.client, "the client", append(one[50:], goingAway...))
		expectEnd(t, p.client, "the client")
		p.app.Close()
		if took, want := time.Since(began), 2*patience-time.Millisecond; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
		if err := <-p.done; !errors.Is(err, errLeaving) {
			t.Errorf("got %v, want %v", err, errLeaving)
		}
	})
}

// The time for what was written last may be over when the farewell comes.
func TestFarewellToAWebsocketThatOnlyHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPiped()
		go p.run(&pipes{idle: time.Minute})
		p.app.Write(frame(0x81, 3))
		expect(t, p.client, "the client", frame(0x81, 3))
		for range 4 {
			<-time.After(30 * time.Second)
			p.client.Write(masked(0x81, 3))
			expect(t, p.app, "the app", masked(0x81, 3))
		}
		p.ask(errStopping)
		expect(t, p.client, "the client", []byte(goingAway))
		p.client.Close()
		p.app.Close()
		if err := <-p.done; err != errStopping {
			t.Errorf("got %v, want %v", err, errStopping)
		}
	})
}

// Whoever is next to write says the farewell that is pending.
func TestFarewellIsSaidByWhoComesFirst(t *testing.T) {
	for name, come := range map[string]func(c *clientEnd){
		"the one who asks":    func(c *clientEnd) { c.part() },
		"a frame":             func(c *clientEnd) { c.Write(frame(0x81, 3)) },
		"the endpoint's end":  func(c *clientEnd) { c.CloseWrite() },
		"a frame and its end": func(c *clientEnd) { c.Write(frame(0x81, 3)); c.CloseWrite() },
		"all":                 func(c *clientEnd) { c.Write(frame(0x81, 3)); c.part(); c.CloseWrite(); c.Write(frame(0x81, 3)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPiped()
			p.limit = time.NewTimer(time.Hour)
			p.why.Store(&errStopping)
			go func() {
				come(&p.farewell.client)
				p.farewell.client.Close()
			}()
			expect(t, p.client, "the client", []byte(goingAway))
			expectEnd(t, p.client, "the client")
		})
	}
}

// A client that takes nothing holds up neither who says farewell nor the end.
func TestFarewellToAClientThatTakesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	app, far := net.Pipe()
	defer app.Close()
	f := newFarewell(&halfCloser{near}, &halfCloser{far})
	f.patience = 50 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- (&pipes{}).run(&f.client, &f.endpoint) }()
	app.SetWriteDeadline(time.Now().Add(time.Second))
	for err == nil { // until the proxy has nowhere to put it
		_, err = app.Write(frame(0x82, 1<<16))
		app.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	}
	f.ask(errStopping)
	<-done
	if err := f.end(); !errors.Is(err, errStopping) || !errors.Is(err, errLate) {
		t.Errorf("got %v, want %v because %v", err, errStopping, errLate)
	}
}

// A tunnel that begins while its endpoint leaves hears of it at once.
func TestFarewellAsTheTunnelBegins(t *testing.T) {
	farewells := make(chan func())
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, switched)
		io.Copy(io.Discard, r)
	}), func(p *Proxy) { p.Transport = &leaving{p.Transport, farewells} })
	go func() { (<-farewells)() }()
	c, r := upgraded(t, e, nil)
	expect(t, r, "the client", []byte(goingAway))
	c.Write(maskedClose(1001))
	c.Close()
	e.noted(t, "going-away", errStopping)
}

// leavingListener accepts connections that know when their server leaves.
type leavingListener struct {
	net.Listener
	farewells chan func()
}

type leavingConn struct {
	net.Conn
	farewells chan func()
}

func (l *leavingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &leavingConn{c, l.farewells}, nil
}

func (c *leavingConn) OnFarewell(f func()) { c.farewells <- f }

func TestFarewellOfTheProxy(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err == nil {
			c.Read(r.Context())
			c.CloseNow()
		}
	})
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "over TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, addr)
			l := &leavingListener{farewells: make(chan func(), 1)}
			s := httptest.NewUnstartedServer(e.handler)
			l.Listener, s.Listener = s.Listener, l
			start(s)
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPClient: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			select {
			case f := <-l.farewells:
				f()
			case <-ctx.Done():
				t.Fatal("nobody asked the client's connection")
			}
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("the client got %v, want status 1001", err)
			}
			e.noted(t, "going-away", errLeaving)
		})
	}
}
