//go:build linux

package wire

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHeadEndsAtTheBlankLine(t *testing.T) {
	for in, want := range map[string]int{
		"":                           0,
		"GET / HTTP/1.1\r\n":         0,
		"GET / HTTP/1.1\r\n\r":       0,
		"GET / HTTP/1.1\r\n\r\nmore": 18,
	} {
		if got := Head([]byte(in)); got != want {
			t.Errorf("Head(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestLength(t *testing.T) {
	for in, want := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n":            128,
		"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n":               0,
		"HTTP/1.1 200 OK\r\nX-Content-Length: 7\r\n\r\n":            -1,
		"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n":           -1,
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":             -1,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":     -1,
		"HTTP/1.1 200 OK\r\nA: b\r\nCONTENT-LENGTH:  9 \r\n\r\n":    9,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r": 65536,
	} {
		if got := Length([]byte(in)); got != want {
			t.Errorf("Length(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for in, want := range map[string]int{
		"HTTP/1.1 200 OK\r\n": 200, "HTTP/1.1 502 Bad Gateway\r\n": 502, "HTTP/1.1 2": 0, "HTTP/2.0 200 OK\r\n": 0, "HTTP/1.1 abc\r\n": 0,
	} {
		if got := Status([]byte(in)); got != want {
			t.Errorf("Status(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestDialReachesListen(t *testing.T) {
	ln, addr, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ln)
	if _, err := Accept(ln); err != unix.EAGAIN {
		t.Errorf("Accept with nobody there: %v, want EAGAIN", err)
	}
	client, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	poll, err := NewPoll()
	if err != nil {
		t.Fatal(err)
	}
	defer poll.Close()
	if err := poll.Add(ln, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	due, err := poll.Wait(make([]unix.EpollEvent, 4), -1)
	if err != nil || len(due) != 1 || int(due[0].Fd) != ln {
		t.Fatalf("got %v, %v: want the listener", due, err)
	}
	server, err := Accept(ln)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(server)
}
