package assets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Dir is a Tree over a directory that is read live, by os.Root: neither a
// symbolic link nor "..", nor a race with whoever writes there, leads out of it.
// Links inside that stay inside are followed; absolute ones never are, for they
// were made for the file system of a container. A directory that is replaced by
// another of its name is noticed within a second, or by the first name that the
// old one does not have.
type Dir struct {
	mount, below string
	start        time.Time // what times of looks count from

	current atomic.Pointer[look]
	mu      sync.Mutex // held while the path is looked at
	closed  bool       // guarded by mu
}

var _ Tree = (*Dir)(nil)

// OpenDir returns the tree of the directory called below in mount, "" for mount
// itself. Links that lead to mount are followed wherever they go, those from there
// to below only inside of mount: its content is the app's, who could have the proxy
// read its own files by a link to them. It touches nothing: the directory is opened
// when it is first asked for, and then stays open.
func OpenDir(mount, below string) *Dir {
	return &Dir{mount: mount, below: below, start: time.Now()}
}

// Path is of the directory, as the proxy sees it.
func (d *Dir) Path() string { return filepath.Join(d.mount, filepath.FromSlash(d.below)) }

// Stat returns what stands under name. Its error is fs.ErrPermission for a file
// that the proxy may not read.
func (d *Dir) Stat(name string) (File, error) {
	if !validName(name) {
		return File{}, fs.ErrNotExist
	}
	for l := d.look(lookAgain); ; {
		if l.root == nil {
			return File{}, l.err
		}
		f, err := statIn(l.root, name)
		if err == nil {
			return f, nil
		}
		if l = d.lookPast(l); l == nil {
			return File{}, refused("stat", name, err)
		}
	}
}

// Open opens the regular file that has the name of f now.
func (d *Dir) Open(f File) (*os.File, error) {
	if !validName(f.Name) {
		return nil, fs.ErrNotExist
	}
	for l := d.look(lookAgain); ; {
		if l.root == nil {
			return nil, l.err
		}
		file, err := openIn(l.root, f.Name)
		if err == nil {
			return file, nil
		}
		if l = d.lookPast(l); l == nil {
			return nil, refused("open", f.Name, err)
		}
	}
}

// Encoded returns false: nothing is compressed beforehand.
func (d *Dir) Encoded(File, string) (File, bool) { return File{}, false }

// Version returns 0: nobody tells when a file changes.
func (d *Dir) Version() uint64 { return 0 }

// Settled returns false.
func (d *Dir) Settled() bool { return false }

// Close gives the directory back; nothing can be read after it.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.swap(&look{err: fmt.Errorf("%w: closed", ErrUnavailable)})
	return nil
}

// statIn returns what name is in root.
func statIn(root *os.Root, name string) (File, error) {
	info, err := root.Stat(local(name))
	if err != nil {
		return File{}, err
	}
	f, ok := fileOf(name, info)
	if !ok {
		return File{}, fs.ErrNotExist
	}
	if f.Dir || info.Mode()&everybody == everybody {
		return f, nil
	}
	// Whether this process may read it, its user, groups, capabilities and the
	// file's access list say together: it has to be tried.
	file, err := openRegular(root, name)
	if err != nil {
		return File{}, err
	}
	return f, file.Close()
}

// everybody may read a file with these bits.
const everybody = 0o444

// openIn opens the regular file name in root. To open a device can do something,
// such as to arm a watchdog: what it is is found out first.
func openIn(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(local(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return openRegular(root, name)
}

// openRegular opens what was a regular file a moment ago, and does not wait for
// the other end if it is a pipe now.
func openRegular(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(local(name), openFile, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// fileOf returns the file that info tells of, if it is a regular file or a
// directory.
func fileOf(name string, info fs.FileInfo) (File, bool) {
	f := File{Name: name, Dir: info.IsDir(), Modified: info.ModTime()}
	if !f.Dir {
		if !info.Mode().IsRegular() {
			return File{}, false
		}
		f.Size = info.Size()
	}
	f.Version = versionOf(info)
	return f, true
}

// refused returns what callers of a tree are told of an error of the file system.
func refused(op, name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: %w", op, name, fs.ErrPermission)
	case isFailure(err):
		return fmt.Errorf("%s %s: %w: %w", op, name, ErrUnavailable, err)
	}
	// Also a link that leads out, for which os has no error to compare with.
	return fs.ErrNotExist
}

// isFailure tells whether err says nothing of the name that was asked for, but
// that the machine or its disk could not tell.
func isFailure(err error) bool {
	n, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch n {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL,
		syscall.ENXIO, syscall.ENODEV, syscall.EXDEV, syscall.EACCES, syscall.EPERM:
		return false
	}
	return true
}

// local is name as os.Root wants it.
func local(name string) string {
	if name == "" {
		return "."
	}
	return name
}
