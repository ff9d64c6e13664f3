// Package dockertest is a Docker engine's API for tests. It keeps a model of
// containers and networks whose changes send the events a real engine sends, in
// the same order and with the same attributes (recorded from 20.10), and it
// produces faults on demand: slow, failing, hanging and vanishing answers, lost
// events, cut streams, addresses handed on.
package dockertest

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Endpoints, as faults and counts name them.
const (
	Ping     = "ping"
	Info     = "info"
	Version  = "version"
	Events   = "events"
	List     = "list"
	Inspect  = "inspect"
	Networks = "networks"
	Services = "services"
	Archive  = "archive"
)

// An Engine serves the API on a unix socket until its test ends. All methods
// may be called concurrently.
type Engine struct {
	socket string
	tcp    string // address, for an Engine on TCP

	archives archives

	mu         sync.Mutex // guards everything below
	containers map[string]*Container
	networks   map[string]*Network // by name
	services   map[string]*Service // by id
	manager    bool
	serial     int
	history    []message // the last ones, for since
	streams    map[*stream]bool
	opening    int        // streams that were answered and are not in streams yet
	opened     *sync.Cond // that opening is less
	replay     *state     // answers instead of the model
	server     *http.Server
	faults     map[string]*fault
	calls      map[Call]int
	lost       func(action, id string) bool
	getOnly    bool
	hidden     bool
	min, max   string
}

// A Call is one kind of request.
type Call struct{ Method, Endpoint string }

type fault struct {
	delay  time.Duration
	status int
	match  string
	hang   chan struct{} // closed when it is over
	hook   func()
}

// New starts an engine with the network "bridge" and no container.
func New(t testing.TB) *Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "dt") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	e := fresh()
	e.socket = filepath.Join(dir, "docker.sock")
	t.Cleanup(func() { e.Down(); os.RemoveAll(dir) })
	e.start(t)
	return e
}

// NewTCP is New on a port of the loopback interface.
func NewTCP(t testing.TB) *Engine {
	t.Helper()
	e := fresh()
	e.tcp = "127.0.0.1:0"
	t.Cleanup(e.Down)
	e.start(t)
	return e
}

// NewTLS is New behind TLS; ca is the PEM file that verifies it.
func NewTLS(t testing.TB) (e *Engine, ca string) {
	t.Helper()
	e = fresh()
	s := httptest.NewTLSServer(http.HandlerFunc(e.serve))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	e.tcp = s.Listener.Addr().String()
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return e, ca
}

func fresh() *Engine {
	e := &Engine{
		containers: map[string]*Container{}, networks: map[string]*Network{}, services: map[string]*Service{}, streams: map[*stream]bool{},
		faults: map[string]*fault{}, calls: map[Call]int{}, min: "1.12", max: "1.41",
	}
	e.opened = sync.NewCond(&e.mu)
	e.AddNetwork(Network{Name: "bridge", Subnet: "172.17.0.0/16"})
	return e
}

func (e *Engine) start(t testing.TB) {
	t.Helper()
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
}

// Host is the engine's address as DOCKER_HOST takes it.
func (e *Engine) Host() string {
	if e.tcp != "" {
		return "tcp://" + e.tcp
	}
	return "unix://" + e.socket
}

// Socket is the path of the unix socket.
func (e *Engine) Socket() string { return e.socket }

// Up opens the listener; New has done so already.
func (e *Engine) Up() error {
	ln, err := e.listen()
	if err != nil {
		return fmt.Errorf("dockertest: %w", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(e.serve)}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	go s.Serve(ln)
	return nil
}

func (e *Engine) listen() (net.Listener, error) {
	if e.tcp == "" {
		return net.Listen("unix", e.socket)
	}
	ln, err := net.Listen("tcp", e.tcp)
	if err == nil {
		e.tcp = ln.Addr().String()
	}
	return ln, err
}

// Down closes the listener and every connection, as an engine that stops does;
// Up reopens it. The containers stay.
func (e *Engine) Down() {
	e.mu.Lock()
	s := e.server
	e.server = nil
	for _, f := range e.faults {
		f.release()
	}
	e.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

func (f *fault) release() {
	if f.hang != nil {
		close(f.hang)
		f.hang = nil
	}
}

func (e *Engine) fault(endpoint string) *fault {
	f := e.faults[endpoint]
	if f == nil {
		f = &fault{}
		e.faults[endpoint] = f
	}
	return f
}

// Delay makes every answer of an endpoint take so much longer.
func (e *Engine) Delay(endpoint string, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault(endpoint).delay = d
}

// Fail answers an endpoint with an HTTP status; 0 ends it.
func (e *Engine) Fail(endpoint string, status int) { e.FailFor(endpoint, "", status) }

// FailFor is Fail for one container only.
func (e *Engine) FailFor(endpoint, id string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.fault(endpoint)
	f.status, f.match = status, id
}

// Hang accepts requests to an endpoint and does not answer them until the
// returned func is called.
func (e *Engine) Hang(endpoint string) (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.fault(endpoint)
	if f.hang == nil {
		f.hang = make(chan struct{})
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		f.release()
	}
}

// Before runs f once, when the next request to an endpoint has come and has not
// been answered.
func (e *Engine) Before(endpoint string, f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault(endpoint).hook = f
}

// Lose drops the events for which f is true; nil drops none.
func (e *Engine) Lose(f func(action, id string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost = f
}

// GetOnly refuses every method but GET with 403, as a filtering socket proxy.
func (e *Engine) GetOnly() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.getOnly = true
}

// HideVersion leaves out the Api-Version field, as some socket proxies do.
func (e *Engine) HideVersion() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hidden = true
}

// Versions sets the API versions the engine speaks; 1.12 to 1.41 by default.
func (e *Engine) Versions(minimum, maximum string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.min, e.max = minimum, maximum
}

// Calls counts the requests so far.
func (e *Engine) Calls() map[Call]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.calls)
}

// Count is how many requests an endpoint got, by any method.
func (e *Engine) Count(endpoint string) int {
	n := 0
	for c, k := range e.Calls() {
		if c.Endpoint == endpoint {
			n += k
		}
	}
	return n
}

// ResetCalls starts counting anew.
func (e *Engine) ResetCalls() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.calls)
}

var versioned = regexp.MustCompile(`^/v(\d+\.\d+)(/.*)$`)

func (e *Engine) serve(w http.ResponseWriter, r *http.Request) {
	path, version := r.URL.Path, ""
	if m := versioned.FindStringSubmatch(path); m != nil {
		version, path = m[1], m[2]
	}
	endpoint, id := route(path)
	if err := e.misbehave(r.Context(), r.Method, endpoint, id); err != nil {
		e.refuse(w, err)
		return
	}
	e.mu.Lock()
	low, high, hidden := e.min, e.max, e.hidden
	e.mu.Unlock()
	if !hidden {
		w.Header().Set("Api-Version", high)
	}
	switch {
	case version != "" && less(high, version):
		e.refuse(w, statusError{400, fmt.Sprintf("client version %s is too new. Maximum supported API version is %s", version, high)})
	case version != "" && less(version, low):
		e.refuse(w, statusError{400, fmt.Sprintf("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, low)})
	case endpoint == Events:
		e.serveEvents(w, r)
	case endpoint == Archive:
		e.serveArchive(w, r, id)
	default:
		e.answer(w, endpoint, id)
	}
}

// route names the endpoint of a path, "" for those that are not served.
func route(path string) (endpoint, id string) {
	switch path {
	case "/_ping":
		return Ping, ""
	case "/info", "/version", "/events", "/networks", "/services":
		return path[1:], ""
	case "/containers/json":
		return List, ""
	}
	if rest, ok := strings.CutPrefix(path, "/containers/"); ok {
		if id, ok := strings.CutSuffix(rest, "/json"); ok {
			return Inspect, id
		}
		if id, ok := strings.CutSuffix(rest, "/archive"); ok {
			return Archive, id
		}
	}
	return "", ""
}

type statusError struct {
	code    int
	message string
}

func (s statusError) Error() string { return s.message }

func (e *Engine) refuse(w http.ResponseWriter, err error) {
	s := statusError{500, err.Error()}
	errors.As(err, &s)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(s.code)
	json.NewEncoder(w).Encode(map[string]string{"message": s.message})
}

// misbehave counts the call and does what was asked for its endpoint.
func (e *Engine) misbehave(ctx context.Context, method, endpoint, id string) error {
	e.mu.Lock()
	e.calls[Call{method, endpoint}]++
	var f fault
	if p := e.faults[endpoint]; p != nil {
		f = *p
		p.hook = nil
	}
	forbidden := e.getOnly && method != http.MethodGet
	e.mu.Unlock()
	if f.hook != nil {
		f.hook()
	}
	if f.hang != nil {
		select {
		case <-f.hang:
		case <-ctx.Done():
		}
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
		}
	}
	switch {
	case forbidden:
		return statusError{403, "forbidden by administrative rules"}
	case f.status != 0 && (f.match == "" || f.match == id):
		return statusError{f.status, "dockertest: told to fail"}
	case endpoint == "":
		return statusError{404, "page not found"}
	}
	return nil
}

func less(a, b string) bool {
	var am, an, bm, bn int
	fmt.Sscanf(a, "%d.%d", &am, &an)
	fmt.Sscanf(b, "%d.%d", &bm, &bn)
	return am < bm || am == bm && an < bn
}
