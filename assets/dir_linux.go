package assets

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// How files and directories are opened. O_NONBLOCK: a pipe opens at once, and is
// found to be one. O_DIRECTORY refuses anything else before it is opened.
const (
	openFile = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY
	openDir  = openFile | syscall.O_DIRECTORY
)

// versionOf returns what the file system says of a file's content. The time of
// the last change of the inode is the one that no program can set: it tells a
// file of equal size that was given the old one's modification time.
func versionOf(info fs.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	var buf [5 * 17]byte
	b := strconv.AppendUint(buf[:0], uint64(st.Dev), 16)
	for _, n := range [...]uint64{st.Ino, uint64(st.Size), nanoseconds(st.Mtim), nanoseconds(st.Ctim)} {
		b = strconv.AppendUint(append(b, '-'), n, 16)
	}
	return string(b)
}

// nanoseconds are those since 1970, modulo 2^64.
func nanoseconds(t syscall.Timespec) uint64 { return uint64(t.Sec)*1e9 + uint64(t.Nsec) }
