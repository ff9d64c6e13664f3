//go:build !unix || aix

package assets

import "os"

// tryLock succeeds: elsewhere one process uses a directory.
func tryLock(*os.File) bool { return true }
