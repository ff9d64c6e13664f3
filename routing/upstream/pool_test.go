package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

func TestRequestsGoRoundRobin(t *testing.T) {
	var eps []spec.Endpoint
	for i := range 3 {
		eps = append(eps, endpointAt(fmt.Sprintf("web-%d", i), serveRaw(t, says(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)))))
	}
	p := poolOf(t, Config{}, eps...)
	var got strings.Builder
	for range 6 {
		_, body, err := get(t, p, "/")
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(body)
	}
	if got.String() != "012012" {
		t.Errorf("got %s, want 012012", got.String())
	}
}

func TestExchangeIsFilled(t *testing.T) {
	dead := endpoint4("web-1", freeAddr(t))
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, dead, endpointAt("web-2", o))
	r, x := request(t, "GET", "/", nil)
	if _, _, err := do(t, p, r); err != nil {
		t.Fatal(err)
	}
	if x.Pool != "shop/web:8080/http" || x.Container != "web-2" || x.Endpoint != o.Addr().String() || x.Retries != 1 {
		t.Errorf("got %s %s %s retries %d", x.Pool, x.Container, x.Endpoint, x.Retries)
	}
}

func TestRequestWithoutExchange(t *testing.T) {
	p := poolOf(t, Config{}, endpointAt("web", serveRaw(t, says(hello))))
	r, _ := http.NewRequest("GET", "http://a.example/x", nil)
	if status, _, err := do(t, p, r); status != 200 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
}

func TestRefusedConnectIsRetriedElsewhere(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"no body":    func() io.Reader { return nil },
		"small body": func() io.Reader { return strings.NewReader("x") },
		"large body": func() io.Reader { return strings.NewReader(strings.Repeat("x", 64<<10)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := poolOf(t, Config{}, endpoint4("web-1", freeAddr(t)), endpointAt("web-2", serveRaw(t, says(hello))))
			for range 4 {
				r, _ := request(t, "POST", "/", body())
				if status, _, err := do(t, p, r); status != 200 || err != nil {
					t.Errorf("got %d %v", status, err)
				}
			}
		})
	}
}

func TestRefusedConnectIsTriedOnTwoMoreOnly(t *testing.T) {
	var dials atomic.Int64
	dial := func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, syscall.ECONNREFUSED
	}
	p := poolOf(t, Config{Dial: dial}, endpoint4("web-1", "10.1.1.1:80"), endpoint4("web-2", "10.1.1.2:80"), endpoint4("web-3", "10.1.1.3:80"), endpoint4("web-4", "10.1.1.4:80"))
	_, _, err := get(t, p, "/")
	if connect := new(*ConnectError); !errors.As(err, connect) || dials.Load() != 3 {
		t.Errorf("got %v after %d dials, want a ConnectError after 3", err, dials.Load())
	}
}

func TestNothingForContainersThatCannot(t *testing.T) {
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{})
	for _, tt := range []struct {
		spoil func(e *spec.Endpoint)
		want  string
	}{
		{func(e *spec.Endpoint) { e.State = spec.Created }, "web=created"},
		{func(e *spec.Endpoint) { e.State = spec.Draining }, "web=draining"},
		{func(e *spec.Endpoint) { e.State = spec.Paused }, "web=paused"},
		{func(e *spec.Endpoint) { e.State = spec.Restarting }, "web=restarting"},
		{func(e *spec.Endpoint) { e.State = spec.Exited }, "web=exited"},
		{func(e *spec.Endpoint) { e.State = spec.Gone }, "web=gone"},
		{func(e *spec.Endpoint) { e.Addr = netip.AddrPort{} }, "web=down"},
		{func(e *spec.Endpoint) { e.Scheme = "fastcgi" }, "web=down"},
		{func(e *spec.Endpoint) { e.Drained = "until tomorrow" }, "web=drained"},
		{func(e *spec.Endpoint) { e.Drained, e.State = "until tomorrow", spec.Draining }, "web=draining"},
		{func(e *spec.Endpoint) { e.Drained, e.State = "until tomorrow", spec.Exited }, "web=exited"},
		{func(e *spec.Endpoint) {}, "web=ready"},
	} {
		e := endpointAt("web", o)
		e.Reason = "because"
		tt.spoil(&e)
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
		p.Enter()
		if got := states(p); got != tt.want || p.Ready() != (tt.want == "web=ready") {
			t.Errorf("got %s, ready %v; want %s", got, p.Ready(), tt.want)
		}
	}
	p.Set(spec.Pool{})
	p.Enter()
	_, _, err := get(t, p, "/")
	if want := "no endpoint of shop/web:8080/http: it has no containers"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What the labels' reader found out is more than that there is no address.
func TestAnEndpointWithoutAddressSaysWhy(t *testing.T) {
	const why = "web is on shop_default, the proxy is on edge: they share none"
	p := poolOf(t, Config{}, spec.Endpoint{ID: "id", Container: "web", StartedAt: began, State: spec.Running, Scheme: "http", Reason: why})
	_, _, err := get(t, p, "/")
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want the reason %q", err, why)
	}
	if got := p.Endpoints()[0].Reason; got != why {
		t.Errorf("shown as %q, want %q", got, why)
	}
}

func TestEndpointsThatStayKeepTheirConnections(t *testing.T) {
	o := serveRaw(t, says(hello))
	e := endpointAt("web", o)
	p := poolOf(t, Config{}, e)
	for i := range 5 {
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		e.Reason = fmt.Sprint(i) // something changed
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{e, endpoint4(fmt.Sprint("web-", i), "10.1.1.1:80")}})
		p.Enter()
		p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
		p.Enter()
	}
	if got := o.Accepted(); got != 1 {
		t.Errorf("connections: got %d, want 1", got)
	}
}

func TestNewRunIsAnotherEndpoint(t *testing.T) {
	o := serveRaw(t, says(hello))
	e := endpointAt("web", o)
	p := poolOf(t, Config{}, e)
	get(t, p, "/")
	e.StartedAt = began.Add(time.Second)
	p.Set(spec.Pool{Endpoints: []spec.Endpoint{e}})
	p.Enter()
	get(t, p, "/")
	if got := o.Accepted(); got != 2 {
		t.Errorf("connections: got %d, want 2: that of the run before was used again", got)
	}
}

func TestIdleConnectionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan time.Time, 1)
		p := poolOf(t, Config{Dial: piped(func(c net.Conn, r *bufio.Reader) {
			says(hello)(0, c, r)
			closed <- time.Now()
		})}, endpoint4("web", "10.1.1.1:80"))
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		used := time.Now()
		if got := (<-closed).Sub(used); got != idleFor {
			t.Errorf("closed after %v, want %v", got, idleFor)
		}
		p.Close()
	})
}

func TestTimeoutOfConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p := poolOf(t, Config{Dial: hang}, endpoint4("web", "10.1.1.1:80"))
		for _, tt := range []struct {
			limits exchange.Timeouts
			want   Phase
			after  time.Duration
		}{
			{exchange.Timeouts{Connect: 5 * time.Second}, Connecting, 5 * time.Second},
			{exchange.Timeouts{Connect: 5 * time.Second, Request: time.Second}, Requesting, time.Second},
		} {
			r, x := request(t, "GET", "/", nil)
			began := time.Now()
			_, _, err := do(t, p, withTimeouts(r, x, tt.limits))
			var got *TimeoutError
			if !errors.As(err, &got) || got.Phase != tt.want || time.Since(began) != tt.after {
				t.Errorf("got %v after %v, want phase %s after %v", err, time.Since(began), tt.want, tt.after)
			}
		}
		p.Close()
	})
}

func TestURLTargets(t *testing.T) {
	o := serveRaw(t, says(hello))
	_, port, _ := net.SplitHostPort(o.Addr().String())
	prober := runProber(t, &Prober{})
	p := poolOf(t, Config{Prober: prober}, spec.Endpoint{Container: "http://localhost:" + port, State: spec.Running, Scheme: "http", Host: "localhost:" + port})
	if !p.Ready() {
		t.Error("a url target has to be asked whatever it does")
	}
	if status, _, err := get(t, p, "/"); status != 200 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
	q := poolOf(t, Config{Prober: prober}, spec.Endpoint{Container: "http://nowhere.invalid", State: spec.Running, Scheme: "http", Host: "nowhere.invalid:80"})
	_, _, err := get(t, q, "/")
	if connect := new(*ConnectError); !errors.As(err, connect) || !q.Ready() {
		t.Errorf("got %v, ready %v", err, q.Ready())
	}
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/app.sock"
	prober := runProber(t, &Prober{})
	p := poolOf(t, Config{Prober: prober}, spec.Endpoint{ID: "id", Container: "web", StartedAt: began, State: spec.Running, Scheme: "http", Socket: path})
	eventually(t, "it says what is missing", func() bool {
		return p.Endpoints()[0].LastError == "socket "+path+" of web does not exist yet"
	})
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				says(hello)(0, c, bufio.NewReader(c))
			})
		}
	})
	defer running.Wait()
	defer l.Close()
	defer p.Close()
	eventually(t, "ready", p.Ready)
	if status, _, err := get(t, p, "/"); status != 200 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
}
