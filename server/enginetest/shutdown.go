package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var shutdownBehaviours = []behaviour{
	{"connections do not mix", manyClients},
	{"pipelined handlers run one after the other", inOrder},
	{"Shutdown waits for requests", shutdownWaits},
	{"Shutdown closes idle connections", shutdownIdle},
	{"Shutdown closes connections that never asked", shutdownSilent},
	{"a connection after Shutdown is closed", afterShutdown},
	{"Close cuts requests", closeCuts},
}

// manyClients asks by many connections at once. Each answer has to be that of
// its own request.
func manyClients(t *trial) {
	e := t.engine(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.RawQuery
		w.Header().Set("X-Query", query)
		if r.Method == "POST" {
			w.Header().Set("Trailer", "X-Sum")
		}
		fmt.Fprintf(w, "%s %s ", query, r.Header.Get("X-Token"))
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", query)
	})
	var all sync.WaitGroup
	for i := range 16 {
		c := t.connect(e)
		all.Go(func() {
			for n := range 60 {
				if err := askOwn(c, fmt.Sprintf("c%dn%d", i, n), n%2 == 1); err != nil {
					t.Errorf("client %d, request %d: %v", i, n, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// askOwn sends token everywhere and wants it back. It is called beside the test.
func askOwn(c *client, token string, withBody bool) error {
	method, body := "GET", ""
	in := fmt.Sprintf("GET /?%s HTTP/1.1\r\nHost: x\r\nX-Token: %s\r\n\r\n", token, token)
	if withBody {
		method, body = "POST", token
		in = fmt.Sprintf("POST /?%s HTTP/1.1\r\nHost: x\r\nX-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", token, token, len(body), body)
	}
	if _, err := io.WriteString(c, in); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.R, &http.Request{Method: method})
	if err != nil {
		return err
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if want := token + " " + token + " " + body; string(got) != want || res.Header.Get("X-Query") != token || withBody && res.Trailer.Get("X-Sum") != token {
		return fmt.Errorf("got %q, %v, trailer %v, want %q", got, res.Header, res.Trailer, want)
	}
	return nil
}

func inOrder(t *trial) {
	const count = 100
	var running, done atomic.Int32
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		if n := running.Add(1); n != 1 {
			t.Errorf("%d handlers of one connection run", n)
		}
		if want := fmt.Sprintf("n=%d", done.Load()); r.URL.RawQuery != want {
			t.Errorf("got request %q, want %q", r.URL.RawQuery, want)
		}
		http.NewResponseController(w).Flush() // the client has begun to read when the handler goes on
		runtime.Gosched()
		fmt.Fprint(w, done.Add(1))
		running.Add(-1)
	})
	var in strings.Builder
	for i := range count {
		fmt.Fprintf(&in, "GET /?n=%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	c.Send(in.String())
	for i := range count {
		if _, got := c.Answer("GET"); got != fmt.Sprint(i+1) {
			t.Fatalf("answer %d is %q", i+1, got)
		}
	}
}

// shutdownWaits: the answer is the last of its connection and says so.
func shutdownWaits(t *trial) {
	began, release := newGate(), newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		io.WriteString(w, "done")
	})
	c.Send(get(""))
	wait(t, began, "the request")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := c.engine.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v with a request in flight", err)
	}
	close(release)
	if res, body := c.Answer("GET"); body != "done" || !res.Close {
		t.Errorf("got %d %q, close %v", res.StatusCode, body, res.Close)
	}
	if rest := c.Rest(); rest != "" {
		t.Errorf("behind the last answer came %q", rest)
	}
}

func (t *trial) shutDown(c *client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.engine.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func shutdownIdle(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {})
	c.Send(get(""))
	c.Answer("GET")
	t.shutDown(c)
	if got := c.Rest(); got != "" {
		t.Errorf("got %q on an idle connection", got)
	}
}

// shutdownSilent has a client that may be about to send a request, and one that
// sent half of one, which may be waited for as long as ever.
func shutdownSilent(t *trial) {
	for in, headTimeout := range map[string]time.Duration{"": time.Hour, "GET / HT": time.Second} {
		t.run(fmt.Sprintf("behind %q", in), func(t *trial) {
			t.Parallel()
			c := t.dial(func(w http.ResponseWriter, r *http.Request) {}, func(c *Config) { c.HeadTimeout = headTimeout })
			c.Send(in)
			c.drained()
			t.shutDown(c)
			if got := codes(c.Rest()); got != "" && got != "400" && got != "408" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func afterShutdown(t *trial) {
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {})
	c.Send(last)
	c.Rest()
	t.shutDown(c)
	late := t.connect(c.engine)
	if got := late.Rest(); got != "" {
		t.Errorf("got %q", got)
	}
}

func closeCuts(t *trial) {
	began, ended := newGate(), newGate()
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	c.Send(get(""))
	wait(t, began, "the request")
	c.engine.Close()
	wait(t, ended, "the context to end")
	if got := c.Rest(); got != "" {
		t.Errorf("got %q", got)
	}
	late := t.connect(c.engine)
	if got := late.Rest(); got != "" {
		t.Errorf("a connection behind Close got %q", got)
	}
}
