package backend

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
)

func TestProxyCutsWhatTheAppCut(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + strings.Repeat("x", 50000),
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bare LF": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
	} {
		e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
			conntest.ReadHead(r)
			io.WriteString(c, answer)
		}))
		resp, err := e.Client.Get(e.URL)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the client took the answer for complete", name)
		}
		if x := <-e.done; x.Code != "answer-cut" || x.Cause == nil {
			t.Errorf("%s: noted %s %v", name, x.Code, x.Cause)
		}
	}
}

func TestProxyFlushesWhatIsLive(t *testing.T) {
	for name, head := range map[string]string{
		"event stream":   "Content-Type: text/event-stream\r\nContent-Length: 12\r\n",
		"slow download":  "Content-Length: 12\r\n",
		"chunked":        "Transfer-Encoding: chunked\r\n",
		"unknown length": "Connection: close\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
				conntest.ReadHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n")
				for range 3 {
					<-next // the client has seen what was sent so far
					if name == "chunked" {
						io.WriteString(c, "4\r\ntick\r\n")
					} else {
						io.WriteString(c, "tick")
					}
				}
				if name == "chunked" {
					io.WriteString(c, "0\r\n\r\n")
				}
			}))
			resp, err := e.Client.Get(e.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			buf := make([]byte, 4)
			for range 3 {
				next <- struct{}{}
				if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "tick" {
					t.Fatalf("got %q %v", buf, err)
				}
			}
			if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
				t.Errorf("behind it: %q %v", rest, err)
			}
		})
	}
}

func TestProxyExpectContinue(t *testing.T) {
	e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c, r := e.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if head, err := conntest.ReadHead(r); err != nil || head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q %v", head, err)
	}
	io.WriteString(c, "body")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "body" {
		t.Errorf("got %q", body)
	}
}

// The app answers before it has read the request: the client gets the answer,
// whether it goes on sending, waits, or sends what looks like a request.
func TestProxyEarlyAnswer(t *testing.T) {
	for name, send := range map[string]func(c net.Conn){
		"goes on sending": func(c net.Conn) {
			junk := []byte("10000\r\n" + strings.Repeat("x", 64<<10) + "\r\n") // a chunk, or just bytes
			for {
				if _, err := c.Write(junk); err != nil {
					return
				}
			}
		},
		"sends nothing": func(net.Conn) {},
		"sends a bait":  func(c net.Conn) { io.WriteString(c, "x\r\nGET /bait HTTP/1.1\r\nHost: a\r\n\r\n") },
	} {
		for _, status := range []string{"200 OK", "413 Content Too Large"} {
			for _, framing := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
				t.Run(name+"/"+status+"/"+framing, func(t *testing.T) {
					t.Parallel()
					var baits atomic.Int64
					e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
						if head, _ := conntest.ReadHead(r); strings.Contains(head, "bait") {
							baits.Add(1)
						}
						io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 5\r\n\r\nhello")
						io.Copy(io.Discard, r)
					}))
					c, r := e.dial(t)
					io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+framing+"\r\n\r\n")
					var sending sync.WaitGroup
					sending.Go(func() { send(c) })
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					malformed := name == "sends a bait" && framing[0] == 'T' && resp.StatusCode == 400
					if !malformed && (fmt.Sprint(resp.StatusCode) != status[:3] || string(body) != "hello") {
						t.Errorf("got %s %q, want %s hello", resp.Status, body, status)
					}
					<-e.done
					r.ReadByte() // closed
					c.Close()
					sending.Wait()
					if baits.Load() > 0 {
						t.Error("the rest of a body was taken for a request")
					}
				})
			}
		}
	}
}

// Both ways at once: what the app sends while it reads reaches the client
// while it sends.
func TestProxyFullDuplex(t *testing.T) {
	e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		ctl.EnableFullDuplex()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			ctl.Flush()
			if err != nil {
				return
			}
		}
	}))
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", e.URL, pr)
	go io.WriteString(pw, "0")
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 1)
	for i := range 5 {
		if _, err := io.ReadFull(resp.Body, buf); err != nil || buf[0] != byte('0'+i) {
			t.Fatalf("got %q %v, want %d", buf, err, i)
		}
		if i < 4 {
			fmt.Fprint(pw, i+1)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("behind it: %q %v", rest, err)
	}
}

func TestProxyBadRequestBodies(t *testing.T) {
	for name, tt := range map[string]struct {
		send string
		gone bool // the client left; else it is told
	}{
		"short, then closed":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", true},
		"large, short, then closed":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc", true},
		"malformed chunk":            {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n\r\nGET /bait HTTP/1.1\r\nHost: a\r\n\r\n", false},
		"chunked, cut in the middle": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			var complete, baits atomic.Int64
			e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/bait" {
					baits.Add(1)
				}
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					complete.Add(1)
				}
			}))
			c, r := e.dial(t)
			io.WriteString(c, tt.send)
			if tt.gone {
				c.(*net.TCPConn).CloseWrite()
			}
			resp, err := http.ReadResponse(r, nil)
			x := <-e.done
			switch {
			case tt.gone && (x.Code != "client-gone" || x.Response.Status != 499):
				t.Errorf("noted %s with status %d: %v", x.Code, x.Response.Status, x.Cause)
			case !tt.gone && (err != nil || resp.StatusCode != 400 || !resp.Close || x.Code != "bad-request"):
				t.Errorf("got %v %v, noted %s: %v", resp, err, x.Code, x.Cause)
			}
			if complete.Load()+baits.Load() > 0 {
				t.Error("the app took the request for complete")
			}
		})
	}
}

func TestProxyBodyTooLarge(t *testing.T) {
	e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	e.handler = http.MaxBytesHandler(e.handler, 100_000)
	resp, err := e.Client.Post(e.URL, "", io.MultiReader(strings.NewReader(strings.Repeat("x", 150_000))))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if x := <-e.done; resp.StatusCode != 413 || x.Code != "body-too-large" {
		t.Errorf("got %d, noted %s %v", resp.StatusCode, x.Code, x.Cause)
	}
}

func TestProxyClientGone(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"} {
		reached, gone := make(chan struct{}), make(chan struct{})
		e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
			conntest.ReadHead(r)
			io.WriteString(c, answer)
			close(reached)
			r.ReadByte()
			close(gone)
		}))
		c, _ := e.dial(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-reached
		c.Close()
		<-gone
		if x := <-e.done; x.Code != "client-gone" || answer == "" && x.Response.Status != 499 {
			t.Errorf("noted %s with status %d: %v", x.Code, x.Response.Status, x.Cause)
		}
	}
}

// 64 MiB both ways at once for several clients: memory is bounded and the
// first bytes pass at once.
func TestProxyBoundedMemory(t *testing.T) {
	const size, clients = 64 << 20, 2
	e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.CopyN(w, zeros{}, size)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	var most atomic.Uint64
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	}()
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			resp, err := e.Client.Get(e.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("download: got %d bytes, %v", n, err)
			}
		})
		running.Go(func() {
			resp, err := e.Client.Post(e.URL, "", io.LimitReader(zeros{}, size))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != fmt.Sprint(size) || err != nil {
				t.Errorf("upload: got %s, %v", got, err)
			}
		})
	}
	running.Wait()
	close(stop)
	<-stopped
	if grown := int64(most.Load()) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Over HTTP/2 a body can be ended without a deadline, and the connection lives
// on.
func TestProxyHTTP2(t *testing.T) {
	e := newEdge(t, rawApp(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/early" {
				io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
				io.Copy(io.Discard, r)
				return
			}
			n, _ := io.Copy(io.Discard, req.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n%d", n)
		}
	}))
	s := httptest.NewUnstartedServer(e.handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	for i := range 4 {
		path, want := "/", "200 1048576"
		if i%2 == 0 {
			path, want = "/early", "413 "
		}
		var body io.Reader = io.LimitReader(zeros{}, 1<<20)
		if path == "/early" {
			pr, pw := io.Pipe() // never says anything
			defer pw.Close()
			body = pr
		}
		resp, err := s.Client().Post(s.URL+path, "", body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if fmt.Sprintf("%d %s", resp.StatusCode, got) != want || resp.ProtoMajor != 2 || err != nil {
			t.Errorf("%s: got %d %s over %s, %v; want %s", path, resp.StatusCode, got, resp.Proto, err, want)
		}
	}
}

func TestProxyKeepsClientConnections(t *testing.T) {
	e := newEdge(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}))
	c, r := e.dial(t)
	for i := range 50 {
		body := strings.Repeat("x", i*2000)
		if i%2 == 0 {
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		} else {
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if got, err := io.ReadAll(resp.Body); len(got) != len(body) || err != nil {
			t.Fatalf("request %d: got %d bytes of %d, %v", i, len(got), len(body), err)
		}
	}
}
