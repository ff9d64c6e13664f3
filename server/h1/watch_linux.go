package h1

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// A watcher notices clients that leave while their requests are served, without
// reading from them: by an epoll set beside that of Go's poller, in which it is
// itself. It is there as long as the engine has connections, once somebody has
// asked for it.
type watcher struct {
	set *os.File // an epoll set
	fd  int      // of set
	raw syscall.RawConn

	mu    sync.Mutex                 // guards all below
	last  uint64                     // token given
	known map[uint64]*requestContext // by token
}

func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	syscall.SetNonblock(fd, true) // has os wait for it by the poller, rather than by a thread
	w := &watcher{fd: fd, set: os.NewFile(uintptr(fd), "epoll"), known: make(map[uint64]*requestContext)}
	if w.raw, err = w.set.SyscallConn(); err != nil {
		w.set.Close()
		return nil, err
	}
	go w.run()
	return w, nil
}

// close ends the goroutine.
func (w *watcher) close() { w.set.Close() }

func (w *watcher) run() {
	var events [64]syscall.EpollEvent
	w.raw.Read(func(fd uintptr) (done bool) {
		for {
			n, err := syscall.EpollWait(int(fd), events[:], 0)
			if err == syscall.EINTR {
				continue
			}
			for _, e := range events[:max(n, 0)] {
				w.report(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
			}
			if n <= 0 {
				return false
			}
		}
	})
}

// report tells the request that its client has left. Its token is not that of any
// other, so a late report reaches nobody.
func (w *watcher) report(token uint64) {
	w.mu.Lock()
	x := w.known[token]
	w.mu.Unlock()
	if x != nil {
		x.left()
	}
}

// control changes what is watched of s, which is not closed before it is watched
// no more. A reset is always reported, the end of what the client sends if the
// rest of its body has arrived.
func (w *watcher) control(op int, s socket, token uint64, arrived bool) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLONESHOT, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
	if arrived {
		e.Events |= syscall.EPOLLRDHUP
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	closed := raw.Control(func(fd uintptr) { err = syscall.EpollCtl(w.fd, op, int(fd), &e) })
	return errors.Join(closed, err)
}

// watch has x told when the client leaves. It returns 0 if that cannot be watched.
func (c *conn) watch(x *requestContext, arrived bool) (token uint64) {
	w := c.engine.watching()
	if c.socket == nil || w == nil {
		return 0
	}
	w.mu.Lock()
	w.last++
	token = w.last
	w.known[token] = x
	w.mu.Unlock()
	if err := w.control(syscall.EPOLL_CTL_ADD, c.socket, token, arrived); err != nil {
		w.forget(token)
		return 0
	}
	return token
}

// rewatch changes what token is told.
func (c *conn) rewatch(token uint64, arrived bool) {
	if w := c.engine.watching(); w != nil {
		w.control(syscall.EPOLL_CTL_MOD, c.socket, token, arrived)
	}
}

// unwatch returns when token will be told nothing more.
func (c *conn) unwatch(token uint64) {
	if w := c.engine.watching(); w != nil {
		w.control(syscall.EPOLL_CTL_DEL, c.socket, token, false)
		w.forget(token)
	}
}

func (w *watcher) forget(token uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, token)
}

// watching returns the watcher of e, or nil if there can be none.
func (e *Engine) watching() *watcher {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watcher == nil {
		w, err := newWatcher()
		if err != nil {
			return nil
		}
		e.watcher = w
	}
	return e.watcher
}
