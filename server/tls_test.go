package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// secure serves h over TLS until the test ends, and returns the address.
func secure(t *testing.T, change func(*Server, *StdConfig), h http.HandlerFunc) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"app.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	std := StdConfig{Handler: h}
	s := &Server{
		TLS:   &tls.Config{NextProtos: []string{"h2", "http/1.1", "acme-tls/1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		Drain: 5 * time.Second,
		ALPN: func(_ EntryPoint, protocol string) Engine {
			if protocol == "acme-tls/1" {
				return Hangup{}
			}
			return nil
		},
	}
	if change != nil {
		change(s, &std)
	}
	if s.Engine == nil {
		s.Engine = func(EntryPoint) Engine { return NewStd(std) }
	}
	if err := s.Bind(EntryPoint{Name: "https", Addr: "127.0.0.1:0", TLS: true}); err != nil {
		t.Fatal(err)
	}
	addr := s.EntryPoints()[0].Addr
	serving := make(chan struct{})
	s.Serving = func() { close(serving) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	select { // without asking the port: a connection would be one of those that tests count
	case <-serving:
	case err := <-ended:
		ended <- err
		t.FailNow() // the cleanup says why
	}
	return addr
}

func clientOf(t *testing.T, addr string, h2 bool) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	tr := &http.Transport{Protocols: &p, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestTLSCarriesBothProtocols(t *testing.T) {
	addr := secure(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || r.TLS.ServerName != "app.test" {
			t.Errorf("the handler sees TLS %v", r.TLS)
		}
		switch r.URL.Path {
		case "/echo":
			w.Header().Set("Trailer", "X-Sum")
			n, err := io.Copy(w, r.Body)
			if err != nil {
				t.Errorf("body: %v", err)
			}
			w.Header().Set("X-Sum", fmt.Sprint(n))
		case "/hijack":
			if _, _, err := http.NewResponseController(w).Hijack(); (err == nil) != (r.ProtoMajor == 1) {
				t.Errorf("Hijack over %s: %v", r.Proto, err)
			}
		default:
			fmt.Fprint(w, r.Proto)
		}
	})
	for _, h2 := range []bool{false, true} {
		c := clientOf(t, addr, h2)
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		res, err := c.Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != want || res.Proto != want {
			t.Errorf("h2 %v: handler saw %s, client %s, want %s", h2, body, res.Proto, want)
		}
		large := bytes.Repeat([]byte("x"), 3<<20)
		res, err = c.Post("https://app.test/echo", "text/plain", bytes.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.Equal(body, large) || res.Trailer.Get("X-Sum") != fmt.Sprint(len(large)) {
			t.Errorf("h2 %v: %d bytes came back, trailer %v, %v", h2, len(body), res.Trailer, err)
		}
		if h2 {
			if res, err = c.Get("https://app.test/hijack"); err == nil {
				res.Body.Close()
			}
		}
	}
}

func TestH2LimitsTheHead(t *testing.T) {
	addr := secure(t, func(_ *Server, c *StdConfig) { c.MaxHeadBytes = 8 << 10 }, func(w http.ResponseWriter, r *http.Request) {})
	r, _ := http.NewRequest("GET", "https://app.test/", nil)
	res, err := clientOf(t, addr, true).Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("a head of ordinary size: %v, want it served", err)
	}
	res.Body.Close()
	r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	if res, err = clientOf(t, addr, true).Do(r); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a head of 64 KiB with a limit of 8: %d, want 431 or no answer", res.StatusCode)
		}
	}
}

func TestH2ShutdownFinishesWhatRuns(t *testing.T) {
	release, running := make(chan struct{}), make(chan struct{})
	var s *Server
	addr := secure(t, func(own *Server, _ *StdConfig) { s = own }, func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-release
		fmt.Fprint(w, "done")
	})
	got := make(chan string, 1)
	c := clientOf(t, addr, true)
	go func() {
		res, err := c.Get("https://app.test/")
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(body)
	}()
	select {
	case <-running:
	case text := <-got:
		t.Fatalf("the request ended before it ran: %s", text)
	}
	over := make(chan struct{})
	go func() { s.drain(context.Background(), false, func() {}); close(over) }()
	select {
	case <-over:
		t.Error("the drain did not wait for the request")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if text := <-got; text != "done" {
		t.Errorf("the request that ran got %q, want its answer", text)
	}
	<-over
}

// Clients that stop in the middle of a handshake, or of what comes before, are
// closed in time and leave nothing behind (CVE-2026-22045, docs/threats.md 26).
func TestThreat26StalledHandshakesAreClosed(t *testing.T) {
	before := runtime.NumGoroutine()
	var srv *Server
	addr := secure(t, func(s *Server, c *StdConfig) {
		srv = s
		s.HandshakeTimeout = 500 * time.Millisecond
		c.HeadTimeout = 500 * time.Millisecond
	}, func(w http.ResponseWriter, r *http.Request) {})
	hello := func(protos ...string) []byte { // a whole ClientHello
		ours, theirs := net.Pipe()
		defer ours.Close()
		go tls.Client(theirs, &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, NextProtos: protos}).Handshake()
		buf := make([]byte, 8<<10)
		n, _ := io.ReadAtLeast(ours, buf, 200)
		theirs.Close()
		return buf[:n]
	}
	whole, challenge := hello("h2"), hello("acme-tls/1")
	stalls := map[string][]byte{
		"nothing": {}, "half a record": whole[:3], "half a hello": whole[:len(whole)/2], "a hello": whole, "acme-tls/1 and silence": challenge, "postgres": {0, 0, 0, 8, 4, 210, 22, 47},
	}
	for name, data := range stalls {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(data)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: still open after 20 s", name)
		}
		c.Close()
	}
	trickle(t, addr, whole)
	// Postgres is no TLS.
	if st := srv.Stats(); st.HandshakeTimeouts != uint64(len(stalls)) || st.HandshakeFailures != 1 {
		t.Errorf("stats %+v, want %d handshakes that timed out and 1 that failed", st, len(stalls))
	}
	done, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
	if err != nil {
		t.Fatal(err)
	}
	done.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := done.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("after a whole acme-tls/1 handshake: %d bytes, %v, want it closed", n, err)
	}
	done.Close()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); runtime.NumGoroutine() > before+4; { // server and its accept loop
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// trickle sends data byte by byte, for longer than a handshake may take, until
// it is cut.
func trickle(t *testing.T, addr string, data []byte) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; data = data[1:] {
		if len(data) == 1 {
			t.Fatal("all was sent before the connection was cut")
		}
		if _, err := c.Write(data[:1]); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("a hello that trickles: still open after 20 s")
		}
	}
}

// A client that opens streams and resets them at once gets no more work done
// than others (CVE-2023-44487), and others do not notice.
func TestThreat28RapidResetIsBounded(t *testing.T) {
	var running, most atomic.Int64
	addr := secure(t, nil, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	go io.Copy(io.Discard, c)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, field := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/slow"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "app.test"}} {
		enc.WriteField(field)
	}
	good := clientOf(t, addr, true)
	for i := range uint32(20000) {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true}) != nil || f.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // cut: that is a good answer
		}
		if i%2000 == 0 {
			res, err := good.Get("https://app.test/")
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("a good client meanwhile: %v", err)
			}
			res.Body.Close()
		}
	}
	if n := most.Load(); n > 300 {
		t.Errorf("%d requests ran at once for one connection, want at most the 250 streams it may have, and the good client's", n)
	}
}
