//go:build race

package rawsock

import "syscall"

// The race detector knows from package syscall alone that whoever reads what
// another goroutine wrote comes after it, and which bytes were touched.

func read(fd uintptr, p []byte) (int, syscall.Errno) {
	return result(syscall.Read(int(fd), p))
}

func write(fd uintptr, p []byte) (int, syscall.Errno) {
	return result(syscall.Write(int(fd), p))
}

func result(n int, err error) (int, syscall.Errno) {
	if err == nil {
		return n, 0
	}
	return 0, err.(syscall.Errno)
}
