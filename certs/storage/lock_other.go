//go:build !unix || aix

package storage

import (
	"context"
	"os"
)

// Lock succeeds: elsewhere one process uses a directory. It refuses the names
// that no file can have.
func (s *Store) Lock(_ context.Context, name string) (unlock func(), err error) {
	return func() {}, local(name)
}

func tryLock(*os.File) bool { return true }
