//go:build linux

// Package wire is the little of HTTP/1.1 that the origin and the load generator
// speak, and the sockets they speak it on. It trusts what it reads: both ends
// belong to the benchmark, and the proxy between them is what is measured.
package wire

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Head returns the length of the head at the front of b, its blank line
// included, or 0 if there is no whole one yet.
func Head(b []byte) int {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return 0
}

var contentLength = []byte("content-length:")

// Length returns the Content-Length of a head, or -1 if it has none that is a
// number.
func Length(head []byte) int64 {
	for rest := head; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(line[len(contentLength):])), 10, 64)
			if err != nil || n < 0 {
				return -1
			}
			return n
		}
		rest = after
	}
	return -1
}

// Status returns the status of an answer's head, or 0.
func Status(head []byte) int {
	if len(head) < len("HTTP/1.1 200") || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0
	}
	n, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return 0
	}
	return n
}

// Poll waits for sockets. The generator and the origin are single threads: what
// they cost lies on one processor, and they never wake each other.
type Poll struct{ fd int }

// NewPoll returns a Poll that is to be closed.
func NewPoll() (*Poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Poll{fd}, nil
}

// Add has fd reported when events (unix.EPOLLIN, unix.EPOLLOUT) are due.
func (p *Poll) Add(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Set changes what fd is reported for.
func (p *Poll) Set(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Wait fills events with what is due, after at most ms milliseconds (-1: any
// time), and returns that part of it.
func (p *Poll) Wait(events []unix.EpollEvent, ms int) ([]unix.EpollEvent, error) {
	for {
		n, err := unix.EpollWait(p.fd, events, ms)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
		return events[:n], nil
	}
}

// Close ends the Poll; sockets stay open.
func (p *Poll) Close() error { return unix.Close(p.fd) }

// Dial opens a non-blocking connection to addr.
func Dial(addr netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("dial %s: %w", addr, err)
	}
	err = unix.Connect(fd, address(addr))
	if err == nil {
		err = open(fd)
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("dial %s: %w", addr, err)
	}
	return fd, nil
}

// Listen opens a listening socket at addr; port 0 is any.
func Listen(addr netip.AddrPort) (int, netip.AddrPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, addr, fmt.Errorf("listen: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, address(addr))
	}
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		unix.Close(fd)
		return 0, addr, fmt.Errorf("listen on %s: %w", addr, err)
	}
	name, err := unix.Getsockname(fd)
	if at, ok := name.(*unix.SockaddrInet4); ok {
		addr = netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	}
	return fd, addr, err
}

// Accept takes a connection from a listening socket. The error is unix.EAGAIN
// if none is waiting.
func Accept(ln int) (int, error) {
	fd, _, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		err = noDelay(fd)
	}
	return fd, err
}

func open(fd int) error {
	if err := noDelay(fd); err != nil {
		return err
	}
	return unix.SetNonblock(fd, true)
}

func noDelay(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

func address(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
