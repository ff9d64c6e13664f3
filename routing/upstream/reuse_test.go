package upstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Bytes that nobody asked for arrive in every possible way; whoever comes next
// gets his own answer or an error, never somebody else's.
func TestAnswerPoisoning(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for name, first := range map[string]string{
		"HEAD with a body":           "HEAD " + hello,
		"204 with a body":            "GET HTTP/1.1 204 No Content\r\n\r\n" + poison,
		"304 with a body":            "GET HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + poison,
		"an answer more":             "GET " + hello + poison,
		"an answer behind chunks":    "GET HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison,
		"an answer behind a trailer": "GET HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n" + poison,
		"an answer behind no body":   "POST HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + poison,
	} {
		t.Run(name, func(t *testing.T) {
			method, answer, _ := strings.Cut(first, " ")
			o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				for {
					head, err := readRequest(r)
					if err != nil {
						return
					}
					_, rest, _ := strings.Cut(head, " ")
					target, _, _ := strings.Cut(rest, " ")
					if target == "/poison" {
						io.WriteString(c, answer)
					} else {
						fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target)
					}
				}
			})
			p := poolOf(t, Config{}, endpointAt("web", o))
			for round := range 30 {
				r, _ := request(t, method, "/poison", nil)
				if _, _, err := do(t, p, r); err != nil {
					t.Fatal(err)
				}
				var clients sync.WaitGroup
				for n := range 12 {
					clients.Go(func() {
						want := fmt.Sprintf("/%d/%d", round, n)
						if _, got, err := get(t, p, want); got != want || err != nil {
							t.Errorf("client of %s: got %q, %v", want, got, err)
						}
					})
				}
				clients.Wait()
			}
		})
	}
}

// Bytes that come while a connection is idle are seen before it is used.
func TestUnsolicitedBytesWhileIdle(t *testing.T) {
	say := make(chan string)
	said := make(chan struct{})
	o := serveRaw(t, func(n int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil {
				return
			}
			io.WriteString(c, hello)
			if n == 1 {
				if s := <-say; s == "" {
					c.Close()
				} else {
					io.WriteString(c, s)
				}
				said <- struct{}{}
				return
			}
		}
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	if _, _, err := get(t, p, "/"); err != nil {
		t.Fatal(err)
	}
	say <- "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
	<-said
	r, x := request(t, "POST", "/", nil)
	status, body, err := do(t, p, r)
	if status != 200 || body != "hello" || err != nil || x.Retries != 0 {
		t.Errorf("got %d %q %v after %d retries; want 200 hello after none", status, body, err, x.Retries)
	}
}

func TestNegotiatedConnectionIsNotShared(t *testing.T) {
	o := serveRaw(t, says(hello))
	p := poolOf(t, Config{}, endpointAt("web", o))
	r, _ := request(t, "GET", "/", nil)
	r.Header["Authorization"] = []string{"Negotiate YII="}
	for range 2 {
		if _, _, err := do(t, p, r); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.accepted(); got != 2 {
		t.Errorf("connections: got %d, want 2: an authenticated one was used again", got)
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	keptIdle := defaultKeepalive.N
	clients := keptIdle + 20
	var arrived sync.WaitGroup
	arrived.Add(clients)
	o := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil {
				return
			}
			arrived.Done()
			arrived.Wait()
			io.WriteString(c, hello)
		}
	})
	p := poolOf(t, Config{}, endpointAt("web", o))
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			if _, _, err := get(t, p, "/"); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	tr := p.all[0].transport
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.idle) != keptIdle || len(tr.conns) != keptIdle {
		t.Errorf("idle: got %d of %d connections, want %d", len(tr.idle), len(tr.conns), keptIdle)
	}
}
