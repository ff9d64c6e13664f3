package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/docker/docker/api"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// An engine is one connection to the Docker API with a settled API version. It
// makes GET requests only, each with a timeout, and counts them.
type engine struct {
	cli       *client.Client
	transport *http.Transport // the client's
	base      string          // URL of the API without a version
	timing    Timing
	version   string // of the API
	calls     *calls
	dialed    *dialer
}

// calls counts engine calls by kind over the life of a Docker.
type calls struct {
	ping, version, info, events, list, inspect, networks, services, archive atomic.Uint64
}

func (c *calls) counts() map[string]uint64 {
	return map[string]uint64{
		"ping": c.ping.Load(), "version": c.version.Load(), "info": c.info.Load(), "events": c.events.Load(),
		"list": c.list.Load(), "inspect": c.inspect.Load(), "networks": c.networks.Load(), "services": c.services.Load(),
		"archive": c.archive.Load(),
	}
}

// A dialer remembers how the last dial ended, because the client replaces the
// error of a refused dial by a text of its own.
type dialer struct {
	socket string // path of the unix socket, "" for tcp
	last   atomic.Pointer[error]
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.socket != "" {
		network, addr = "unix", d.socket
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, network, addr)
	if ctx.Err() == nil {
		d.last.Store(&err)
	}
	return c, err
}

// err is how the last dial failed, nil if it did not.
func (d *dialer) err() error {
	if p := d.last.Load(); p != nil {
		return *p
	}
	return nil
}

// refused reports whether nobody listens at the engine's address: then nobody
// can start a container and hand out addresses either.
func (d *dialer) refused() bool {
	err := d.err()
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// newClient makes a client that dials nothing yet. An empty version is the
// client's newest.
func newClient(c *Config, version string, d *dialer) (*client.Client, *http.Transport, error) {
	tr := &http.Transport{MaxIdleConns: 2 * maxInspects, MaxIdleConnsPerHost: maxInspects, IdleConnTimeout: 30 * time.Second}
	opts := []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: tr, CheckRedirect: client.CheckRedirect}),
		client.WithHost(c.host()),
		c.tls(),
		client.WithUserAgent("fairlead"),
	}
	if d != nil {
		opts = append(opts, client.WithDialContext(d.dial))
	}
	if version != "" {
		opts = append(opts, client.WithVersion(version))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("docker client for %s: %w", c.host(), err)
	}
	// The client turns it on for tcp. Of what we ask for the engine compresses
	// archives only, and more slowly than any network they come through.
	tr.DisableCompression = true
	return cli, tr, nil
}

// connect settles the API version and returns an engine ready for use by
// several goroutines. The client's own negotiation is left out: it sends HEAD,
// it races with Events, and where a socket proxy strips the Api-Version field
// it falls to 1.24, which newer engines refuse (traefik#12253).
func connect(ctx context.Context, c *Config, t Timing, n *calls) (*engine, error) {
	u, err := client.ParseHostURL(c.host())
	if err != nil {
		return nil, err
	}
	d := &dialer{}
	e := &engine{timing: t, calls: n, dialed: d}
	if _, e.transport, err = newClient(c, "", d); err != nil {
		return nil, err
	}
	switch {
	case u.Scheme == "unix":
		d.socket, e.base = u.Host, "http://"+client.DummyHost
	case e.transport.TLSClientConfig != nil:
		e.base = "https://" + u.Host + u.Path
	default:
		e.base = "http://" + u.Host + u.Path
	}
	e.version, err = e.spoken(ctx)
	e.close()
	if err != nil {
		return nil, explain(d, err)
	}
	e.cli, e.transport, err = newClient(c, e.version, d)
	return e, err
}

// close lets go of idle connections; calls under way end by themselves.
func (e *engine) close() { e.transport.CloseIdleConnections() }

// Versions of the API: with guessed we talk to an engine that hides its own
// (Docker 25 on), unless it is as old as oldest (Docker 1.12).
const guessed, oldest = "1.44", "1.24"

// spoken is the newest API version that both sides know.
func (e *engine) spoken(ctx context.Context) (string, error) {
	if v := os.Getenv(client.EnvOverrideAPIVersion); v != "" {
		return v, nil
	}
	e.calls.ping.Add(1)
	head, _, err := e.get(ctx, "/_ping")
	if err != nil {
		return "", err
	}
	v := head.Get("Api-Version")
	if v == "" {
		v = e.versionFromBody(ctx)
	}
	if v == "" {
		v = guessed
		if _, _, err := e.get(ctx, "/v"+guessed+"/_ping"); errors.Is(err, errTooNew) {
			v = oldest
		}
	}
	if versions.LessThan(api.DefaultVersion, v) {
		v = api.DefaultVersion
	}
	return v, nil
}

func (e *engine) versionFromBody(ctx context.Context) string {
	e.calls.version.Add(1)
	_, body, err := e.get(ctx, "/version")
	if err != nil {
		return ""
	}
	var v struct{ ApiVersion string }
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	return v.ApiVersion
}

var errTooNew = errors.New("the engine refuses this API version")

// get fetches a path below the API's root, outside the client.
func (e *engine) get(ctx context.Context, path string) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.Call)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case resp.StatusCode == http.StatusBadRequest:
		return nil, nil, fmt.Errorf("GET %s: %w", path, errTooNew)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("GET %s: engine answered %s", path, resp.Status)
	}
	return resp.Header, body, err
}

func (e *engine) info(ctx context.Context) (system.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.Call)
	defer cancel()
	e.calls.info.Add(1)
	return e.cli.Info(ctx)
}

func (e *engine) list(ctx context.Context) ([]container.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.List)
	defer cancel()
	e.calls.list.Add(1)
	return e.cli.ContainerList(ctx, container.ListOptions{All: true})
}

func (e *engine) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.Call)
	defer cancel()
	e.calls.inspect.Add(1)
	return e.cli.ContainerInspect(ctx, id)
}

func (e *engine) networks(ctx context.Context) ([]network.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timing.Call)
	defer cancel()
	e.calls.networks.Add(1)
	return e.cli.NetworkList(ctx, network.ListOptions{})
}

// events opens the event stream; it ends with ctx, or with one error. An engine
// that accepts and never answers fails after the call timeout.
func (e *engine) events(ctx context.Context, since string) (<-chan events.Message, <-chan error, error) {
	args := filters.NewArgs(filters.Arg("type", "container"), filters.Arg("type", "network"), filters.Arg("type", "service"))
	for _, name := range eventNames {
		args.Add("event", name)
	}
	e.calls.events.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	silent := time.AfterFunc(e.timing.Call, cancel)
	msgs, errs := e.cli.Events(ctx, events.ListOptions{Since: since, Filters: args})
	if !silent.Stop() {
		cancel()
		return nil, nil, fmt.Errorf("open the event stream: no answer in %s", e.timing.Call)
	}
	return msgs, errs, nil
}

// explain puts what to do about it into the error of a socket that cannot be
// reached.
func explain(d *dialer, err error) error {
	cause := d.err()
	switch {
	case d.socket == "" || cause == nil:
		return err
	case errors.Is(cause, os.ErrPermission):
		st, statErr := os.Stat(d.socket)
		if statErr != nil {
			return fmt.Errorf("permission denied on docker socket %s: %w", d.socket, err)
		}
		gid := "unknown"
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			gid = strconv.FormatUint(uint64(sys.Gid), 10)
		}
		return fmt.Errorf("permission denied on docker socket %s, which belongs to group %s; in the compose file of the proxy write: group_add: [%q]: %w",
			d.socket, gid, gid, os.ErrPermission)
	case errors.Is(cause, os.ErrNotExist):
		return fmt.Errorf("docker socket %s does not exist; mount it: -v %s:%s:ro: %w", d.socket, d.socket, d.socket, os.ErrNotExist)
	}
	return err
}
