package server

import (
	"io"
	"net"
	"net/http"
	"testing"
)

func TestSplitServesByProtocolAndEndsBoth(t *testing.T) {
	saw := make(chan string, 2)
	h := func(name string) *Std {
		return NewStd(StdConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { saw <- name + " " + r.Proto })})
	}
	split := Split{H1: h("one"), H2: h("two")}
	addr := secure(t, func(s *Server, _ *StdConfig) { s.Engine = func(EntryPoint) Engine { return split } }, nil)
	for h2, want := range map[bool]string{false: "one HTTP/1.1", true: "two HTTP/2.0"} {
		res, err := clientOf(t, addr, h2).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := <-saw; got != want {
			t.Errorf("h2 %v: served by %s, want %s", h2, got, want)
		}
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	go split.ServeConn(theirs)
	go io.WriteString(ours, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := <-saw; got != "one HTTP/1.1" {
		t.Errorf("without TLS: served by %s", got)
	}
	one, two := &trims{}, &trims{}
	if got := (Split{one, two}).Trim(3); got != 3 || len(one.asked) != 1 || len(two.asked) != 0 {
		t.Errorf("gave %d, asked %v and %v, want all of HTTP/1.1", got, one.asked, two.asked)
	}
	if got := (Split{Hangup{}, two}).Trim(3); got != 3 || len(two.asked) != 1 {
		t.Errorf("gave %d, asked %v, want those of HTTP/2", got, two.asked)
	}
	if err := split.Close(); err != nil {
		t.Error(err)
	}
	for name, e := range map[string]Engine{"one": split.H1, "two": split.H2} {
		ours, theirs := net.Pipe()
		split.Shutdown(t.Context())
		e.ServeConn(theirs)
		if _, err := ours.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s serves after Close", name)
		}
	}
}
