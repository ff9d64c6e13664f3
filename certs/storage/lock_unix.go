//go:build unix && !aix

package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// lockEvery is how often a lock that is taken is tried again.
const lockEvery = 100 * time.Millisecond

// Lock takes the lock called name against other processes that use the same
// directory, and against other callers in this one, and waits for it until ctx
// ends. Where the directory cannot be written, or its file system knows no locks,
// there is nobody to be locked out, and it succeeds. The lock of a process that
// dies is free. The file NAME.lock stays: whoever removed it could hold another
// lock than who opened it before.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := local(name); err != nil {
		return nil, err
	}
	f, err := s.openLock(name)
	if err != nil {
		return func() {}, nil
	}
	for !tryLock(f) {
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, ctx.Err())
		case <-time.After(lockEvery):
		}
	}
	return func() { f.Close() }, nil
}

func (s *Store) openLock(name string) (*os.File, error) {
	root, err := s.made()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return root.OpenFile(name+lockEnd, os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock locks f until it is closed, and reports false if another has locked it.
func tryLock(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR)
}
