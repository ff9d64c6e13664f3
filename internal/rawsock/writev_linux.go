package rawsock

import "syscall"

// Writev writes the first MaxWrite bytes of three pieces, one of which at least
// must not be empty, or fewer.
func Writev(fd uintptr, a, b, c []byte) (int, syscall.Errno) {
	var (
		parts [3]syscall.Iovec
		n     int
		room  = MaxWrite
		first []byte
	)
	for _, p := range [...][]byte{a, b, c} {
		if p = p[:min(len(p), room)]; len(p) == 0 {
			continue
		}
		if n == 0 {
			first = p
		}
		parts[n].Base = &p[0]
		parts[n].SetLen(len(p))
		n++
		room -= len(p)
	}
	if n == 1 {
		return Write(fd, first)
	}
	for {
		sent, err := writev(fd, first, parts[:n])
		if err == 0 {
			return sent, 0
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}
