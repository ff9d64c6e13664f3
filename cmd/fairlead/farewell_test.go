package main

import (
	"io"
	"testing"
	"time"
)

// goingAway is a Close frame with status 1001 (RFC 6455 7.4.1).
const goingAway = "\x88\x02\x03\xe9"

// bidsFarewell reports whether the next bytes of s are that frame.
func (s *socket) bidsFarewell() bool {
	s.SetReadDeadline(time.Now().Add(patience))
	frame := make([]byte, len(goingAway))
	_, err := io.ReadFull(s.r, frame)
	return err == nil && string(frame) == goingAway
}

func TestWebsocketsAreToldThatTheProxyLeaves(t *testing.T) {
	w := newWorld(t)
	w.run(labelled("web", "host=app.test"), echo)
	p := w.start("--shutdown-timeout", "10s")
	p.await("app.test", 200, "web ")
	ws := p.upgrade("app.test")
	stopped := make(chan struct{})
	go func() { p.stop(); close(stopped) }()
	if !ws.bidsFarewell() {
		t.Error("the client was not told with 1001 before the connection ended")
	}
	ws.Close()
	<-stopped
	if len(p.accessLines(`"code":"going-away"`, "the proxy is leaving")) != 1 {
		t.Errorf("the access log does not say why it ended: %v", p.accessLines("101"))
	}
}

func TestWebsocketsAreToldThatTheirContainerStops(t *testing.T) {
	w := newWorld(t)
	_, id := w.run(labelled("web", "host=app.test"), echo)
	w.run(labelled("other", "host=other.test"), echo)
	p := w.start()
	p.await("app.test", 200, "web ")
	p.await("other.test", 200, "other ")
	ws, beside := p.upgrade("app.test"), p.upgrade("other.test")
	defer beside.Close()
	w.engine.Kill(id, 15)
	if !ws.bidsFarewell() {
		t.Error("the client was not told with 1001 that its container stops")
	}
	ws.Close()
	if !beside.says("still here") {
		t.Error("the websocket of another container ended")
	}
	eventually(t, "the access log says why it ended", func() bool {
		return len(p.accessLines(`"code":"going-away"`, "its container is stopping")) == 1
	})
}
