package assets

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncEach says that files have to be synced one by one.
const syncEach = false

// syncAll has everything written so far on the file system of dir on disk: one
// system call, where one for each of thousands of files would take minutes.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
