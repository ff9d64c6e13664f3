package admin

import "syscall"

// private sets the mode that the socket's file will have.
func private(fd uintptr) error { return syscall.Fchmod(int(fd), 0o600) }
