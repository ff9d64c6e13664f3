package peers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is a run in a directory of the test.
func config(t *testing.T) Config {
	dir := t.TempDir()
	c := Config{
		Dir: dir, Hosts: []string{"a.bench.test", "b.bench.test"}, AccessLog: true,
		Plain: netip.MustParseAddrPort("127.0.0.1:1001"), TLS: netip.MustParseAddrPort("127.0.0.1:1002"),
		Admin: netip.MustParseAddrPort("127.0.0.1:1003"), Origin: netip.MustParseAddrPort("127.0.0.1:1004"),
		Cert: filepath.Join(dir, "the.cert"), Key: filepath.Join(dir, "the.key"),
	}
	for _, path := range []string{c.Cert, c.Key} {
		if err := os.WriteFile(path, []byte("PEM\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// told is all that a peer is told: its files and its arguments.
func told(t *testing.T, p *Peer, c Config) string {
	t.Helper()
	if err := p.Prepare(c); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	text := strings.Join(p.Args(c), " ") + "\n"
	paths, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

func everyPeer(t *testing.T) []*Peer {
	t.Helper()
	all, err := Parse("nginx, nginx-tuned,haproxy,caddy,traefik=/opt/traefik")
	if err != nil || len(all) != len(known) {
		t.Fatalf("got %d peers, %v: want %d", len(all), err, len(known))
	}
	return append(all, Ours("bin/fairlead", "std"))
}

// What they do with it is checked against the running proxy before each
// measurement; here, that nothing was left out of what they are told.
func TestEveryPeerIsToldOfEveryHostAndAddress(t *testing.T) {
	for _, p := range everyPeer(t) {
		c := config(t)
		text := told(t, p, c)
		for _, want := range []string{"a.bench.test", "b.bench.test", "1001", "1002", c.Origin.String()} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not told of %s:\n%s", p.Name, want, text)
			}
		}
		if p.Metrics != "" && !strings.Contains(text, c.Admin.String()) {
			t.Errorf("%s is not told where its metrics are to be:\n%s", p.Name, text)
		}
		if logs := strings.Contains(text, c.LogFile()) || p.LogsToStdout; !logs {
			t.Errorf("%s is not told of the access log:\n%s", p.Name, text)
		}
	}
}

func TestWithoutLogAndTLSThereIsNone(t *testing.T) {
	for _, p := range everyPeer(t) {
		c := config(t)
		c.AccessLog, c.TLS = false, netip.AddrPort{}
		text := told(t, p, c)
		for _, not := range []string{c.LogFile(), "option httplog", "1002", "invalid", "websecure"} {
			if strings.Contains(text, not) {
				t.Errorf("%s is told of %s:\n%s", p.Name, not, text)
			}
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse(" nginx,traefik=/opt/traefik=2,")
	if err != nil || len(got) != 2 || got[0].Binary != "nginx" || got[1].Name != "traefik" || got[1].Binary != "/opt/traefik=2" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := Parse(""); err != nil || len(got) != 0 {
		t.Errorf("nothing: got %v, %v", got, err)
	}
	if _, err := Parse("ngnix"); err == nil {
		t.Error("an unknown name: want an error")
	}
}

func TestAMissingBinaryIsSaid(t *testing.T) {
	p := &Peer{Name: "x", Binary: filepath.Join(t.TempDir(), "none")}
	if err := p.Find(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "none") {
		t.Errorf("got %v, want %v and its path", err, ErrMissing)
	}
	p = &Peer{Name: "sh", Binary: "sh", Version: []string{"-c", "echo one; echo two"}}
	if err := p.Find(); err != nil || !filepath.IsAbs(p.Binary) {
		t.Errorf("sh: %q, %v: want its path", p.Binary, err)
	}
	if got := p.VersionText(t.Context()); got != "one" {
		t.Errorf("version %q, want the first line", got)
	}
}

func TestOursHasAnEngineWithFilesAlone(t *testing.T) {
	c := config(t)
	c.Site = "/srv/the-site"
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- runEngine(ctx, c, func() { close(ready) }) }()
	<-ready
	for path, want := range map[string]string{
		"/v1.44/containers/json?all=1": FilesHost, "/v1.44/containers/" + filesContainer + "/json": c.Site, "/v1.44/networks": "127.0.0.1", "/_ping": "OK",
	} {
		b, err := Get(ctx, unixClient(c.path("engine.sock")), "http://x"+path)
		if !strings.Contains(string(b), want) || err != nil {
			t.Errorf("%s: %q, %v: want %q in it", path, b, err, want)
		}
		if path != "/_ping" && !json.Valid(b) {
			t.Errorf("%s: %q is no JSON", path, b)
		}
	}
	if _, err := Get(ctx, unixClient(c.path("engine.sock")), "http://x/v1.44/containers/a/json"); err == nil {
		t.Error("another container: want none")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAllocationsAreReadFromMetrics(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("# TYPE go_memstats_mallocs_total counter\ngo_memstats_mallocs_total 1.234567e+06\nother 1\n"))
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	c := Config{Admin: netip.MustParseAddrPort(srv.Listener.Addr().String())}
	if n, err := prometheusMallocs("/metrics")(t.Context(), c); n != 1234567 || err != nil {
		t.Errorf("got %d, %v: want 1234567", n, err)
	}
	if _, err := parseMallocs([]byte("other 1\n")); err == nil {
		t.Error("no such counter: want an error")
	}
}
