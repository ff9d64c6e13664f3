package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// talking serves talk as the session "talk".
func talking(t *testing.T, talk func(context.Context, *Session)) Client {
	t.Helper()
	return run(t, &Server{
		Actions: map[string]func(*http.Request) (any, error){"act": func(*http.Request) (any, error) { return nil, nil }},
		Sessions: map[string]func(*http.Request) (func(context.Context, *Session), error){
			"talk": func(*http.Request) (func(context.Context, *Session), error) { return talk, nil },
			"refused": func(*http.Request) (func(context.Context, *Session), error) {
				return nil, Status{409, errors.New("not now")}
			},
		},
	})
}

func open(t *testing.T, c Client) *Session {
	t.Helper()
	s, err := c.Open(context.Background(), "talk", map[string]string{"a": strings.Repeat("x", 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.SetDeadline(time.Now().Add(20 * time.Second))
	return s
}

func TestSessionPassesMessagesAndFiles(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := talking(t, func(_ context.Context, s *Session) {
		if pid, uid, err := s.Peer(); err != nil || pid != os.Getpid() || uid != os.Geteuid() {
			t.Errorf("the peer is %d of user %d, %v; want this process", pid, uid, err)
		}
		s.Send("without a file")
		s.Send(strings.Repeat("long ", 50_000), file, file)
		var said string
		for {
			if _, err := s.Receive(&said); err != nil {
				return
			}
			s.Send("echo " + said)
		}
	})
	s := open(t, c)
	var said string
	if files, err := s.Receive(&said); said != "without a file" || len(files) != 0 || err != nil {
		t.Errorf("first %q with %d files, %v", said, len(files), err)
	}
	files, err := s.Receive(&said)
	if len(said) != 250_000 || len(files) != 2 || err != nil {
		t.Fatalf("%d bytes with %d files, %v; want 250000 and two", len(said), len(files), err)
	}
	s.Send("more")
	if files, err := s.Receive(&said); said != "echo more" || len(files) != 0 || err != nil {
		t.Errorf("third %q with %d files, %v", said, len(files), err)
	}
	s.Close()

	// What came is the socket itself: it outlives the one it is a copy of.
	ln.Close()
	inherited, err := net.FileListener(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	files[0].Close()
	files[1].Close()
	go func() {
		if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			conn.Close()
		}
	}()
	conn, err := inherited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSessionsThatCannotBegin(t *testing.T) {
	c := talking(t, func(context.Context, *Session) {})
	ctx := context.Background()
	for name, want := range map[string]struct {
		code int
		says string
	}{
		"refused": {409, "not now"},
		"missing": {404, "another version"},
	} {
		_, err := c.Open(ctx, name, nil)
		var s Status
		if !errors.As(err, &s) || s.Code != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v, want %d %q", name, err, want.code, want.says)
		}
	}
	if _, err := c.Open(ctx, "act", nil); err == nil || !strings.Contains(err.Error(), "no session") {
		t.Errorf("of an action: %v", err)
	}
	if err := c.Get(ctx, "talk", nil, nil); err == nil || !strings.Contains(err.Error(), "GET is not allowed") {
		t.Errorf("by GET: %v", err)
	}
	if _, err := (Client{"/nonexistent/admin.sock"}).Open(ctx, "talk", nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a proxy: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Open(ended, "talk", nil); err == nil {
		t.Error("opened with a context that had ended")
	}
}

func TestSessionsEndWithTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := Listen(filepath.Join(t.TempDir(), "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	begun, returned := make(chan bool), false
	srv := &Server{Sessions: map[string]func(*http.Request) (func(context.Context, *Session), error){
		"talk": func(*http.Request) (func(context.Context, *Session), error) {
			return func(_ context.Context, s *Session) {
				begun <- true
				s.Receive(new(string))
				returned = true
			}, nil
		},
	}}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, ln) }()
	s := open(t, Client{ln.socket})
	<-begun
	cancel()
	if err := <-ended; err != nil || !returned {
		t.Errorf("Serve: %v, the session has returned: %v", err, returned)
	}
	if _, err := s.Receive(new(string)); !errors.Is(err, io.EOF) {
		t.Errorf("the other side got %v, want io.EOF", err)
	}
}

func TestASocketTakesAnothersPlace(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "data", "admin.sock")
	old, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	next, err := ListenBeside(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(next.path); err != nil || info.Mode() != 0o600|os.ModeSocket {
		t.Errorf("beside: %v, %v, want a socket of mode 0600", info, err)
	}
	answersFrom := func(l *Listener) bool {
		t.Helper()
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l.SetDeadline(time.Now().Add(20 * time.Second))
		there, err := l.Accept()
		if err == nil {
			there.Close()
		}
		return err == nil
	}
	if !answersFrom(old) {
		t.Error("the old one does not answer before the new one is published")
	}
	if err := next.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if !answersFrom(next) {
		t.Error("the new one does not answer")
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(socket)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A takeover that was killed leaves a socket beside, which the next one replaces.
func TestASocketBesideIsReplacedIfItIsStale(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	killed, err := ListenBeside(socket)
	if err != nil {
		t.Fatal(err)
	}
	killed.UnixListener.Close() // without removing its file
	next, err := ListenBeside(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(socket), ".other.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenBeside(filepath.Join(filepath.Dir(socket), "other.sock")); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("another file in the place: %v", err)
	}
}
