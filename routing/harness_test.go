package routing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A world is the way from labels to answers, with a clock of its own. All apps
// are one server, which says what it was asked for.
type world struct {
	t       testing.TB
	parser  *spec.Parser
	claims  *Claims
	env     *Env
	live    *Live
	now     time.Time
	control *spec.Control
	made    int // containers so far: each is a minute younger than the one before
	running map[string]*spec.Workload
	dial    upstream.Dial // to what serves for all endpoints; nil before serveApps
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, claims: &Claims{Grace: 10 * time.Minute}, live: &Live{}, now: epoch.Add(24 * time.Hour), running: map[string]*spec.Workload{},
		parser: newParser(), env: newEnv(nil), control: &spec.Control{},
	}
	return w
}

func newParser() *spec.Parser {
	return spec.NewParser(spec.Config{Schema: Schema("fairlead"), Domain: "localhost", Entries: []string{"http", "80", "lan", "8448", "https", "443"}})
}

// newEnv returns an Env whose pools dial by dial; nil makes every endpoint
// count as ready without being dialled.
func newEnv(dial upstream.Dial) *Env {
	log := zerolog.Nop()
	return &Env{
		Build: build.Build{Log: log, Prefix: "fairlead", Now: time.Now, SecretsDir: "/nonexistent", Keeper: &build.Keeper{}},
		NewPool: func(key string, tls spec.UpstreamTLS, b *build.Build) (*upstream.Pool, error) {
			return upstream.New(upstream.Config{Key: key, TLS: tls, Secret: b.Secret, Log: log, Dial: dial, Poison: true})
		},
	}
}

// serveApps makes the endpoints answer: with the request's target and fields.
func (w *world) serveApps() {
	app := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Target", r.RequestURI)
		rw.Header().Set("X-Host", r.Host)
		rw.Header().Set("X-Prefix", r.Header.Get("X-Forwarded-Prefix"))
		rw.Header().Set("X-Beta-Got", r.Header.Get("X-Beta"))
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("X-Body", string(body))
		if loc := r.URL.Query().Get("to"); loc != "" {
			rw.Header()["Location"] = []string{loc}
			rw.WriteHeader(http.StatusFound)
		}
	}))
	w.t.Cleanup(app.Close)
	var d net.Dialer
	w.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", app.Listener.Addr().String())
	}
	w.env = newEnv(w.dial)
	w.t.Cleanup(w.retireAll)
}

// retireAll swaps to an empty table, so that pools close their connections.
func (w *world) retireAll() {
	clear(w.running)
	w.claims.File = ""
	w.turn()
}

// turn compiles what runs now and swaps it in.
func (w *world) turn() *Table {
	w.t.Helper()
	next := Compile(w.live.Table(), w.parser.Parse(w.snapshot()), w.claims, w.env, w.now)
	w.live.Swap(next)
	if err := w.claims.Save(); err != nil {
		w.t.Fatal(err)
	}
	return next
}

func (w *world) snapshot() spec.Snapshot {
	all := slices.SortedFunc(maps.Values(w.running), func(a, b *spec.Workload) int { return cmp.Compare(a.ID, b.ID) })
	return spec.Snapshot{Workloads: all, Self: spec.Self{HostNet: true, Bridges: true}, Control: w.control}
}

// read runs the containers that text describes: a line "NAME [SERVICE@PROJECT]
// [STATE]" for each, and below it, indented, its labels without the prefix.
func (w *world) read(text string) {
	w.t.Helper()
	var c *spec.Workload
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok || c == nil {
				w.t.Fatalf("%q is not KEY: VALUE below a container", line)
			}
			c.Labels["fairlead."+key] = strings.ReplaceAll(value, `\n`, "\n")
		default:
			c = w.container(strings.Fields(line))
			w.running[c.ID] = c
		}
	}
}

var states = []spec.State{spec.Created, spec.Running, spec.Draining, spec.Paused, spec.Restarting, spec.Exited, spec.Gone}

func (w *world) container(words []string) *spec.Workload {
	w.t.Helper()
	w.made++
	sum := sha256.Sum256([]byte(words[0]))
	created := epoch.Add(time.Duration(w.made) * time.Minute)
	c := &spec.Workload{
		ID: fmt.Sprintf("%x", sum), Name: words[0], Labels: map[string]string{}, Created: created, StartedAt: created, State: spec.Running, Exposed: []int{80},
		Networks: []spec.Attachment{{Network: "net", Driver: "bridge", IPv4: netip.AddrFrom4([4]byte{10, sum[0], sum[1], sum[2]})}},
	}
	for _, word := range words[1:] {
		if service, project, ok := strings.Cut(word, "@"); ok {
			c.Service, c.Project = service, project
			continue
		}
		i := slices.IndexFunc(states, func(s spec.State) bool { return s.String() == word })
		if i < 0 {
			w.t.Fatalf("%q is no state", word)
		}
		c.State = states[i]
	}
	return c
}

// change replaces the workload called name by a changed copy.
func (w *world) change(name string, f func(c *spec.Workload)) {
	w.t.Helper()
	for id, c := range w.running {
		if c.Name == name {
			copied := *c
			copied.Labels = maps.Clone(c.Labels)
			f(&copied)
			delete(w.running, id)
			w.running[copied.ID] = &copied
			return
		}
	}
	w.t.Fatalf("there is no container %s", name)
}

func (w *world) remove(name string) {
	w.change(name, func(*spec.Workload) {})
	maps.DeleteFunc(w.running, func(_ string, c *spec.Workload) bool { return c.Name == name })
}

// drain has the container called name drained from now on, and maintain a route
// under maintenance, both until a time, zero for ever. A second call undoes it.
func (w *world) drain(name string, until time.Time) {
	w.change(name, func(c *spec.Workload) {
		w.control = &spec.Control{Drained: w.toggled(w.control.Drained, c.ID, until), Maintenance: w.control.Maintenance}
	})
}

func (w *world) maintain(route string, until time.Time) {
	w.control = &spec.Control{Drained: w.control.Drained, Maintenance: w.toggled(w.control.Maintenance, route, until)}
}

func (w *world) toggled(orders map[string]spec.Order, id string, until time.Time) map[string]spec.Order {
	next := map[string]spec.Order{}
	maps.Copy(next, orders)
	if _, ordered := next[id]; ordered {
		delete(next, id)
	} else {
		next[id] = spec.Order{Since: w.now, Until: until}
	}
	return next
}

// trusted is a proxy in front whose forwarding fields are believed.
const trusted = "198.51.100.1"

// An ask is a request as a line writes it: "METHOD host/path [name=value]…" with
// from=, entry=, proto=2 and fields such as X-Beta=1; over TLS with sni=NAME, which
// may be empty, client=REF of who signed the client's certificate, and tls=1.2.
func (w *world) ask(line string) *http.Response {
	w.t.Helper()
	words := strings.Fields(line)
	authority, path, _ := strings.Cut(words[1], "/")
	r := httptest.NewRequest(words[0], "/", nil)
	r.Host, r.RequestURI, r.RemoteAddr = authority, "/"+path, "192.0.2.1:1000"
	arrival := &exchange.Arrival{Entry: "http", EntryPort: "80", Trusted: []netip.Prefix{netip.MustParsePrefix(trusted + "/32")}, Gateways: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("172.17.0.1")} }}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "body":
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(value)), int64(len(value))
		case "from":
			r.RemoteAddr = value + ":1000"
		case "entry":
			arrival.Entry, arrival.EntryPort = value, "8448"
		case "proto":
			r.ProtoMajor, r.ProtoMinor = int(value[0]-'0'), 0
		case "sni":
			r.TLS = handshake(value, "")
			arrival.Entry, arrival.EntryPort, arrival.HTTPS = "https", "443", true
		case "client":
			r.TLS = handshake(r.TLS.ServerName, value)
		case "tls":
			r.TLS.Version = tls.VersionTLS12
		default:
			r.Header.Add(name, value)
		}
	}
	var route string
	arrival.Next = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.live.ServeHTTP(rw, r)
		x := exchange.Of(r)
		route = strings.TrimSpace(x.Route + " " + x.Code)
		if (x.Tally == nil) != (x.Route == "") {
			w.t.Errorf("%s: the tally of route %q is %p", line, x.Route, x.Tally)
		}
	})
	rec := httptest.NewRecorder()
	arrival.ServeHTTP(rec, r)
	resp := rec.Result()
	resp.Header.Set("Test-Route", route)
	return resp
}

// outcome says what became of a request: status, route or code, and where it
// went: the target the app saw, or the Location.
func outcome(resp *http.Response) string {
	out := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Test-Route"))
	if to := cmp.Or(resp.Header.Get("Location"), resp.Header.Get("X-Target")); to != "" {
		out += " " + to
	}
	return out
}

// wants checks lines of the form "REQUEST => OUTCOME".
func (w *world) wants(text string) {
	w.t.Helper()
	for line := range strings.Lines(text) {
		request, want, ok := strings.Cut(strings.TrimSpace(line), "=>")
		if request = strings.TrimSpace(request); request == "" || strings.HasPrefix(request, "#") {
			continue
		}
		if !ok {
			w.t.Fatalf("%q is not REQUEST => OUTCOME", line)
		}
		if got, want := outcome(w.ask(request)), strings.TrimSpace(want); got != want {
			w.t.Errorf("%s\n got %s\nwant %s", request, got, want)
		}
	}
}

// problems returns code, route and value of what is wrong, in order.
func (t *Table) problemLines() string {
	var b strings.Builder
	for _, p := range t.Problems() {
		fmt.Fprintln(&b, strings.Join(strings.Fields(fmt.Sprint(p.Code, " ", cmp.Or(p.Route, p.Container), " ", p.Value)), " "))
	}
	return b.String()
}

// writeCA writes the certificate of a TLS server to file.
func writeCA(t *testing.T, file string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
