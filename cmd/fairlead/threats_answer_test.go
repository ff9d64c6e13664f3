package main

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestThreat29HeadsBeyondTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	p, a := site(t, nil)
	for name, raw := range map[string]string{
		"2 MiB target":     request("GET", "app.test", "/"+strings.Repeat("a", 2<<20)),
		"2 MiB query":      request("GET", "app.test", "/?"+strings.Repeat("a", 2<<20)),
		"20,000 fields":    request("GET", "app.test", "/", strings.Split(strings.TrimSpace(strings.Repeat("X-F: 1\n", 20_000)), "\n")...),
		"one field 1 MiB":  request("GET", "app.test", "/", "X-Big: "+strings.Repeat("b", 1<<20)),
		"one name 200 KiB": request("GET", "app.test", "/", strings.Repeat("N", 200<<10)+": x"),
	} {
		r := p.raw(raw)
		if r.status != 431 && r.status != 414 || !r.closed {
			t.Errorf("%s: %.100v, want 431 or 414 and close", name, r)
		}
	}
	if r := p.get("app.test", "/", "X-Big: "+strings.Repeat("b", 40<<10)); r.status != 200 {
		t.Errorf("a field of 40 KiB: %v, want 200, for it is below the limit of 64 KiB", r)
	}
	if n := len(a.requests()); n != 1 {
		t.Errorf("%d requests reached the app, want the good one", n)
	}
}

func TestThreat29HeadLimitIsASetting(t *testing.T) {
	t.Parallel()
	p, _ := site(t, nil, "--max-head-bytes", "8k")
	if r := p.get("app.test", "/", "X-Big: "+strings.Repeat("b", 24<<10)); r.status != 431 {
		t.Errorf("24 KiB of head: %v, want 431", r)
	}
	if r := p.get("app.test", "/", "X-Big: "+strings.Repeat("b", 6<<10)); r.status != 200 {
		t.Errorf("6 KiB of head: %v, want 200", r)
	}
}

func TestThreat29EndlessTrailersOfAClientAreCut(t *testing.T) {
	t.Parallel()
	p, _ := site(t, nil)
	r := p.raw(request("POST", "app.test", "/", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n" + strings.Repeat("X-T: "+strings.Repeat("t", 1000)+"\r\n", 4<<10) + "\r\n")
	if r.status == 200 && !r.closed && strings.HasPrefix(r.body, "web") {
		t.Errorf("4 MiB of trailers: %v, want them refused", r)
	}
	if r := p.get("app.test", "/after"); r.status != 200 || r.body != "web /after" {
		t.Errorf("the next client got %v, want its own answer", r)
	}
}

// Not beside other tests: it counts what is allocated.
func TestThreat29AnswersBeyondTheLimitAreBounded(t *testing.T) {
	kilobyte, megabyte := strings.Repeat("x", 1000)+"\r\n", strings.Repeat("O", 1<<20)
	p, _ := site(t, func(c *appConn, r *seen) bool {
		switch r.target() {
		case "/head":
			c.say("HTTP/1.1 200 OK\r\n")
			c.repeat("X-H: "+kilobyte, 8<<10)
			c.say("Content-Length: 0\r\n\r\n")
		case "/fields":
			c.say("HTTP/1.1 200 OK\r\n")
			c.repeat("A: 1\r\n", 400_000)
			c.say("Content-Length: 0\r\n\r\n")
		case "/1xx":
			c.repeat("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n", 5000)
			c.ok("late")
		case "/trailer":
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
			c.repeat("X-T: "+kilobyte, 8<<10)
			c.say("\r\n")
		case "/line":
			c.say("HTTP/1.1 200 ")
			c.repeat(megabyte, 8)
			c.say("\r\nContent-Length: 0\r\n\r\n")
		default:
			return c.ok("web " + r.target())
		}
		return false
	})
	var before, after runtime.MemStats
	for _, target := range []string{"/head", "/fields", "/1xx", "/line", "/trailer"} {
		runtime.ReadMemStats(&before)
		r := p.get("app.test", target)
		runtime.ReadMemStats(&after)
		if target == "/trailer" {
			if r.status == 200 && !strings.Contains(r.body, "cut") {
				t.Errorf("%s: %.200v, want the answer cut", target, r)
			}
		} else if r.status != 502 {
			t.Errorf("%s: %.200v, want 502", target, r)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d MiB were allocated for it, want it bounded", target, used>>20)
		}
	}
	for i := range 5 {
		if r := p.get("app.test", fmt.Sprint("/", i)); r.body != fmt.Sprint("web /", i) {
			t.Errorf("a later client got %v, want its own answer", r)
		}
	}
}

func TestThreat32BytesNobodyAskedForPoisonNobody(t *testing.T) {
	t.Parallel()
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	answers := map[string]string{
		"/head":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + poison,
		"/204":         "HTTP/1.1 204 No Content\r\n\r\n" + poison,
		"/204-length":  "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello" + poison,
		"/304":         "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + poison,
		"/extra":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + poison,
		"/chunked":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + poison,
		"/blank":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n" + poison,
		"/both":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + poison,
		"/two-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello" + poison,
	}
	for target := range answers {
		t.Run(target[1:], func(t *testing.T) {
			t.Parallel()
			p, a := site(t, func(c *appConn, r *seen) bool {
				if bad, ok := answers[r.target()]; ok {
					io.WriteString(c, bad)
					return true
				}
				return c.ok("own " + r.target())
			})
			method := "GET"
			if target == "/head" {
				method = "HEAD"
			}
			for round := range 3 {
				bad := p.raw(request(method, "app.test", target))
				if strings.Contains(bad.body, "poison") {
					t.Errorf("the first client got %v", bad)
				}
				number := a.last(t).conn
				for i := range 4 {
					own := fmt.Sprintf("/%d-%d", round, i)
					if r := p.get("app.test", own); r.status != 200 || r.body != "own "+own {
						t.Fatalf("client %d after %s got %v, want its own answer", i, target, r)
					}
					if got := a.last(t); got.conn == number {
						t.Errorf("%s went over the poisoned connection %d", got.line, number)
					}
				}
			}
		})
	}
}

// Identity that is bound to a connection (NTLM, Negotiate) must not reach the
// next user of it.
func TestThreat33AuthenticatedConnectionsAreNotShared(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"NTLM", "Negotiate", "negotiate TlRMTVNTUAAC", "Basic realm=x, NTLM"} {
		t.Run(strings.Fields(scheme)[0], func(t *testing.T) {
			t.Parallel()
			p, a := site(t, func(c *appConn, r *seen) bool {
				if r.target() == "/login" {
					c.say("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %s\r\nContent-Length: 2\r\n\r\nno", scheme)
					return true
				}
				return c.ok("own")
			})
			c := p.dial()
			br := bufio.NewReader(c)
			io.WriteString(c, request("GET", "app.test", "/login"))
			if r := readReply(br, "GET"); r.status != 401 {
				t.Fatalf("got %v, want the app's 401", r)
			}
			bound := a.last(t).conn
			for range 8 {
				p.get("app.test", "/stranger")
			}
			var strangers []int
			for _, s := range a.requests() {
				if s.target() == "/stranger" {
					strangers = append(strangers, s.conn)
				}
			}
			if slices.Contains(strangers, bound) {
				t.Errorf("strangers used connections %v, and %d was the one that was being authenticated", strangers, bound)
			}
		})
	}
}
