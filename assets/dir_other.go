//go:build !linux

package assets

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// How files and directories are opened.
const (
	openFile = os.O_RDONLY | syscall.O_NONBLOCK
	openDir  = openFile
)

// versionOf returns what every file system says of a file's content.
func versionOf(info fs.FileInfo) string {
	return strconv.FormatUint(uint64(info.Size()), 16) + "-" + strconv.FormatUint(uint64(info.ModTime().UnixNano()), 16)
}
