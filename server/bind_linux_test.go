package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestPortIsRefusedUntilServe(t *testing.T) {
	s := &Server{Engine: func(EntryPoint) Engine { return NewStd(StdConfig{Handler: http.HandlerFunc(ok)}) }}
	if err := s.Bind(EntryPoint{Name: "http", Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	addr := s.EntryPoints()[0].Addr
	if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial before Serve: %v, %v, want refused", c, err)
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		l.Close()
		t.Error("the port was not reserved")
	}
}

func TestBindSaysWhichPortIsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := &Server{}
	err = s.Bind(EntryPoint{Name: "free", Addr: "127.0.0.1:0"}, EntryPoint{Name: "http", Addr: taken.Addr().String()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "bind "+taken.Addr().String()+" (entry point http)") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if n := len(s.EntryPoints()); n != 0 {
		t.Errorf("%d entry points stay bound after an error", n)
	}
}

func TestPortInTimeWaitIsFree(t *testing.T) {
	first := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{})
	c := first.dial(t)
	if got := ask(c, "Connection: close\r\n"); got != 200 { // the server closes first, so TIME_WAIT is on its side
		t.Fatalf("status %d", got)
	}
	io.Copy(io.Discard, c)
	c.Close()
	first.stop()
	again := start(t, &Server{}, StdConfig{Handler: http.HandlerFunc(ok)}, EntryPoint{Addr: first.addr})
	if got := ask(again.dial(t), ""); got != 200 {
		t.Errorf("status %d", got)
	}
}

func TestWithoutIPv6(t *testing.T) {
	for err, want := range map[error]bool{
		os.NewSyscallError("socket", syscall.EAFNOSUPPORT): true,
		os.NewSyscallError("bind", syscall.EADDRNOTAVAIL):  true,
		os.NewSyscallError("bind", syscall.EADDRINUSE):     false,
		os.NewSyscallError("bind", syscall.EACCES):         false,
	} {
		if got := withoutIPv6(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
