package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// engine stands in for the Docker engine and says what reached it.
func engine(t *testing.T) filterConfig {
	sock := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "engine got %s %s\n", r.Method, r.RequestURI)
		if r.URL.Path == "/events" {
			http.NewResponseController(w).Flush()
			<-release // an event stream does not end by itself
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { close(release); srv.Close() })
	return filterConfig{Network: "unix", Address: sock}
}

func TestFilterPassesOnlyWhatTheProxyReads(t *testing.T) {
	srv := httptest.NewServer(newFilter(engine(t)))
	defer srv.Close()
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/_ping", 200},
		{"HEAD", "/_ping", 200},
		{"GET", "/v1.41/version", 200},
		{"GET", "/v1.51/containers/json?all=1", 200},
		{"GET", "/v1.41/containers/3f5e/json", 200},
		{"GET", "/v1.41/containers/shop_web.1-a/json", 200},
		{"GET", "/networks", 200},
		{"GET", "/services", 200},
		{"GET", "/services/x", 403},
		{"POST", "/v1.41/containers/create", 403},
		{"POST", "/v1.41/containers/json", 403},
		{"DELETE", "/v1.41/containers/3f5e", 403},
		{"GET", "/v1.41/containers/3f5e/archive?path=/etc/shadow", 403},
		{"GET", "/v1.41/containers/3f5e/logs?stdout=1", 403},
		{"GET", "/v1.41/containers/../images/json", 403},
		{"GET", "/v1.41/containers/%2e%2e/json", 403},
		{"GET", "/v1.41/containers/a%2fb/json", 403},
		{"GET", "/v1.41//containers/json", 403},
		{"GET", "/v1.41/secrets", 403},
		{"GET", "/networks/x", 403},
		{"GET", "/", 403},
	} {
		resp := raw(t, srv, c.method+" "+c.target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: got %d, want %d", c.method, c.target, resp.StatusCode, c.want)
		}
	}
}

func TestFilterRefusesBodiesAndUpgrades(t *testing.T) {
	srv := httptest.NewServer(newFilter(engine(t)))
	defer srv.Close()
	for name, head := range map[string]string{
		"length":  "Content-Length: 3\r\n\r\nabc",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"upgrade": "Connection: upgrade\r\nUpgrade: tcp\r\n\r\n",
	} {
		if resp := raw(t, srv, "GET /_ping HTTP/1.1\r\nHost: x\r\n"+head); resp.StatusCode != 403 {
			t.Errorf("%s: got %d, want 403", name, resp.StatusCode)
		}
	}
}

func TestArchivePassesOnlyWhenAsked(t *testing.T) {
	cfg := engine(t)
	cfg.Archive = true
	srv := httptest.NewServer(newFilter(cfg))
	defer srv.Close()
	if resp := raw(t, srv, "GET /containers/a/archive?path=/srv HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
}

func TestEventsArriveWhileTheStreamIsOpen(t *testing.T) {
	srv := httptest.NewServer(newFilter(engine(t)))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || got != "engine got GET /events\n" {
		t.Errorf("got %q, %v, want the first event at once", got, err)
	}
}

func TestSocketReplacesAnOldOneAndIsNotOpenToAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "filtered.sock")
	for range 2 {
		l, err := open("unix://"+path, "0660", os.Getgid())
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill -9
		l.Close()
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o660 {
		t.Errorf("got permissions %o, want 660", got)
	}
}

// raw sends bytes as they are: http.Client would clean the targets.
func raw(t *testing.T, srv *httptest.Server, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
