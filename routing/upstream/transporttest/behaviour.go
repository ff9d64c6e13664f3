package transporttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
)

var behaviours = []struct {
	name string
	run  func(*testing.T, Make)
}{
	{"the request's body is closed on every path", bodyIsClosed},
	{"a client that leaves frees the connection", clientGone},
	{"a client that left before is not served", clientGoneBefore},
	{"a body that is closed early frees the connection", closedEarly},
	{"an early answer is read while the request is sent", earlyAnswer},
	{"an early answer is read while its client says nothing more", earlyAnswerToSilence},
	{"101 comes with both directions of the connection", upgrade},
	{"a refused upgrade is an answer like any other", refusedUpgrade},
	{"a POST is never sent twice", postOnce},
	{"a GET is sent again if a kept connection was closed", getAgain},
	{"a body read from a client is not replayed", bodyNotReplayed},
	{"1xx answers are told in order", interim},
	{"bodies arrive as they are", uploads},
	{"a body that ends early is no complete request", shortBody},
	{"trailers come back", trailersBack},
	{"no answer in time", answerTimeout},
	{"no more of the answer in time", idleTimeout},
	{"everybody gets his own answer", ownAnswers},
	{"bytes behind an answer end its connection", leftoversEndConnections},
	{"what came behind an answer is nobody's", poisoning},
}

// tracked is a body that says when it was closed.
type tracked struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func track(r io.Reader) *tracked { return &tracked{Reader: r, closed: make(chan struct{})} }

func (b *tracked) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func bodyIsClosed(t *testing.T, mk Make) {
	large := strings.Repeat("x", 300_000)
	for _, tt := range []struct {
		name, body string
		serve      func(int, net.Conn, *bufio.Reader)
	}{
		{"small", "x", Says(Hello)},
		{"large", large, Says(Hello)},
		{"malformed answer", "x", Says("SSH-2.0\r\n\r\n")},
		{"malformed answer to a large one", large, Says("SSH-2.0\r\n\r\n")},
		{"no answer", "x", func(_ int, _ net.Conn, r *bufio.Reader) { conntest.ReadHead(r) }},
		{"answer without a look at it", large, func(_ int, c net.Conn, r *bufio.Reader) {
			conntest.ReadHead(r)
			io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, r)
		}},
	} {
		for _, sized := range []bool{true, false} {
			tr := mk(t, Serve(t, tt.serve).Addr().String(), Limits{})
			body := track(strings.NewReader(tt.body))
			r := request(t, "POST", "/", body)
			if sized {
				r.ContentLength = int64(len(tt.body))
			}
			do(tr, r)
			within(t, fmt.Sprintf("the body is closed (%s, length known %v)", tt.name, sized), body.closed)
		}
	}
	o := Serve(t, Says(Hello))
	o.Close()
	body := track(strings.NewReader("x"))
	if got := do(mk(t, o.Addr().String(), Limits{}), request(t, "POST", "/", body)); got.err == nil {
		t.Errorf("nobody listens: got %d", got.status)
	}
	within(t, "the body is closed (nobody listens)", body.closed)
}

func clientGone(t *testing.T, mk Make) {
	for _, begun := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", chunked + "5\r\nhello\r\n"} {
		reached, gone := make(chan struct{}), make(chan struct{})
		o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
			conntest.ReadHead(r)
			io.WriteString(c, begun)
			close(reached)
			io.Copy(io.Discard, r) // until the transport closes
			close(gone)
		})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			<-reached
			cancel()
		}()
		got := do(mk(t, o.Addr().String(), Limits{}), request(t, "GET", "/", nil).WithContext(ctx))
		if err := errors.Join(got.err, got.cut); !errors.Is(err, context.Canceled) {
			t.Errorf("after %q: got %+v, want %v", begun, got, context.Canceled)
		}
		within(t, "the connection is closed", gone)
		cancel()
	}
}

func clientGoneBefore(t *testing.T, mk Make) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var heads atomic.Int32
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			if _, err := ReadRequest(r); err != nil {
				return
			}
			heads.Add(1)
			io.WriteString(c, Hello)
		}
	})
	tr := mk(t, o.Addr().String(), Limits{})
	if got := do(tr, request(t, "POST", "/", strings.NewReader("x")).WithContext(ctx)); !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %+v, want %v", got, context.Canceled)
	}
	if got := get(t, tr, "/"); got.body != "hello" || heads.Load() != 1 {
		t.Errorf("the next request: got %+v, and %d requests arrived", got, heads.Load())
	}
}

func closedEarly(t *testing.T, mk Make) {
	gone := make(chan struct{})
	o := Serve(t, func(n int, c net.Conn, r *bufio.Reader) {
		if conntest.ReadHead(r); n == 1 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			piece := make([]byte, 64<<10)
			for {
				if _, err := c.Write(piece); err != nil {
					close(gone)
					return
				}
			}
		}
		io.WriteString(c, Hello)
	})
	tr := mk(t, o.Addr().String(), Limits{})
	resp, err := tr.RoundTrip(request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 100_000)); err != nil {
		t.Errorf("read: %v", err)
	}
	resp.Body.Close()
	within(t, "the connection is closed", gone)
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read after close: got %d, %v, want an error", n, err)
	}
	if got := get(t, tr, "/"); got.body != "hello" {
		t.Errorf("the next request: got %+v", got)
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func earlyAnswer(t *testing.T, mk Make) {
	hold := make(chan struct{})
	defer close(hold)
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nhello")
		<-hold // and reads nothing
	})
	body := track(endless{})
	r := request(t, "POST", "/", body)
	if got, want := do(mk(t, o.Addr().String(), Limits{}), r), (result{status: 413, length: 5, body: "hello"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	within(t, "the request's body is closed", body.closed)
}

func earlyAnswerToSilence(t *testing.T, mk Make) {
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, Hello)
		io.Copy(io.Discard, r)
	})
	for _, length := range []int64{-1, 100_000_000} {
		pr, pw := io.Pipe() // whose writer never writes
		defer pw.Close()
		r := request(t, "POST", "/", pr)
		r.ContentLength = length
		if got := do(mk(t, o.Addr().String(), Limits{}), r); got.body != "hello" || got.cut != nil {
			t.Errorf("body of %d: got %+v", length, got)
		}
	}
}

func upgraded(t *testing.T) *http.Request {
	r := request(t, "GET", "/", nil)
	r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"echo"}
	return r
}

// upgrade has bytes come right behind the head, and ends one direction before
// the other.
func upgrade(t *testing.T, mk Make) {
	ended := make(chan struct{})
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if head, _ := conntest.ReadHead(r); !strings.Contains(head, "\r\nUpgrade: echo\r\n") || !strings.Contains(head, "\r\nConnection: Upgrade\r\n") {
			t.Errorf("the upgrade was not asked for:\n%s", head)
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst ")
		all, _ := io.ReadAll(r)
		fmt.Fprintf(c, "then %s", all)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, r)
		close(ended)
	})
	resp, err := mk(t, o.Addr().String(), Limits{}).RoundTrip(upgraded(t))
	if err != nil {
		t.Fatal(err)
	}
	tunnel, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != 101 || !ok {
		t.Fatalf("got %d with a %T, want 101 with an io.ReadWriteCloser", resp.StatusCode, resp.Body)
	}
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(tunnel, first); string(first) != "first " || err != nil {
		t.Errorf("got %q, %v", first, err)
	}
	if _, err := io.WriteString(tunnel, "second"); err != nil {
		t.Error(err)
	}
	if err := tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(tunnel); string(rest) != "then second" || err != nil {
		t.Errorf("behind our end: got %q, %v", rest, err)
	}
	var closing sync.WaitGroup // by either direction
	for range 2 {
		closing.Go(func() { tunnel.Close() })
	}
	closing.Wait()
	within(t, "the connection is closed", ended)
}

func refusedUpgrade(t *testing.T, mk Make) {
	o := Serve(t, Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n"))
	want := result{status: 403, length: 5, body: "hello"}
	if got := do(mk(t, o.Addr().String(), Limits{}), upgraded(t)); got != want {
		t.Errorf("got %+v, want %+v: what is behind it is not part of it", got, want)
	}
}

// fickle answers the first request on its first connection, and closes that when
// it has read the second; it notes the methods that arrived.
func fickle(t *testing.T) (o *Origin, methods func() string) {
	var mu sync.Mutex
	var seen []string
	o = Serve(t, func(n int, c net.Conn, r *bufio.Reader) {
		for i := 0; ; i++ {
			head, err := ReadRequest(r)
			if err != nil {
				return
			}
			method, _, _ := strings.Cut(head, " ")
			mu.Lock()
			seen = append(seen, method)
			mu.Unlock()
			if n == 1 && i == 1 {
				return
			}
			io.WriteString(c, Hello)
		}
	})
	return o, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, " ")
	}
}

func postOnce(t *testing.T, mk Make) {
	for name, body := range map[string]func() io.Reader{
		"none":    func() io.Reader { return nil },
		"small":   func() io.Reader { return strings.NewReader("x") },
		"large":   func() io.Reader { return strings.NewReader(strings.Repeat("x", 64<<10)) },
		"chunked": func() io.Reader { return unsized("x") },
	} {
		o, methods := fickle(t)
		tr := mk(t, o.Addr().String(), Limits{})
		get(t, tr, "/")
		got := do(tr, request(t, "POST", "/", body()))
		if got.err == nil || methods() != "GET POST" {
			t.Errorf("body %s: got %+v, and %s arrived, want an error and GET POST", name, got, methods())
		}
	}
}

func getAgain(t *testing.T, mk Make) {
	o, methods := fickle(t)
	tr := mk(t, o.Addr().String(), Limits{})
	get(t, tr, "/")
	if got := get(t, tr, "/"); got.body != "hello" || methods() != "GET GET GET" {
		t.Errorf("got %+v, and %s arrived", got, methods())
	}
}

func bodyNotReplayed(t *testing.T, mk Make) {
	o, methods := fickle(t)
	tr := mk(t, o.Addr().String(), Limits{})
	get(t, tr, "/")
	if got := do(tr, request(t, "PUT", "/", unsized("of unknown length"))); got.err == nil || methods() != "GET PUT" {
		t.Errorf("got %+v, and %s arrived, want an error and GET PUT", got, methods())
	}
}

func interim(t *testing.T, mk Make) {
	o := Serve(t, Says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\nLink: </c>\r\n\r\n"+Hello))
	tr := mk(t, o.Addr().String(), Limits{})
	for range 2 {
		var told []string
		resp, err := tr.Informed(request(t, "GET", "/", nil), func(status int, h http.Header) { told = append(told, fmt.Sprint(status, h["Link"])) })
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if len(resp.Header["Link"]) != 0 || string(body) != "hello" || err != nil {
			t.Errorf("the final answer: got %v %q, %v", resp.Header, body, err)
		}
		resp.Body.Close()
		if got, want := fmt.Sprint(told), "[100 [] 103 [</a>] 103 [</b> </c>]]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// uploads echoes bodies, of which a transport may treat small ones otherwise.
func uploads(t *testing.T, mk Make) {
	type seen struct {
		length  int64
		body    string
		trailer http.Header
	}
	arrived := make(chan seen, 1)
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			_, req, err := readRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			arrived <- seen{req.ContentLength, string(body), req.Trailer}
			io.WriteString(c, Hello)
		}
	})
	tr := mk(t, o.Addr().String(), Limits{})
	for _, size := range []int{0, 1, 100, 16 << 10, 16<<10 + 1, 32 << 10, 64 << 10, 300_000} {
		for _, sized := range []bool{true, false} {
			body := strings.Repeat("0123456789", size/10+1)[:size]
			r := request(t, "POST", "/", strings.NewReader(body))
			want := seen{length: int64(size), body: body}
			if !sized {
				r = request(t, "POST", "/", unsized(body))
				r.Trailer = http.Header{"X-Sum": {"42"}}
				want.length, want.trailer = -1, r.Trailer
			}
			if got := do(tr, r); got.body != "hello" {
				t.Fatalf("size %d, length known %v: got %+v", size, sized, got)
			}
			if got := <-arrived; got.length != want.length || got.body != want.body || fmt.Sprint(got.trailer) != fmt.Sprint(want.trailer) {
				t.Errorf("size %d, length known %v: got %d bytes as %d, trailer %v, want length %d, trailer %v", size, sized, len(got.body), got.length, got.trailer, want.length, want.trailer)
			}
		}
	}
	if got := o.Accepted(); got != 1 {
		t.Errorf("connections: got %d, want 1", got)
	}
}

func shortBody(t *testing.T, mk Make) {
	for _, length := range []int64{10, 50_000} {
		var complete atomic.Int32
		o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
			for {
				if _, err := ReadRequest(r); err != nil {
					return
				}
				complete.Add(1)
				io.WriteString(c, Hello)
			}
		})
		tr := mk(t, o.Addr().String(), Limits{})
		r := request(t, "POST", "/", unsized("abc"))
		r.ContentLength = length
		if got := do(tr, r); got.err == nil {
			t.Errorf("length %d: got %+v, want an error", length, got)
		}
		if got := get(t, tr, "/"); got.body != "hello" || complete.Load() != 1 {
			t.Errorf("length %d: the next request got %+v; %d complete ones arrived, want that one only", length, got, complete.Load())
		}
	}
}

func trailersBack(t *testing.T, mk Make) {
	o := Serve(t, Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n1\r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"))
	tr := mk(t, o.Addr().String(), Limits{})
	for range 2 {
		resp, err := tr.RoundTrip(request(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(resp.Trailer); got != "map[X-A:[]]" || len(resp.Header["Trailer"])+len(resp.Header["Transfer-Encoding"]) > 0 {
			t.Errorf("announced: got %s, header %v", got, resp.Header)
		}
		io.Copy(io.Discard, resp.Body)
		if got := fmt.Sprint(resp.Trailer); got != "map[X-A:[1] X-B:[2]]" {
			t.Errorf("got %s", got)
		}
		resp.Body.Close()
	}
	if got := o.Accepted(); got != 1 {
		t.Errorf("connections: got %d, want 1", got)
	}
}

func stalls(t *testing.T, begun string, l Limits, mk Make) result {
	gone := make(chan struct{})
	o := Serve(t, func(_ int, c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, begun)
		io.Copy(io.Discard, r)
		close(gone)
	})
	began := time.Now()
	got := get(t, mk(t, o.Addr().String(), l), "/")
	if took, limit := time.Since(began), max(l.Response, l.Idle); took < limit {
		t.Errorf("ended after %v, want %v at least", took, limit)
	}
	within(t, "the connection is closed", gone)
	return got
}

func isTimeout(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}

func answerTimeout(t *testing.T, mk Make) {
	if got := stalls(t, "", Limits{Response: 30 * time.Millisecond}, mk); !isTimeout(got.err) {
		t.Errorf("got %+v, want a timeout", got)
	}
}

func idleTimeout(t *testing.T, mk Make) {
	got := stalls(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Limits{Idle: 30 * time.Millisecond}, mk)
	if got.body != "hello" || !isTimeout(got.cut) {
		t.Errorf("got %+v, want a timeout behind hello", got)
	}
}

// echo answers with the target, and with bytes for /poison.
func echo(bytes string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			head, err := ReadRequest(r)
			if err != nil {
				return
			}
			if target := strings.Split(head, " ")[1]; target == "/poison" {
				io.WriteString(c, bytes)
			} else {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Target: %[2]s\r\n\r\n%[2]s", len(target), target)
			}
		}
	}
}

// crowd has n clients ask for something different each, round by round.
func crowd(t *testing.T, tr http.RoundTripper, round, n int) {
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			want := fmt.Sprintf("/%d/%d", round, i)
			resp, err := tr.RoundTrip(request(t, "GET", want, nil))
			if err != nil {
				t.Errorf("client of %s: %v", want, err)
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if string(got) != want || resp.Header.Get("X-Target") != want || err != nil {
				t.Errorf("client of %s: got %q with %v, %v", want, got, resp.Header, err)
			}
		})
	}
	clients.Wait()
}

func ownAnswers(t *testing.T, mk Make) {
	tr := mk(t, Serve(t, echo("")).Addr().String(), Limits{})
	for round := range 50 {
		crowd(t, tr, round, 12)
	}
}

// poisoning has bytes that nobody asked for arrive in every possible way; whoever
// comes next gets his own answer (THREATS 32).
func poisoning(t *testing.T, mk Make) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Target: poison\r\n\r\npoison"
	for name, first := range map[string]string{
		"HEAD with a body":           "HEAD " + Hello,
		"204 with a body":            "GET HTTP/1.1 204 No Content\r\n\r\n" + poison,
		"304 with a body":            "GET HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + poison,
		"an answer more":             "GET " + Hello + poison,
		"an answer behind chunks":    "GET " + chunked + "0\r\n\r\n" + poison,
		"an answer behind a trailer": "GET " + chunked + "0\r\nA: b\r\n\r\n" + poison,
		"an answer behind no body":   "POST HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + poison,
	} {
		t.Run(name, func(t *testing.T) {
			method, bytes, _ := strings.Cut(first, " ")
			tr := mk(t, Serve(t, echo(bytes)).Addr().String(), Limits{})
			for round := range 30 {
				if got := do(tr, request(t, method, "/poison", nil)); got.err != nil || got.cut != nil {
					t.Fatalf("got %+v", got)
				}
				crowd(t, tr, round, 12)
			}
		})
	}
}
