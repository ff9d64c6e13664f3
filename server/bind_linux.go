package server

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// bound is a port that was taken with bind(2) and is not open yet: the kernel
// answers clients with a reset until listen(2).
type bound struct {
	file *os.File
	addr net.Addr
}

// bind takes addr as net.Listen("tcp", addr) would, on both stacks if addr
// names no address.
func bind(addr string) (socket, error) {
	if addr == "" {
		return nil, errors.New("no address")
	}
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if v4 := a.IP.To4(); v4 != nil {
		return bindTo(syscall.AF_INET, &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(v4)})
	}
	sa := &syscall.SockaddrInet6{Port: a.Port}
	wildcard := a.IP == nil || a.IP.IsUnspecified()
	if !wildcard {
		sa.Addr = [16]byte(a.IP)
		if a.Zone != "" {
			iface, err := net.InterfaceByName(a.Zone)
			if err != nil {
				return nil, err
			}
			sa.ZoneId = uint32(iface.Index)
		}
	}
	s, err := bindTo(syscall.AF_INET6, sa)
	if err != nil && a.IP == nil && withoutIPv6(err) {
		return bindTo(syscall.AF_INET, &syscall.SockaddrInet4{Port: a.Port})
	}
	return s, err
}

// withoutIPv6 reports whether err is what a kernel without IPv6, or with
// net.ipv6.conf.all.disable_ipv6, says.
func withoutIPv6(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

func bindTo(family int, sa syscall.Sockaddr) (socket, error) {
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "tcp")
	if err := prepare(fd, family, sa); err != nil {
		file.Close()
		return nil, err
	}
	addr, err := addrOf(fd)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &bound{file, addr}, nil
}

func prepare(fd, family int, sa syscall.Sockaddr) error {
	if family == syscall.AF_INET6 {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// Without SO_REUSEADDR first: with it, anybody could still take a port that
	// is bound and not listening. With it if that fails, because a port whose
	// last connections are in TIME_WAIT is free; one with a listener is not.
	err := syscall.Bind(fd, sa)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := reuse(fd); err != nil {
			return err
		}
		err = syscall.Bind(fd, sa)
	}
	return os.NewSyscallError("bind", err)
}

func reuse(fd int) error {
	return os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
}

func addrOf(fd int) (net.Addr, error) {
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	}
	return nil, errors.New("getsockname: no TCP address")
}

func (b *bound) Addr() net.Addr { return b.addr }

// Listen opens the port. The kernel shortens the queue to net.core.somaxconn.
func (b *bound) Listen() (net.Listener, error) {
	defer b.file.Close() // FileListener has its own copy
	fd := int(b.file.Fd())
	if err := reuse(fd); err != nil { // the connections' TIME_WAIT must not be in the way of the next start
		return nil, err
	}
	const queue = 65535
	if err := syscall.Listen(fd, queue); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(b.file)
}

func (b *bound) Close() error {
	if err := b.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
