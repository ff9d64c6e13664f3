package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

// running is a server on loopback that a test can stop.
type running struct {
	*Server
	addr string
	stop func() error
}

// start serves h and stops at the end of the test.
func start(t *testing.T, s *Server, c StdConfig, p EntryPoint) running {
	t.Helper()
	if s.Engine == nil {
		s.Engine = func(EntryPoint) Engine { return NewStd(c) }
	}
	if p.Addr == "" {
		p.Addr = "127.0.0.1:0"
	}
	if err := s.Bind(p); err != nil {
		t.Fatal(err)
	}
	addr := s.EntryPoints()[0].Addr
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	var result error
	stopped := false
	stop := func() error {
		if cancel(); !stopped {
			result, stopped = <-ended, true
		}
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return running{s, addr, stop}
}

// dial connects, once the port is open.
func (r running) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	until := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.SetDeadline(until)
			t.Cleanup(func() { c.Close() })
			return c.(*net.TCPConn)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// ask sends one request and returns the status, 0 if the connection was closed.
func ask(c net.Conn, fields string) int {
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+fields+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func ok(w http.ResponseWriter, r *http.Request) {}

func TestBindAddresses(t *testing.T) {
	tests := []struct {
		addr  string
		dials []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1"}},
		{"localhost:0", []string{"localhost"}},
		{"0.0.0.0:0", []string{"127.0.0.1"}},
		{"[::1]:0", []string{"::1"}},
		{"[::]:0", []string{"::1", "127.0.0.1"}},
		{":0", []string{"::1", "127.0.0.1"}},
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil { // the fallback is what is left to see
		tests = []struct {
			addr  string
			dials []string
		}{{"127.0.0.1:0", []string{"127.0.0.1"}}, {":0", []string{"127.0.0.1"}}}
	} else {
		l.Close()
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{Addr: tt.addr})
			_, port, _ := net.SplitHostPort(r.addr)
			for _, host := range tt.dials {
				r.addr = net.JoinHostPort(host, port)
				if got := ask(r.dial(t), "Connection: close\r\n"); got != 200 {
					t.Errorf("%s over %s: status %d", tt.addr, host, got)
				}
			}
		})
	}
	for _, bad := range []string{"", "nonsense", "127.0.0.1:http:80", "127.0.0.1:99999", "192.0.2.1:0"} {
		if err := (&Server{}).Bind(EntryPoint{Addr: bad}); err == nil {
			t.Errorf("bound %q", bad)
		}
	}
}

func TestInheritedListenerIsServed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{Listener: ln})
	if got := ask(r.dial(t), ""); got != 200 {
		t.Errorf("status %d", got)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name   string
		limits Limits
		count  func(Stats) uint64
	}{
		{"total", Limits{Conns: 2}, func(s Stats) uint64 { return s.RefusedTotal }},
		{"per address", Limits{ConnsPerIP: 2}, func(s Stats) uint64 { return s.RefusedPerIP }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, &Server{Limits: tt.limits}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{})
			first, second := r.dial(t), r.dial(t)
			if ask(first, "") != 200 || ask(second, "") != 200 {
				t.Fatal("connections within the limit were refused")
			}
			if got := ask(r.dial(t), ""); got != 0 {
				t.Errorf("a connection too many got %d", got)
			}
			if st := r.Stats(); tt.count(st) != 1 || st.Conns != 2 || st.Accepted != 2 {
				t.Errorf("stats %+v", st)
			}
			first.CloseWrite() // the engine answers by closing, which frees the place
			io.Copy(io.Discard, first)
			until(t, func() bool { return r.Stats().Conns == 1 })
			if got := ask(r.dial(t), ""); got != 200 {
				t.Errorf("after a place was freed: %d", got)
			}
		})
	}
}

// until waits for what another goroutine is about to do.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
		runtime.Gosched()
	}
}

func TestHousehold(t *testing.T) {
	tests := []struct{ addr, want string }{
		{"203.0.113.9:1", "203.0.113.9"},
		{"[::ffff:203.0.113.9]:1", "203.0.113.9"},
		{"[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::"},
		{"[fe80::1%1]:1", "fe80::"},
	}
	for _, tt := range tests {
		a, err := net.ResolveTCPAddr("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := household(a); got.String() != tt.want {
			t.Errorf("household(%s) = %v, want %s", tt.addr, got, tt.want)
		}
	}
	if got := household(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("a unix socket counts as %v", got)
	}
}

func upgraded(t *testing.T, r running) *net.TCPConn {
	t.Helper()
	c := r.dial(t)
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if line, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil {
		t.Fatalf("upgrade: %q, %v", line, err)
	}
	return c
}

// echo takes the connection over and sends back what comes until it ends.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	io.Copy(conn, conn)
}

func TestShutdownWaitsForUpgradedConnections(t *testing.T) {
	r := start(t, &Server{Drain: time.Minute}, StdConfig{Handler: http.HandlerFunc(echo)}, EntryPoint{})
	c := upgraded(t, r)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	until(t, func() bool { _, err := net.Dial("tcp", r.addr); return err != nil })
	io.WriteString(c, "still here")
	buf := make([]byte, 64)
	for got := ""; !strings.HasSuffix(got, "still here"); {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("the upgraded connection ended while draining: %v", err)
		}
		got += string(buf[:n])
	}
	c.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if st := r.Stats(); st.CutAtShutdown != 0 || st.Conns != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestShutdownCutsWhatOutlastsTheDrain(t *testing.T) {
	var said string
	s := &Server{Drain: time.Millisecond, Log: func(msg string, err error) { said = msg }}
	r := start(t, s, StdConfig{Handler: http.HandlerFunc(echo)}, EntryPoint{})
	c := upgraded(t, r)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the upgraded connection was not cut")
	}
	if st := r.Stats(); st.CutAtShutdown != 1 || said == "" {
		t.Errorf("stats %+v, logged %q", st, said)
	}
	until(t, func() bool { return r.Stats().Conns == 0 })
}

// THREATS 27: a head that trickles is cut after HeadTimeout.
func TestSlowHeadIsCut(t *testing.T) {
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok), HeadTimeout: 20 * time.Millisecond}, EntryPoint{})
	for _, sent := range []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"} { // THREATS 26: idle after TCP, too
		c := r.dial(t)
		io.WriteString(c, sent)
		if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: not closed, got %q", sent, b)
		}
	}
}

// THREATS 27: clients that say half of what they want are in nobody's way.
func TestManySlowClientsHarmNobody(t *testing.T) {
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok), HeadTimeout: 3 * time.Second}, EntryPoint{})
	for range 400 {
		io.WriteString(r.dial(t), "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	}
	if got := ask(r.dial(t), "Connection: close\r\n"); got != 200 {
		t.Errorf("the good client got %d", got)
	}
	until(t, func() bool { return r.Stats().Conns == 0 })
}

// THREATS 27: a body that trickles is cut, whether or not the handler reads it.
func TestSlowBodyIsCut(t *testing.T) {
	for _, reads := range []bool{true, false} {
		failed := make(chan error, 1)
		h := func(w http.ResponseWriter, r *http.Request) {
			var err error
			if reads {
				_, err = io.ReadAll(r.Body)
			}
			failed <- err
		}
		r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(h), BodyGrace: 30 * time.Millisecond, MinBodyRate: 1 << 20}, EntryPoint{})
		c := r.dial(t)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
		if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reads %v: not closed, got %q", reads, b)
		}
		if err := <-failed; reads != errors.Is(err, errSlowBody) {
			t.Errorf("reads %v: the handler got %v", reads, err)
		}
	}
}

func TestBodyAtARateIsNotCut(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != r.ContentLength || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	}
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(h)}, EntryPoint{})
	c := r.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n")
	c.Write(make([]byte, 1<<20))
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("got %v, %v", res, err)
	}
}

// THREATS 27: a client that does not read is cut.
func TestSlowReaderIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	writes := map[string]http.HandlerFunc{
		"write":    func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 64<<20)) },
		"sendfile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) },
		"copy": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, io.LimitReader(zeros{}, 64<<20))
		},
	}
	for name, h := range writes {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{}, 1)
			r := start(t, &Server{Limits: Limits{Stall: 30 * time.Millisecond}}, StdConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h(w, r)
				ended <- struct{}{}
			})}, EntryPoint{})
			io.WriteString(r.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the handler is still writing")
			}
			if n := r.Stats().Stalled; n != 1 {
				t.Errorf("%d connections counted as stalled, want 1", n)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestFilesAndCopiesArriveWhole(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/file" {
			http.ServeFile(w, r, path)
			return
		}
		w.Header().Set("Content-Length", "320000")
		io.Copy(w, struct{ io.Reader }{bytes.NewReader(content)})
	}
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(h)}, EntryPoint{})
	for _, rq := range []struct{ path, fields, want string }{
		{"/file", "", string(content)},
		{"/file", "Range: bytes=65535-200000\r\n", string(content[65535:200001])},
		{"/copy", "", string(content)},
	} {
		c := r.dial(t)
		io.WriteString(c, "GET "+rq.path+" HTTP/1.1\r\nHost: x\r\n"+rq.fields+"\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != rq.want {
			t.Errorf("%s %s: %d bytes, %v, want %d", rq.path, rq.fields, len(body), err, len(rq.want))
		}
	}
}

func TestTLSEntryPoint(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	s := &Server{
		TLS:              &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"special", "http/1.1"}},
		HandshakeTimeout: 2 * time.Second, // a busy machine needs its time for the good ones
		ALPN: func(_ EntryPoint, protocol string) Engine {
			if protocol == "special" {
				return special{}
			}
			return nil
		},
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			w.WriteHeader(500)
		}
	}
	r := start(t, s, StdConfig{Handler: http.HandlerFunc(h)}, EntryPoint{TLS: true})

	plain := tls.Client(r.dial(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if got := ask(plain, ""); got != 200 {
		t.Errorf("http/1.1: status %d", got)
	}
	other := tls.Client(r.dial(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"special"}})
	if b, err := io.ReadAll(other); string(b) != "special" {
		t.Errorf("special: got %q, %v", b, err)
	}
	// THREATS 26: half a handshake does not hold a connection.
	halves := map[string]net.Conn{"": r.dial(t), "\x16\x03\x01\x02\x00\x01\x00": r.dial(t)}
	for sent, c := range halves {
		io.WriteString(c, sent)
	}
	for sent, c := range halves {
		if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: not closed, got %q", sent, b)
		}
	}
	until(t, func() bool { return r.Stats().Conns == 1 })
}

type special struct{}

func (special) ServeConn(c net.Conn)           { io.WriteString(c, "special"); c.Close() }
func (special) Shutdown(context.Context) error { return nil }
func (special) Close() error                   { return nil }

func TestTLSNeedsAConfiguration(t *testing.T) {
	if err := (&Server{}).Bind(EntryPoint{Name: "https", Addr: "127.0.0.1:0", TLS: true}); err == nil {
		t.Error("bound an entry point with TLS and no configuration")
	}
}

func TestErrorLogGetsLines(t *testing.T) {
	var got string
	l := lines(func(s string) { got = s })
	if n, err := l.Write([]byte("http: something\n")); n != 16 || err != nil || got != "http: something" {
		t.Errorf("wrote %d, %v, got %q", n, err, got)
	}
	if n, err := lines(nil).Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("without a func: %d, %v", n, err)
	}
}

// failing is a listener whose Accept fails with errs, one after the other.
type failing struct {
	errs []error
	n    int
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[f.n]
	f.n++
	return nil, err
}
func (f *failing) Close() error   { return nil }
func (f *failing) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptIsTriedAgainUntilThePortIsLost(t *testing.T) {
	lost := os.NewSyscallError("accept", syscall.EINVAL)
	ln := &failing{errs: []error{os.NewSyscallError("accept", syscall.EMFILE), os.NewSyscallError("accept", syscall.ECONNABORTED), lost}}
	var said []error
	s := &Server{
		Engine: func(EntryPoint) Engine { return NewStd(StdConfig{Handler: http.HandlerFunc(ok)}) },
		Log:    func(_ string, err error) { said = append(said, err) },
	}
	if err := s.Bind(EntryPoint{Name: "http", Listener: ln}); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background()); !errors.Is(err, lost) {
		t.Errorf("Serve: %v, want %v", err, lost)
	}
	if len(said) != 2 || !errors.Is(said[0], syscall.EMFILE) {
		t.Errorf("logged %v", said)
	}
}

func TestDeadlinesOfHandlersAreKept(t *testing.T) {
	failed := make(chan error, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
		_, err := w.Write(make([]byte, 1<<20))
		failed <- err
	}
	r := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(h)}, EntryPoint{})
	io.WriteString(r.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("written behind the handler's own deadline: %v", err)
	}
}

func TestConnectionsThatAreNotTCPAreServed(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, &Server{Limits: Limits{ConnsPerIP: 1}}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{Listener: ln})
	for range 2 { // without an address there is nobody to count
		c, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := ask(c, ""); got != 200 {
			t.Errorf("status %d", got)
		}
	}
	if st := r.Stats(); st.Conns != 2 {
		t.Errorf("stats %+v", st)
	}
}
