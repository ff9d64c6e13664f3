package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A reply is an answer of the proxy, and what became of the connection.
type reply struct {
	status int
	header http.Header
	body   string
	closed bool // by the proxy, right after it; only looked at if status is an error
}

func (r *reply) code() string {
	_, rest, _ := strings.Cut(r.body, "\n")
	_, rest, _ = strings.Cut(rest, "\n")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

func (r *reply) String() string { return fmt.Sprintf("%d %q closed=%v", r.status, r.body, r.closed) }

// dial opens a connection to the proxy that the test closes at its end.
func (p *proxy) dial() net.Conn { return p.dialFrom("") }

// dialFrom is dial from an address of this machine.
func (p *proxy) dialFrom(local string) net.Conn {
	p.Helper()
	d := net.Dialer{Timeout: patience}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	c, err := d.Dial("tcp", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	p.Cleanup(func() { c.Close() })
	return c
}

// raw sends bytes on a connection of their own and reads one answer; status is
// 0 if the connection was closed without.
func (p *proxy) raw(text string) *reply { p.Helper(); return p.rawFrom("", text) }

func (p *proxy) rawFrom(local, text string) *reply {
	p.Helper()
	c := p.dialFrom(local)
	defer c.Close()
	go io.WriteString(c, text) // an answer may come before all is sent
	method, _, _ := strings.Cut(text, " ")
	br := bufio.NewReader(c)
	r := readReply(br, method)
	if r.status >= 400 {
		limit := 100 * time.Millisecond
		if r.header.Get("Connection") == "close" {
			limit = patience
		}
		c.SetReadDeadline(time.Now().Add(limit))
		_, err := br.ReadByte()
		r.closed = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	return r
}

func readReply(br *bufio.Reader, method string) *reply {
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return &reply{closed: true, header: http.Header{}, body: err.Error()}
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		r := &reply{status: resp.StatusCode, header: resp.Header}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return r
		}
		b, err := io.ReadAll(resp.Body)
		if r.body = string(b); err != nil {
			r.body += " cut: " + err.Error()
		}
		return r
	}
}

// get sends GET with further field lines.
func (p *proxy) get(host, target string, fields ...string) *reply {
	p.Helper()
	return p.raw(request("GET", host, target, fields...))
}

func request(method, host, target string, fields ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// fetch sends GET over kept connections.
func (p *proxy) fetch(host, target string) (status int, body string, err error) {
	resp, err := p.client.Get("http://" + host + target)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// await waits until host is answered with a status and a body that has part.
func (p *proxy) await(host string, status int, part string) {
	p.Helper()
	var last string
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		got, body, err := p.fetch(host, "/")
		if err == nil && got == status && strings.Contains(body, part) {
			return
		}
		last = fmt.Sprint(got, " ", body, " ", err)
		<-tick.C
	}
	p.Fatalf("%s was not answered with %d %q within %s, but with %s", host, status, part, patience, last)
}

// A load sends requests until it is stopped and judges each answer.
type load struct {
	p      *proxy
	stop   chan struct{}
	done   sync.WaitGroup
	sent   atomic.Int64
	failed atomic.Int64
	mu     sync.Mutex
	faults []string
}

// load asks for host from so many clients at once. judge says what is wrong
// with an answer, "" if nothing is; nil wants 200.
func (p *proxy) load(clients int, host string, judge func(status int, body string) string) *load {
	if judge == nil {
		judge = func(status int, body string) string {
			if status != 200 {
				return fmt.Sprintf("%d %s", status, body)
			}
			return ""
		}
	}
	l := &load{p: p, stop: make(chan struct{})}
	for range clients {
		l.done.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
				status, body, err := p.fetch(host, "/load")
				l.sent.Add(1)
				fault := ""
				if err != nil {
					fault = err.Error()
				} else {
					fault = judge(status, body)
				}
				if fault != "" {
					l.failed.Add(1)
					l.mu.Lock()
					l.faults = append(l.faults, fault)
					l.mu.Unlock()
				}
			}
		})
	}
	p.Cleanup(l.end)
	return l
}

// end stops the load; further calls do nothing.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.done.Wait()
}

// more waits until so many further requests were answered.
func (l *load) more(n int64) {
	l.p.Helper()
	want := l.sent.Load() + n
	eventually(l.p, "requests go on", func() bool { return l.sent.Load() >= want })
}

// noneFailed ends the load and fails the test if a request was not as it
// should be.
func (l *load) noneFailed() {
	l.p.Helper()
	l.end()
	if n := l.failed.Load(); n > 0 || l.sent.Load() == 0 {
		l.p.Errorf("%d of %d requests failed, want 0 of some; the first: %q", n, l.sent.Load(), l.faults[:min(3, len(l.faults))])
	}
}

// A socket is a websocket, of which the frames do not matter here.
type socket struct {
	net.Conn
	r *bufio.Reader
}

// upgrade opens a websocket through the proxy.
func (p *proxy) upgrade(host string) *socket {
	p.Helper()
	c := p.dial()
	io.WriteString(c, request("GET", host, "/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
	br := bufio.NewReader(c)
	if r := readReply(br, "GET"); r.status != http.StatusSwitchingProtocols {
		p.Fatalf("upgrade: %v, want 101", r)
	}
	return &socket{c, br}
}

// says sends text and reports whether it comes back.
func (s *socket) says(text string) bool {
	s.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(s, text); err != nil {
		return false
	}
	b := make([]byte, len(text))
	_, err := io.ReadFull(s.r, b)
	return err == nil && string(b) == text
}
