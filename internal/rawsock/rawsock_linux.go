// Package rawsock makes system calls on non-blocking sockets without telling
// the scheduler. entersyscall and exitsyscall cost more than many a short call,
// and a thread that sysmon finds inside one loses its processor: at 4,000
// requests a second, of which each finds the process idle, that doubles what a
// request costs. The price is that the processor is held meanwhile, so pieces
// are bounded (MaxWrite), and a descriptor that may block must not be used.
//
// Descriptors come from syscall.RawConn, whose callbacks keep them open.
package rawsock

import (
	"syscall"
	"unsafe"
)

// MaxWrite is how much one Write may be given, in bytes.
const MaxWrite = 64 << 10

// Read reads into p, which must not be empty. 0 bytes without an error are the
// end; EAGAIN is nothing to read yet.
func Read(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := read(fd, p)
		if err == 0 {
			return n, 0
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}

// Write writes the first MaxWrite bytes of p, which must not be empty, or fewer.
func Write(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := write(fd, p[:min(len(p), MaxWrite)])
		if err == 0 {
			return n, 0
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}

// Peek tells whether there is something to read: 1 byte, 0 for the end, or
// EAGAIN for nothing yet.
func Peek(fd uintptr) (int, syscall.Errno) {
	var b [1]byte
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if err == 0 {
			return int(n), 0
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}
