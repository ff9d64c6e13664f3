//go:build !race

package rawsock

import (
	"syscall"
	"unsafe"
)

// The runtime ignores SIGPIPE of sockets.
func writev(fd uintptr, _ []byte, parts []syscall.Iovec) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&parts[0])), uintptr(len(parts)))
	return int(n), err
}
