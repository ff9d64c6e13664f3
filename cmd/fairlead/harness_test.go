package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/internal/acmetest"
	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/internal/servertest"
)

// asProgram in the environment makes the test binary be the program itself.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	poison = true
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, acmetest.LeakOptions()...)
}

// patience is how long a condition may take to come true on a busy machine.
const patience = 20 * time.Second

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so after %s: %s", limit, what)
		}
	}
}

// A world is an engine whose containers have loopback addresses, on which apps
// of the test listen, and the proxies that run in it.
type world struct {
	testing.TB
	engine *dockertest.Engine
	port   int // on which every app listens
	dir    string
}

var subnets atomic.Int32

// newWorld starts an engine. Its network "here" has this machine as gateway,
// so that addresses of containers count as reachable; they are on "apps".
func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{TB: t, engine: dockertest.New(t), port: freePort(t), dir: dir}
	w.engine.AddNetwork(dockertest.Network{Name: "here", Subnet: "127.0.0.0/16"})
	w.engine.AddNetwork(dockertest.Network{Name: "apps", Subnet: fmt.Sprintf("127.%d.0.0/16", 16+subnets.Add(1)%200)})
	t.Cleanup(func() {
		for call, n := range w.engine.Calls() {
			if call.Method != http.MethodGet || call.Endpoint == "" {
				t.Errorf("the engine got %d calls %s %q, want only GET on the listed paths", n, call.Method, call.Endpoint)
			}
		}
	})
	return w
}

var ports sync.Map // that were given out

// freePort returns a port that is free on all addresses, and no other test's.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		// Below the range from which the kernel takes ports of outgoing connections.
		port := 10000 + rand.IntN(22000)
		if port == 11211 || port == 27017 {
			continue // which no app serves HTTP on, as spec knows
		}
		ln, err := net.Listen("tcp4", "0.0.0.0:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		ln.Close()
		if _, taken := ports.LoadOrStore(port, true); !taken {
			return port
		}
	}
}

// A proxy is the whole program, wired as the command run does it.
type proxy struct {
	testing.TB
	*process
	addr   string // of the first entry point
	addrs  map[string]string
	logs   string // path of the process log
	access string // path of the access log
	admin  admin.Client
	args   []string
	client *http.Client
	stop   func() // as SIGTERM, and waits; further calls do nothing
}

// start runs a proxy that has read the containers.
func (w *world) start(args ...string) *proxy {
	w.Helper()
	p := w.startUnready(args...)
	p.awaitReady()
	return p
}

func (p *proxy) awaitReady() {
	p.Helper()
	eventually(p, "ready", func() bool { return p.ready() == nil && p.accepts() })
}

// accepts reports whether every entry point does.
func (p *proxy) accepts() bool {
	for _, addr := range p.addrs {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
	}
	return true
}

var stderr sync.Mutex // guards os.Stderr, to which newProcess logs

// startUnready runs a proxy and does not wait for it.
func (w *world) startUnready(args ...string) *proxy {
	w.Helper()
	p := w.prepare(args...)
	p.begin()
	return p
}

// prepare returns a proxy that is wired and does not run yet.
func (w *world) prepare(args ...string) *proxy {
	w.Helper()
	dir, err := os.MkdirTemp(w.dir, "p")
	if err != nil {
		w.Fatal(err)
	}
	args = append([]string{
		"--docker-host", w.engine.Host(), "--http", "127.0.0.1:0", "--https", "off", "--data-dir", filepath.Join(dir, "data"),
		"--access-log", filepath.Join(dir, "access.log"), "--log-format", "json", "--log-level", "debug", "--shutdown-timeout", "2s",
		"--engine", servertest.Name(),
	}, args...)
	p := &proxy{TB: w.TB, logs: filepath.Join(dir, "log"), access: filepath.Join(dir, "access.log"), args: args, addrs: map[string]string{}}
	s, unknown := parseSettings(w, args)
	p.process = newQuietProcess(w, s, unknown, p.logs)
	for i, e := range p.server.EntryPoints() {
		if p.addrs[e.Name] = e.Addr; i == 0 {
			p.addr = e.Addr
		}
	}
	p.admin = admin.Client{Socket: adminSocket(s.admin, s.dataDir)}
	p.client = p.newClient()
	return p
}

// begin runs p until the test ends.
func (p *proxy) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.Errorf("run = %v, want nil when it is told to stop", err)
		}
	})
	p.Cleanup(p.stop)
	p.Cleanup(func() {
		p.client.CloseIdleConnections()
		if p.Failed() {
			p.Logf("the end of the log:\n%s", p.lastLog(40))
		}
	})
}

// parseSettings reads flags as the command does. The first of --http and of
// --https that a test gives replaces that of the harness.
func parseSettings(t testing.TB, args []string) (*settings, []string) {
	t.Helper()
	var s settings
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	if len(s.http) > 1 {
		s.http = s.http[1:]
	}
	if len(s.https) > 1 {
		s.https = s.https[1:]
	}
	return &s, unused(f)
}

func newQuietProcess(t testing.TB, s *settings, unknown []string, logs string) *process {
	t.Helper()
	p, err := newLoggingProcess(s, unknown, logs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newLoggingProcess is newProcess with another standard error.
func newLoggingProcess(s *settings, unknown []string, logs string) (*process, error) {
	stderr.Lock()
	defer stderr.Unlock()
	f, err := os.Create(logs)
	if err != nil {
		return nil, err
	}
	old := os.Stderr
	os.Stderr = f
	defer func() { os.Stderr = old }()
	return newProcess(s, unknown)
}

// newClient returns a client to which every host is the proxy.
func (p *proxy) newClient() *http.Client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", p.addr) },
			MaxIdleConnsPerHost: 64, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// lines returns the lines of the process log with every part in them.
func (p *proxy) lines(parts ...string) []string { return linesWith(p.logs, parts) }

// accessLines is lines for the access log.
func (p *proxy) accessLines(parts ...string) []string { return linesWith(p.access, parts) }

func linesWith(path string, parts []string) []string {
	b, _ := os.ReadFile(path)
	var out []string
	for line := range strings.Lines(string(b)) {
		ok := true
		for _, part := range parts {
			ok = ok && strings.Contains(line, part)
		}
		if ok {
			out = append(out, line)
		}
	}
	return out
}

func (p *proxy) lastLog(n int) string {
	all := p.lines()
	return strings.Join(all[max(0, len(all)-n):], "")
}

// view returns what the command routes would be told.
func (p *proxy) view() *routesView {
	p.Helper()
	var v routesView
	if err := p.admin.Get(context.Background(), "routes", nil, &v); err != nil {
		p.Fatalf("routes: %v", err)
	}
	return &v
}

// problem returns the first problem with that code, nil if there is none.
func (v *routesView) problem(code string) string {
	for _, q := range v.Problems {
		if q.Code == code {
			return q.String()
		}
	}
	return ""
}

// awaitProblem waits until a problem with code is shown and returns its words.
func (p *proxy) awaitProblem(code string) string {
	p.Helper()
	var found string
	eventually(p, "problem "+code, func() bool { found = p.view().problem(code); return found != "" })
	return found
}

// command runs a command as a user would, and returns what it wrote and said.
func command(args ...string) (out string, err error) {
	stderr.Lock() // cobra reads it
	defer stderr.Unlock()
	var b bytes.Buffer
	c := map[string]func() *cobra.Command{"check": checkCommand, "health": healthCommand, "routes": routesCommand, "explain": explainCommand, "ca": caCommand, "certs": certsCommand, "drain": drainCommand, "undrain": undrainCommand, "maintenance": maintenanceCommand, "labels": labelsCommand, "upgrade": upgradeCommand}[args[0]]()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args[1:])
	c.SetOut(&b)
	c.SetErr(&b)
	err = c.Execute()
	return b.String(), err
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
