package discovery

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	sigKILL = int(unix.SIGKILL)
	sigTERM = int(unix.SIGTERM)
)

// signalNumber reads a signal as images and events write it: "SIGQUIT",
// "quit", "3", "RTMIN+3"; 0 if it is none.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return 0
		}
		return n
	}
	s = strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if off, ok := strings.CutPrefix(s, "RTMIN"); ok {
		return realtime(34, off) // glibc keeps 32 and 33
	}
	if off, ok := strings.CutPrefix(s, "RTMAX"); ok {
		return realtime(64, off)
	}
	return int(unix.SignalNum("SIG" + s))
}

func realtime(base int, offset string) int {
	if offset == "" {
		return base
	}
	n, err := strconv.Atoi(offset)
	if err != nil || base+n < 34 || base+n > 64 {
		return 0
	}
	return base + n
}

// signalName is the other way round, for people.
func signalName(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(n)
}
