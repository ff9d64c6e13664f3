package e2e

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialWebSocket connects to whoami's echo and reads its greeting.
func dialWebSocket(t testing.TB, p *proxy, host string) (*websocket.Conn, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+host+"/ws", &websocket.DialOptions{HTTPClient: client(p.addr, false)})
	if err != nil {
		t.Fatalf("open a websocket to %s: %v", host, err)
	}
	t.Cleanup(func() { c.CloseNow() })
	_, greeting, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c, string(greeting)
}

// echo sends a message and wants it back.
func echo(ctx context.Context, c *websocket.Conn, msg string) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
		return err
	}
	_, got, err := c.Read(ctx)
	if err == nil && string(got) != msg {
		err = fmt.Errorf("got %q back, want %q", got, msg)
	}
	return err
}

// What other containers do is nothing to a stream: no reload cuts it.
func TestWebSocketOutlivesTheChurnOfOthers(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		host := unique(t, "ws") + ".localhost"
		c := runApp(t, label("host", host))
		p.servedBy(host, c.ID)
		ws, greeting := dialWebSocket(t, p, host)
		if greeting != c.ID {
			t.Fatalf("greeted by %q, want %s", greeting, c.ID)
		}
		// A crash loop beside it, and deploys of another service.
		other := unique(t, "other") + ".localhost"
		runApp(t, label("host", "loop-"+other), "--restart", "always", "-e", "WHOAMI_GRACE=rubbish")
		for i := range 4 {
			o := runApp(t, label("host", fmt.Sprintf("n%d-%s", i, other)))
			p.servedBy(fmt.Sprintf("n%d-%s", i, other), o.ID)
			o.do("rm", "-f")
			if err := echo(t.Context(), ws, fmt.Sprintf("message %d", i)); err != nil {
				t.Fatalf("after %d changes beside it: %v", i+1, err)
			}
		}
	})
}

func TestServerSentEventsArriveAsTheyAreSent(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "sse") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	began := time.Now()
	resp, err := client(p.addr, false).Get("http://" + host + "/sse?interval=1h")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "id: 1") {
		t.Fatalf("got %q, %v, want the first event", line, err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the first event took %v", took)
	}
}
