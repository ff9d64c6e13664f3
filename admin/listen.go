package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Listener is the control socket. Closing it removes the socket's file, unless
// another process has put its own in the place.
type Listener struct {
	*net.UnixListener
	socket string      // the path that clients know
	file   os.FileInfo // what is at path while it is ours

	mu   sync.Mutex
	path string // guarded by mu; where it is
}

// Listen opens socket, mode 0600, in a directory that is made, 0700, if there
// is none. A socket on which nobody answers, left by a process that was killed,
// is replaced; with a live one it is an error.
func Listen(socket string) (*Listener, error) {
	if err := makeDir(socket); err != nil {
		return nil, err
	}
	if err := removeStale(socket); err != nil {
		return nil, err
	}
	return listen(socket, socket)
}

// ListenBeside opens a socket that takes the place of socket, which another
// process answers on, when it is published.
func ListenBeside(socket string) (*Listener, error) {
	if err := makeDir(socket); err != nil {
		return nil, err
	}
	beside := filepath.Join(filepath.Dir(socket), "."+filepath.Base(socket))
	if err := removeStale(beside); err != nil {
		return nil, err
	}
	return listen(socket, beside)
}

func makeDir(socket string) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}

func listen(socket, path string) (*Listener, error) {
	// The mode is set on the socket before it gets a name, so that there is no
	// moment at which another user could open it.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = private(fd) }); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l := &Listener{UnixListener: ln.(*net.UnixListener), socket: socket, path: path}
	l.SetUnlinkOnClose(false) // the path may be another's by then
	err = os.Chmod(path, 0o600)
	if err == nil {
		l.file, err = os.Lstat(path)
	}
	if err != nil {
		l.UnixListener.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return l, nil
}

// Publish puts the socket in its place, atomically: clients reach the one or the
// other at any moment. Nothing happens to one that is there already.
func (l *Listener) Publish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.Rename(l.path, l.socket); err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	l.path = l.socket
	return nil
}

// Close stops listening. What is said on open connections goes on.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if file, err := os.Lstat(l.path); err == nil && os.SameFile(file, l.file) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

func removeStale(socket string) error {
	info, err := os.Lstat(socket)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("admin socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("admin socket: %s exists and is no socket", socket)
	}
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("another fairlead is running on %s: stop it, or choose another --admin and --data-dir", socket)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}
