//go:build race

package rawsock

import "syscall"

// Package syscall has no writev.
func writev(fd uintptr, first []byte, _ []syscall.Iovec) (int, syscall.Errno) {
	return write(fd, first)
}
