package transporttest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/internal/conntest"
)

// Origin is a server whose connections are served by a func, byte for byte.
type Origin struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // all that were accepted
}

// Serve has every connection served by serve until the test ends; n counts them
// from 1.
func Serve(t testing.TB, serve func(n int, c net.Conn, r *bufio.Reader)) *Origin {
	t.Helper()
	return ServeAt(t, "127.0.0.1:0", serve)
}

// ServeAt is Serve at an address.
func ServeAt(t testing.TB, addr string, serve func(n int, c net.Conn, r *bufio.Reader)) *Origin {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	o := &Origin{Listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns = append(o.conns, c)
			o.mu.Unlock()
			running.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		o.mu.Lock()
		for _, c := range o.conns {
			c.Close()
		}
		o.mu.Unlock()
		running.Wait()
	})
	return o
}

// Accepted returns how many connections there were.
func (o *Origin) Accepted() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns)
}

// Says answers every request, read to the end of its body, with answer.
func Says(answer string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// ReadRequest reads one request and returns its head as it came.
func ReadRequest(r *bufio.Reader) (head string, err error) {
	head, req, err := readRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return head, err
}

// readRequest reads the head of a request, whose body is still to be read.
func readRequest(r *bufio.Reader) (head string, req *http.Request, err error) {
	if head, err = conntest.ReadHead(r); err != nil {
		return head, nil, err
	}
	req, err = http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), oneByte{r})))
	return head, req, err
}

// oneByte keeps the reader above it from reading ahead of what it needs.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
