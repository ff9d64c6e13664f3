package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An answer is a response, read to its end.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// Container is the id of the whoami that answered, "" if none did.
func (a answer) Container() string { return a.Header.Get("X-Whoami-Container") }

// Version is what that whoami was told to report.
func (a answer) Version() string { return a.Header.Get("X-Whoami-Version") }

func (a answer) String() string {
	return fmt.Sprintf("%d %v %q", a.Status, a.Header, tail(a.Body, 8))
}

// client makes every connection to addr, whatever the URL says, and a new one
// for every request unless reuse is set.
func client(addr string, reuse bool) *http.Client {
	var d net.Dialer
	return &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: !reuse,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "tcp", addr)
			},
		},
	}
}

// get asks the proxy for http://host/target.
func (p *proxy) get(host, target string) (answer, error) {
	return get(client(p.addr, false), host, target)
}

func get(c *http.Client, host, target string) (answer, error) {
	resp, err := c.Get("http://" + host + target)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}, err
}

// whoami asks for the app's own account of the request.
func (p *proxy) whoami(host, target string) (w struct {
	Target, Host, Method string
	Header               http.Header
}) {
	p.t.Helper()
	req, err := http.NewRequest("GET", "http://"+host+target, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client(p.addr, false).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&w); err != nil {
		p.t.Fatalf("%s%s did not answer as whoami: status %d: %v", host, target, resp.StatusCode, err)
	}
	return w
}

// servedBy waits until a request for host is answered by that container.
func (p *proxy) servedBy(host, id string) {
	p.t.Helper()
	eventually(p.t, soon, host+" served by "+id[:12], func() error {
		a, err := p.get(host, "/")
		if err != nil {
			return err
		}
		if a.Status != 200 || a.Container() != id {
			return fmt.Errorf("got %v", a)
		}
		return nil
	})
}

// servedByVersion is servedBy for an app that cannot know its own id: in
// another's network namespace it sees that one's.
func (p *proxy) servedByVersion(host, version string) {
	p.t.Helper()
	eventually(p.t, soon, host+" served by version "+version, func() error {
		a, err := p.get(host, "/")
		if err == nil && (a.Status != 200 || a.Version() != version) {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
}

// answers waits until a request for host gets that status, and returns it.
func (p *proxy) answers(host string, status int) answer {
	p.t.Helper()
	var a answer
	eventually(p.t, soon, fmt.Sprintf("%s answers %d", host, status), func() (err error) {
		if a, err = p.get(host, "/"); err == nil && a.Status != status {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
	return a
}

// says waits until a command of the binary says all of the words.
func (p *proxy) says(words []string, args ...string) string {
	p.t.Helper()
	var r result
	eventually(p.t, soon, fmt.Sprintf("fairlead %v says %q", args, words), func() error {
		r = p.cli(args...)
		return contains(r.Out, words...)
	})
	return r.Out
}

// logged waits until the log has a line with all of the words.
func (p *proxy) logged(words ...string) {
	p.t.Helper()
	eventually(p.t, soon, fmt.Sprintf("a log line with %q", words), func() error {
		for line := range strings.Lines(p.logs()) {
			if contains(line, words...) == nil {
				return nil
			}
		}
		return fmt.Errorf("there is none")
	})
}

func contains(s string, words ...string) error {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return fmt.Errorf("%q is not in:\n%s", w, s)
		}
	}
	return nil
}

// A load asks one host again and again, from when it was made until it is
// stopped.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex // guards what is below
	seen   []seen
}

// seen is one request of a load.
type seen struct {
	sent time.Time
	answer
	err error
}

// load starts asking, every 5 ms or as fast as answers come.
func (p *proxy) load(host string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	c := client(p.addr, true)
	l.done.Go(func() {
		defer c.CloseIdleConnections()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			s := seen{sent: time.Now()}
			s.answer, s.err = get(c, host, "/")
			l.mu.Lock()
			l.seen = append(l.seen, s)
			l.mu.Unlock()
			<-tick.C
		}
	})
	p.t.Cleanup(l.cancel)
	return l
}

// end stops the load and returns all it saw.
func (l *load) end() []seen {
	l.cancel()
	l.done.Wait()
	return l.seen
}

// onlyStatus fails the test for every answer with another status.
func onlyStatus(t testing.TB, all []seen, statuses ...int) {
	t.Helper()
	bad, n := map[string]int{}, 0
	for _, s := range all {
		if s.err != nil {
			bad[s.err.Error()]++
			n++
		} else if !slices.Contains(statuses, s.Status) {
			bad[fmt.Sprintf("%d %s", s.Status, tail(s.Body, 3))]++
			n++
		}
	}
	if n > 0 {
		t.Errorf("%d of %d answers were none of %v: %v", n, len(all), statuses, bad)
	}
	if len(all) == 0 {
		t.Error("the load sent no request")
	}
}

// atMost fails the test if more than n answers have that status.
func atMost(t testing.TB, n int, all []seen, status int) {
	t.Helper()
	got := 0
	for _, s := range all {
		if s.err == nil && s.Status == status {
			got++
		}
	}
	if got > n {
		t.Errorf("%d answers were %d, want at most %d", got, status, n)
	}
}

// unixGet asks an HTTP server on a unix socket.
func unixGet(ctx context.Context, socket, path string) (int, error) {
	var d net.Dialer
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://fairlead"+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
