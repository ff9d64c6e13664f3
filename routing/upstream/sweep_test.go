package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/alloctest"
)

// mute reads requests and answers with as much as their target says.
func mute(c net.Conn, r *bufio.Reader) {
	for {
		head, err := readRequest(r)
		if err != nil {
			return
		}
		switch {
		case strings.HasPrefix(head, "GET /hello "):
			io.WriteString(c, hello)
		case strings.HasPrefix(head, "GET /part "):
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
		}
	}
}

func TestTimeoutsAreNeitherEarlyNorLate(t *testing.T) {
	const ms = time.Millisecond
	for _, d := range []time.Duration{1 * ms, 20 * ms, 249 * ms, 250 * ms, 251 * ms, 400 * ms, time.Second, time.Minute} {
		for _, tt := range []struct {
			target string
			limits exchange.Timeouts
			want   Phase
		}{
			{"/", exchange.Timeouts{Response: d}, Responding},
			{"/", exchange.Timeouts{Request: d}, Requesting},
			{"/part", exchange.Timeouts{Idle: d}, Idling},
			{"/part", exchange.Timeouts{Request: d}, Requesting},
		} {
			synctest.Test(t, func(t *testing.T) {
				p := poolOf(t, Config{Dial: piped(mute)}, endpoint4("web", "10.1.1.1:80"))
				defer p.Close()
				for _, between := range []time.Duration{0, 3 * ms, 100 * ms, 249 * ms, time.Second, idleFor} { // since the last sweep
					if _, _, err := get(t, p, "/hello"); err != nil {
						t.Fatal(err)
					}
					pass(between)
					r, x := request(t, "GET", tt.target, nil)
					began := time.Now()
					_, _, err := do(t, p, withTimeouts(r, x, tt.limits))
					var got *TimeoutError
					took := time.Since(began)
					if !errors.As(err, &got) || got.Phase != tt.want || took < d || took > d+together {
						t.Errorf("%v of phase %s, %v after another: got %v after %v", d, tt.want, between, err, took)
					}
				}
			})
		}
	}
}

// A client that is slow to take an answer is no endpoint that is slow to give it.
func TestIdleTimeoutRunsOnlyWhileBytesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := poolOf(t, Config{Dial: piped(mute)}, endpoint4("web", "10.1.1.1:80"))
		defer p.Close()
		r, x := request(t, "GET", "/part", nil)
		resp, err := p.RoundTrip(withTimeouts(r, x, exchange.Timeouts{Response: time.Second, Idle: time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		buf := make([]byte, 4)
		for _, want := range []string{"hell", "o"} {
			pass(time.Hour)
			if n, err := resp.Body.Read(buf); string(buf[:n]) != want || err != nil {
				t.Errorf("got %q, %v, want %q", buf[:n], err, want)
			}
		}
		began := time.Now()
		_, err = resp.Body.Read(buf)
		var got *TimeoutError
		if !errors.As(err, &got) || time.Since(began) < time.Second {
			t.Errorf("got %v after %v, want a timeout after a second", err, time.Since(began))
		}
	})
}

// watched counts how often somebody asks for the end of a context.
type watched struct {
	context.Context
	n atomic.Int32
}

func (w *watched) Done() <-chan struct{} {
	w.n.Add(1)
	return w.Context.Done()
}

func TestOnlyExchangesThatLastAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := poolOf(t, Config{Dial: piped(mute)}, endpoint4("web", "10.1.1.1:80"))
		defer p.Close()
		if _, _, err := get(t, p, "/hello"); err != nil { // what opens a connection is watched
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := &watched{Context: ctx}
		ask := func(target string) error {
			r, x := request(t, "GET", target, nil)
			x.Context = w
			_, _, err := do(t, p, r)
			return err
		}
		for range 1000 {
			pass(tick / 100)
			if err := ask("/hello"); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.n.Load(); n != 0 {
			t.Errorf("the client was watched %d times in quick exchanges", n)
		}

		began := time.Now()
		time.AfterFunc(time.Minute, cancel)
		err := ask("/")
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took != time.Minute {
			t.Errorf("client gone after a minute: got %v after %v", err, took)
		}
		began = time.Now()
		err = ask("/")
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took > tick+quick {
			t.Errorf("client gone before: got %v after %v, want %v at most", err, took, tick+quick)
		}
	})
}

func TestTheSweeperRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := poolOf(t, Config{Dial: piped(mute)}, endpoint4("web", "10.1.1.1:80"))
		defer p.Close()
		next := func() time.Duration {
			tr := p.all[0].transport
			tr.mu.Lock()
			defer tr.mu.Unlock()
			if tr.next == 0 {
				return 0
			}
			return time.Duration(tr.next - now())
		}
		if _, _, err := get(t, p, "/hello"); err != nil {
			t.Fatal(err)
		}
		pass(2 * tick)
		if got, want := next(), idleFor-2*tick; got != want {
			t.Errorf("with an idle connection it comes in %v, want %v", got, want)
		}
		pass(idleFor)
		if got := next(); got != 0 {
			t.Errorf("with no connection it comes in %v, want never", got)
		}
	})
}

func TestABodyThatWasClosedIsNobodyElses(t *testing.T) {
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, endpointAt("web", o))
	ask := func() *http.Response {
		r, _ := request(t, "GET", "/", nil)
		resp, err := p.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := ask()
	io.Copy(io.Discard, first.Body)
	first.Body.Close()
	second := ask()

	late := first.Body.(*body)
	if n, err := late.Read(make([]byte, 9)); n != 0 || err != http.ErrBodyReadAfterClose {
		t.Errorf("read after close: got %d, %v", n, err)
	}
	if p, ok := late.Whole(); ok || late.Buffered() != 0 || late.Uploading() {
		t.Errorf("after close: got %q, %d buffered, uploading %v", p, late.Buffered(), late.Uploading())
	}
	if err := late.Close(); err != nil || len(first.Header) != 0 {
		t.Errorf("closed again: got %v and %d fields", err, len(first.Header))
	}
	if first.Status != "200 OK" {
		t.Errorf("its status became %q", first.Status)
	}
	if b, err := io.ReadAll(second.Body); string(b) != "hello" || err != nil {
		t.Errorf("the answer behind it: got %q, %v", b, err)
	}
	second.Body.Close()
	ask().Body.Close()
	if got := o.Accepted(); got != 1 {
		t.Errorf("connections: got %d, want 1", got)
	}
	if n := p.Endpoints()[0].InFlight; n != 0 {
		t.Errorf("in flight: got %d, want 0", n)
	}
}

func TestOneAllocationForEachRequest(t *testing.T) {
	p := poolOf(t, Config{}, endpointAt("web", small(t)))
	p.all[0].transport.poison = false
	r, _ := request(t, "GET", "/", nil)
	buf := make([]byte, 256)
	alloctest.AtMost(t, 1, 200, func() {
		resp, err := p.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		resp.Body.Close()
	})
}
