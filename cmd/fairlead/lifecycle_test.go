package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The labels of a newer container take over when it is ready, and hold while
// it is there: a crash loop does not open again what it closed.
func TestNewerLabelsHoldThroughACrashLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(inProject(labelled("web-1", "host=app.test"), "shop", "web"), nil)
	p := w.start()
	p.await("app.test", 200, "web-1 ")
	eventually(t, "another second has begun", func() bool { return time.Now().Nanosecond() < 2e8 })
	newer := inProject(labelled("web-2", "host=app.test", "path=/open"), "shop", "web")
	newer.Restart = "always"
	id := w.engine.Create(w.fill(newer))
	if status, _, err := p.fetch("app.test", "/closed"); status != 200 || err != nil {
		t.Errorf("before the newer container is ready: %d %v, want 200", status, err)
	}
	a := w.startApp(id, "web-2", nil)
	eventually(t, "the newer labels hold", func() bool { return p.get("app.test", "/closed").status == 404 })
	a.close()
	for range 20 {
		w.engine.Die(id, 1)
		if r := p.get("app.test", "/closed"); r.status != 404 {
			t.Fatalf("while it crashes: %v, want 404", r)
		}
		w.engine.Start(id)
		if r := p.get("app.test", "/closed"); r.status != 404 {
			t.Fatalf("while it starts: %v, want 404", r)
		}
	}
	if r := p.get("app.test", "/open"); r.status != 200 || !strings.HasPrefix(r.body, "web-1 ") {
		t.Errorf("/open = %v, want the older container to serve what is open", r)
	}
}

func TestARenamedContainerKeepsItsHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, id := w.run(labelled("first", "host=app.test"), nil)
	p := w.start()
	p.await("app.test", 200, "first ")
	l := p.load(2, "app.test", nil)
	w.run(labelled("second", "host=app.test"), nil)
	for i := range 5 {
		w.engine.Rename(id, fmt.Sprint("renamed", i))
		eventually(t, "its new name is shown", func() bool {
			return strings.Contains(mustJSON(t, p.view().Routes), fmt.Sprintf(`"container": "renamed%d"`, i))
		})
	}
	l.more(50)
	l.noneFailed()
	if got := p.view().problem("conflict"); !strings.HasPrefix(got, "second:") {
		t.Errorf("problem %q, want a conflict of the second", got)
	}
}

func TestDisconnectEndsRequestsInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := make(chan bool)
	defer close(hold)
	a, id := w.run(labelled("web", "host=app.test"), func(c *appConn, r *seen) bool {
		if r.target() == "/slow" {
			<-hold
		}
		return c.ok("web")
	})
	p := w.start()
	p.await("app.test", 200, "web")
	done := make(chan *reply, 1)
	c := p.dial()
	go func() {
		io.WriteString(c, request("GET", "app.test", "/slow"))
		done <- readReply(bufio.NewReader(c), "GET")
	}()
	eventually(t, "the request is on its way", func() bool { return a.last(t).target() == "/slow" })
	w.engine.Disconnect(id, "apps")
	select {
	case r := <-done:
		if r.status != 502 && r.status != 503 && r.status != 0 {
			t.Errorf("got %v, want 502, or 503 for the retry", r)
		}
	case <-time.After(patience):
		t.Error("the request still waits for an address that is gone")
	}
	w.engine.Connect(id, "apps")
	if got := w.engine.Addr(id, "apps").String(); !strings.HasPrefix(a.ln.Addr().String(), got+":") {
		t.Fatalf("it has %s, want its old address", got)
	}
	p.await("app.test", 200, "web")
}

func TestAnUnreadableLedgerIsSetAside(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"garbage": "{", "empty": "", "list": "[]", "zeros": "\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(labelled("web", "host=app.test"), nil)
			dir := w.dir + "/data"
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/claims.json", content)
			p := w.start("--data-dir", dir)
			p.await("app.test", 200, "web ")
			if b, err := os.ReadFile(dir + "/claims.json.unreadable"); err != nil || string(b) != content {
				t.Errorf("set aside: %q %v, want what was there", b, err)
			}
			if len(p.lines(`"level":"error"`, "claims")) == 0 {
				t.Error("the log does not mention it")
			}
			eventually(t, "a new ledger is written", func() bool {
				b, err := os.ReadFile(dir + "/claims.json")
				return err == nil && strings.Contains(string(b), "app.test")
			})
		})
	}
}

// A ledger that cannot be written is kept in memory.
func TestALedgerThatCannotBeWrittenDoesNotStopAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	eventually(t, "there is a file in the place of the data directory", func() bool {
		// Whoever writes at this moment makes the directory anew.
		return os.RemoveAll(p.settings.dataDir) == nil && os.WriteFile(p.settings.dataDir, nil, 0o600) == nil
	})
	w.run(labelled("web", "host=app.test"), nil)
	p.await("app.test", 200, "web ")
	eventually(t, "the log says so", func() bool { return len(p.lines(`"level":"error"`, "claims could not be saved")) > 0 })
}

// Bytes go through as they come: events, uploads, 1xx and trailers.
func TestStreamsPassAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan bool)
	p, a := site(t, func(c *appConn, r *seen) bool {
		switch r.target() {
		case "/events":
			c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := range 3 {
				c.say("9\r\ndata: %d\n\n\r\n", i)
				<-next
			}
			c.say("0\r\n\r\n")
			return true
		case "/trailer":
			c.say("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
			return true
		}
		return c.ok(fmt.Sprint(len(r.body)))
	})
	c := p.dial()
	br := bufio.NewReader(c)
	io.WriteString(c, request("GET", "app.test", "/events"))
	for i := range 3 {
		want := fmt.Sprintf("data: %d", i)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				t.Fatalf("event %d did not arrive: %v", i, err)
			}
			if strings.HasPrefix(line, want) {
				break
			}
		}
		next <- true
	}
	d := p.dial()
	io.WriteString(d, request("GET", "app.test", "/trailer", "TE: trailers", "Connection: close"))
	all, _ := io.ReadAll(d)
	if got := string(all); !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n") || !strings.HasSuffix(got, "2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n") {
		t.Errorf("got %q, want the 103, the body and the trailer", got)
	}
	if r := p.raw(request("POST", "app.test", "/up", "Content-Length: 3000000") + strings.Repeat("u", 3_000_000)); r.body != "3000000" {
		t.Errorf("an upload of 3,000,000 bytes: %v", r)
	}
	e := p.dial()
	io.WriteString(e, request("POST", "app.test", "/continue", "Content-Length: 2", "Expect: 100-continue"))
	er := bufio.NewReader(e)
	if line, err := er.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q %v, want 100 Continue", line, err)
	}
	io.WriteString(e, "ok")
	er.ReadString('\n')
	if r := readReply(er, "POST"); r.body != "2" || a.last(t).body != "ok" {
		t.Errorf("got %v, want the app's answer", r)
	}
}
