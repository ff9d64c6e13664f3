package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// net/http lingers for half a second on connections it closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// run serves s on a socket until the end of the test.
func run(t *testing.T, s *Server) Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "data", "admin.sock")
	ln, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket was left behind: %v", err)
		}
	})
	return Client{socket}
}

func TestSourcesAndActions(t *testing.T) {
	c := run(t, &Server{
		Sources: map[string]func(*http.Request) (any, error){
			"explain": func(r *http.Request) (any, error) { return map[string]string{"url": r.FormValue("url")}, nil },
			"broken":  func(*http.Request) (any, error) { return nil, errors.New("no table yet") },
			"bad":     func(*http.Request) (any, error) { return nil, Status{400, errors.New("url is missing")} },
			"odd":     func(*http.Request) (any, error) { return func() {}, nil },
		},
		Actions: map[string]func(*http.Request) (any, error){
			"retry": func(r *http.Request) (any, error) {
				var in struct{ Host string }
				err := json.NewDecoder(r.Body).Decode(&in)
				return "retried " + in.Host, err
			},
		},
	})
	ctx := context.Background()
	var explained map[string]string
	if err := c.Get(ctx, "explain", url.Values{"url": {"http://a.ex/?b=c&d"}}, &explained); err != nil || explained["url"] != "http://a.ex/?b=c&d" {
		t.Errorf("explain: %v, %v", explained, err)
	}
	var said string
	if err := c.Post(ctx, "retry", nil, map[string]string{"Host": "a.ex"}, &said); err != nil || said != "retried a.ex" {
		t.Errorf("retry: %q, %v", said, err)
	}
	tests := []struct {
		name string
		post bool
		code int
		says string
	}{
		{"broken", false, 500, "no table yet"},
		{"bad", false, 400, "url is missing"},
		{"odd", false, 500, "unsupported type"},
		{"missing", false, 404, "another version"},
		{"retry", false, 405, "GET is not allowed"},
		{"explain", true, 405, "POST is not allowed"},
	}
	for _, tt := range tests {
		err := c.Get(ctx, tt.name, nil, nil)
		if tt.post {
			err = c.Post(ctx, tt.name, nil, nil, nil)
		}
		var s Status
		if !errors.As(err, &s) || s.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %d %q", tt.name, err, tt.code, tt.says)
		}
	}
	if err := c.Get(ctx, "explain", nil, new(int)); err == nil {
		t.Error("read an object into an int")
	}
}

func TestHealthAndReady(t *testing.T) {
	var why error
	c := run(t, &Server{Ready: func() error { return why }})
	ctx := context.Background()
	if err := c.Get(ctx, "health", nil, nil); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := c.Get(ctx, "ready", nil, nil); err != nil {
		t.Errorf("ready: %v", err)
	}
	why = errors.New("no list of containers yet")
	var s Status
	if err := c.Get(ctx, "ready", nil, nil); !errors.As(err, &s) || s.Code != 503 || err.Error() != why.Error() {
		t.Errorf("not ready: %v", err)
	}
	if err := c.Get(ctx, "health", nil, nil); err != nil {
		t.Errorf("health while not ready: %v", err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	c := run(t, &Server{})
	for path, want := range map[string]os.FileMode{c.Socket: 0o600 | os.ModeSocket, filepath.Dir(c.Socket): 0o700 | os.ModeDir} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", filepath.Base(path), info.Mode(), err, want)
		}
	}
}

func TestSecondProxyIsRefused(t *testing.T) {
	c := run(t, &Server{})
	if ln, err := Listen(c.Socket); err == nil || !strings.Contains(err.Error(), "another fairlead is running on "+c.Socket) {
		t.Errorf("got %v, %v", ln, err)
	}
	if err := c.Get(context.Background(), "health", nil, nil); err != nil {
		t.Errorf("the first one does not answer any more: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	old, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false) // as a process that was killed leaves it
	old.Close()
	ln, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

func TestOtherFilesAreNotReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file holds %q", b)
	}
	if _, err := Listen(filepath.Join(file, "below", "admin.sock")); err == nil {
		t.Error("made a directory below a file")
	}
}

func TestClientSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	for _, socket := range []string{filepath.Join(dir, "none.sock"), stale} {
		err := Client{socket}.Get(context.Background(), "status", nil, nil)
		if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "no fairlead answers on "+socket+": is it running? --admin") {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (Client{stale}).Get(ctx, "status", nil, nil); err == nil {
		t.Error("asked with a context that had ended")
	}
}

// THREATS 42: what a web page can send is refused.
func TestWebPagesAreRefused(t *testing.T) {
	called := false
	f := func(*http.Request) (any, error) { called = true; return nil, nil }
	s := &Server{
		Sources: map[string]func(*http.Request) (any, error){"routes": f},
		Actions: map[string]func(*http.Request) (any, error){"drain": f},
	}
	tests := []struct {
		name, method, host, field, value string
	}{
		{"rebinding", "GET", "evil.example", "", ""},
		{"rebinding to a subdomain", "GET", "fairlead.evil.example", "", ""},
		{"host with port", "GET", "fairlead:80", "", ""},
		{"no host", "GET", "", "", ""},
		{"origin", "GET", "fairlead", "Origin", "https://evil.example"},
		{"null origin", "GET", "fairlead", "Origin", "null"},
		{"own origin", "POST", "fairlead", "Origin", "http://fairlead"},
		{"cross-site", "GET", "localhost", "Sec-Fetch-Site", "cross-site"},
		{"same-site", "GET", "localhost", "Sec-Fetch-Site", "same-site"},
		{"simple post", "POST", "fairlead", "Content-Type", "text/plain"},
		{"form", "POST", "fairlead", "Content-Type", "application/x-www-form-urlencoded"},
		{"no type", "POST", "fairlead", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, map[string]string{"GET": "/routes", "POST": "/drain"}[tt.method], nil)
			r.Host = tt.host
			if tt.field != "" {
				r.Header.Set(tt.field, tt.value)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != 403 || called {
				t.Errorf("status %d, called %v", w.Code, called)
			}
		})
	}
	for _, path := range []string{"/routes/../drain", "/routes/", "//routes", "/ROUTES"} { // one exact name, no boundaries to confuse
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.URL.Path = Host, path
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 404 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	c := run(t, &Server{Actions: map[string]func(*http.Request) (any, error){
		"read": func(r *http.Request) (any, error) {
			n, err := io.Copy(io.Discard, r.Body)
			return n, err
		},
	}})
	if err := c.Post(context.Background(), "read", nil, strings.Repeat("x", maxBody), nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	s := &Server{
		Sources: map[string]func(*http.Request) (any, error){"both": nil, "get": func(*http.Request) (any, error) { return nil, nil }},
		Actions: map[string]func(*http.Request) (any, error){"post": func(*http.Request) (any, error) { return nil, nil }},
	}
	s.Sources["both"], s.Actions["both"] = s.Sources["get"], s.Actions["post"]
	for path, want := range map[string]string{"/get": "GET, HEAD", "/post": "POST", "/both": "GET, HEAD, POST", "/ready": "GET, HEAD"} {
		r := httptest.NewRequest("DELETE", path, nil)
		r.Host = Host
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got := w.Header().Get("Allow"); w.Code != 405 || got != want {
			t.Errorf("%s: %d, Allow %q, want %q", path, w.Code, got, want)
		}
	}
}

func ExampleClient() {
	err := Client{"/nonexistent/admin.sock"}.Get(context.Background(), "status", nil, nil)
	fmt.Println(err)
	// Output: no fairlead answers on /nonexistent/admin.sock: is it running? --admin names another socket (not running)
}
