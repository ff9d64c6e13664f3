package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/server"
)

// firstPassed is the first file that systemd passes (sd_listen_fds(3)).
const firstPassed = 3

// activated returns the sockets that systemd has opened for this process. What
// says so is taken out of the environment: it is not for processes that this one
// starts.
func activated() ([]server.Socket, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS=%s: want the number of sockets that systemd passes", count)
	}
	files := make([]*os.File, n)
	for i := range files {
		syscall.CloseOnExec(firstPassed + i)
		files[i] = os.NewFile(uintptr(firstPassed+i), "systemd")
	}
	return passed(files, strings.Split(names, ":"))
}

// passed describes the sockets in files, some of which have names.
func passed(files []*os.File, names []string) ([]server.Socket, error) {
	var out []server.Socket
	for i, file := range files {
		ln, err := net.FileListener(file)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("socket %d that systemd passes: %w: want ListenStream= with Accept=no", i+1, err)
		}
		s := server.Socket{Bound: ln.Addr().String(), File: file}
		if i < len(names) {
			s.Name = names[i]
		}
		ln.Close()
		out = append(out, s)
	}
	return out, nil
}

// notify tells systemd, if it wants to know (sd_notify(3)).
func (p *process) notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		p.log.Warn().Err(err).Str("state", state).Msg("systemd could not be told")
	}
}
