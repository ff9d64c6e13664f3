// Package assets has the files that routes answer with: directories read live,
// and a store of what was copied out of containers.
package assets

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Tree is files by name. Names are slash-separated and local: without a leading
// slash, without "." and "..", "" for the tree itself. Nothing outside of the tree
// can be reached by any name. It may be used concurrently.
type Tree interface {
	// Stat returns what stands under name: a regular file or a directory. Its
	// error is fs.ErrNotExist also for what is neither, ErrPending where content
	// is still to come, and ErrUnavailable where it cannot be read.
	Stat(name string) (File, error)
	// Open opens a regular file that Stat or Encoded returned, or the version of
	// it that is there now; the caller closes it.
	Open(f File) (*os.File, error)
	// List returns what a directory has, by name: regular files and directories.
	List(name string) ([]File, error)
	// Encoded returns f as compressed beforehand with coding ("zstd", "br",
	// "gzip"), if it is. Files beside f, such as f.br, are the caller's to ask for.
	Encoded(f File, coding string) (File, bool)
	// Version changes whenever an answer of the tree may have changed, if it is
	// Settled. Else anything may change at any time.
	Version() uint64
	Settled() bool
}

// A File is one version of a file, or a directory.
type File struct {
	Name     string // in its tree
	Dir      bool
	Size     int64 // in bytes, 0 for a directory
	Modified time.Time
	// Version is the same for equal versions of the file, and differs from those
	// of any other content that had the name: a digest of the content if Strong,
	// else what the file system says of it. Of letters, digits and "-".
	Version string
	Strong  bool

	ref  string // how the tree finds it again
	blob *blob  // of a Collection
}

// errors of trees besides fs.ErrNotExist.
var (
	ErrPending     error = &treeError{"files are being copied out of the container"}
	ErrUnavailable error = &treeError{"files cannot be read"}
)

type treeError struct{ msg string }

func (e *treeError) Error() string { return e.msg }

// Bounds of names, in bytes, as file systems have them.
const (
	maxName    = 4096
	maxSegment = 255
)

// validName tells whether a tree may have something under name.
func validName(name string) bool {
	if name == "" {
		return true
	}
	if len(name) > maxName {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if !validSegment(segment) {
			return false
		}
	}
	return filepath.Separator == '/' || filepath.IsLocal(name) && !strings.Contains(name, ":")
}

// validSegment tells whether a file may be called segment. Backslashes divide
// names elsewhere, and no two systems should read one name in two ways.
func validSegment(segment string) bool {
	switch segment {
	case "", ".", "..":
		return false
	}
	return len(segment) <= maxSegment && strings.IndexByte(segment, 0) < 0 && strings.IndexByte(segment, '\\') < 0
}
