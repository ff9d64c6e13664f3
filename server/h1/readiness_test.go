package h1

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echo answers with method, target and body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %q %v", r.Method, r.RequestURI, body, err)
}

// However a request is cut into pieces, it is served as one.
func TestARequestMayComeInTwoPieces(t *testing.T) {
	const (
		sized   = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
		chunks  = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
		bodyful = `POST %s "hello" <nil>`
	)
	each(t, func(t *testing.T, how link) {
		e := start(t, echo)
		for _, request := range []string{sized, chunks} {
			c := dial(t, e, how)
			want := fmt.Sprintf(bodyful, strings.Fields(request)[1])
			for i := 1; i < len(request); i++ {
				c.Send(request[:i])
				waitFor(t, "the engine to wait for the rest", func() bool { return e.waits() })
				c.Send(request[i:])
				if _, got := c.Answer("GET"); got != want {
					t.Fatalf("cut at %d: got %q, want %q", i, got, want)
				}
			}
		}
	})
}

// A client that sends many requests at once gets the answers in their order.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		c := dial(t, start(t, echo), how)
		const n = 500 // more than a buffer holds
		go func() {
			var all strings.Builder
			for i := range n {
				if i%7 == 3 {
					fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", i)
				} else {
					fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\nX-Pad: %s\r\n\r\n", i, strings.Repeat("a", i))
				}
			}
			io.WriteString(c, all.String())
		}()
		for i := range n {
			want := fmt.Sprintf("GET /%d \"\" <nil>", i)
			if i%7 == 3 {
				want = fmt.Sprintf("POST /%d \"abc\" <nil>", i)
			}
			if _, got := c.Answer("GET"); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// The end of a client that comes together with a request is noticed: at once with
// the first request, and soon with a later one.
func TestTheEndOfAClientIsNotLost(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, echo, func(c *Config) { c.HeadTimeout = 100 * time.Millisecond; c.IdleTimeout = time.Hour })
		for _, before := range []int{0, 1, 5} {
			c := dial(t, e, how)
			for range before {
				c.Send(get)
				c.Answer("GET")
			}
			c.Send(get)
			c.CloseWrite()
			if got := c.Rest(); !strings.HasSuffix(got, `GET / "" <nil>`) {
				t.Errorf("after %d requests: got %q", before, got)
			}
		}
		if got := e.Stats(); got.IdleTimeouts > 0 || got.Requests != 9 {
			t.Errorf("got %+v, want 9 requests and nothing that timed out", got)
		}
	})
}

// What is answered while the client sends nothing more, in all the ways that leave
// the callback, is followed by the next request.
func TestTheNextRequestIsReadAfterOneOutsideTheCallback(t *testing.T) {
	outside := []string{
		"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
		"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("a", 20000),
		"GET /long HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 30000) + "\r\n\r\n",
	}
	each(t, func(t *testing.T, how link) {
		c := dial(t, start(t, echo), how)
		for range 3 {
			for _, request := range outside {
				c.Send(request)
				if _, got := c.Answer("GET"); !strings.Contains(got, strings.Fields(request)[1]) {
					t.Errorf("got %.40q for %.40q", got, request)
				}
				c.Send(get)
				if _, got := c.Answer("GET"); got != `GET / "" <nil>` {
					t.Errorf("got %q behind %.40q", got, request)
				}
			}
		}
	})
}
