package assets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// How old a look at the path may be. Answers of one second ago are served anyway;
// that there is no such file is told only of a directory that is still the one
// with the name, but floods of such requests do not cost a look each.
const (
	lookAgain    = time.Second
	lookOnErrors = 10 * time.Millisecond
)

// A look is what was at the path of a Dir.
type look struct {
	root  *os.Root    // nil with err
	info  fs.FileInfo // of root
	err   error       // is ErrUnavailable
	fault *Fault      // why

	last atomic.Int64 // when it was there, since the Dir's start
}

// Fault says why the directory cannot be read, nil if it can.
func (d *Dir) Fault() *Fault { return d.look(lookAgain).fault }

// look returns what is at the path, or was not longer ago than age. While another
// caller looks, the last is good enough, if there is one.
func (d *Dir) look(age time.Duration) *look {
	l := d.current.Load()
	if l != nil && d.since(l) < age {
		return l
	}
	if l == nil || l.root == nil {
		d.mu.Lock()
	} else if !d.mu.TryLock() {
		return l
	}
	defer d.mu.Unlock()
	return d.lookLocked(age)
}

// lookPast returns what replaced l, which gave an error; nil if nothing has.
func (d *Dir) lookPast(l *look) *look {
	next := d.current.Load()
	if next == l && d.since(l) >= lookOnErrors {
		d.mu.Lock()
		next = d.lookLocked(lookOnErrors)
		d.mu.Unlock()
	}
	if next == l {
		return nil
	}
	return next
}

func (d *Dir) lookLocked(age time.Duration) *look {
	l := d.current.Load()
	if d.closed || l != nil && d.since(l) < age {
		return l
	}
	now := int64(time.Since(d.start))
	if l != nil && l.root != nil {
		if info, err := d.stat(); err == nil && os.SameFile(info, l.info) && searchable(l.root) {
			l.last.Store(now)
			return l
		}
	}
	next := d.open()
	next.last.Store(now)
	d.swap(next)
	return next
}

func (d *Dir) since(l *look) time.Duration {
	return time.Since(d.start) - time.Duration(l.last.Load())
}

// swap puts next in the place of the last look. The root of that is closed once
// the last who uses it is done; who comes too late finds it closed, and next.
func (d *Dir) swap(next *look) {
	if last := d.current.Swap(next); last != nil && last.root != nil {
		last.root.Close()
	}
}

// stat returns what is at the path.
func (d *Dir) stat() (fs.FileInfo, error) {
	if d.below == "" {
		return os.Stat(d.mount)
	}
	mount, err := os.OpenRoot(asDirectory(d.mount))
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	return mount.Stat(d.below)
}

// open opens the path.
func (d *Dir) open() *look {
	root, err := d.openRoot()
	if err != nil {
		return d.failed(err)
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return d.failed(err)
	}
	return &look{root: root, info: info}
}

// searchable tells whether names in root may be asked for: what may be read but
// not searched has names, and no files.
func searchable(root *os.Root) bool {
	_, err := root.Stat(".")
	return err == nil
}

func (d *Dir) openRoot() (*os.Root, error) {
	mount, err := os.OpenRoot(asDirectory(d.mount))
	if err != nil || d.below == "" {
		return mount, err
	}
	defer mount.Close()
	info, err := mount.Stat(d.below)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() { // a pipe would not open
		return nil, errNotDirectory
	}
	return mount.OpenRoot(d.below)
}

// asDirectory is path such that nothing but a directory opens by it.
func asDirectory(path string) string { return path + string(os.PathSeparator) + "." }

var errNotDirectory = errors.New("not a directory")

// failed is the look that ended with err.
func (d *Dir) failed(err error) *look {
	path, proxy := d.Path(), fmt.Sprintf("the proxy, which runs as user %d,", os.Geteuid())
	f := &Fault{Code: "static-missing"}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Code = "static-unreadable"
		f.Message = fmt.Sprintf("%s may not read %s", proxy, path)
		f.Fix = fmt.Sprintf("let it read and search that directory, and search those above it: chmod -R o+rX %s", path)
	case isFailure(err):
		f.Code = "static-unreadable"
		f.Message = fmt.Sprintf("%s cannot read %s: %v", proxy, path, cause(err))
		f.Fix = "see to the file system that has it; it is tried again every second"
	case errors.Is(err, fs.ErrNotExist):
		f.Message = fmt.Sprintf("%s has no directory %s", proxy, path)
		f.Fix = "make it, or start the proxy again if another volume belongs there now; it is looked for every second"
	case errors.Is(err, errNotDirectory) || errors.Is(err, syscall.ENOTDIR):
		f.Message = fmt.Sprintf("%s, as the proxy sees it (it runs as user %d), is not a directory", path, os.Geteuid())
		f.Fix = "name the directory that has the files"
	default:
		f.Message = fmt.Sprintf("%s, as the proxy sees it (it runs as user %d), is a symbolic link that leads out of %s", path, os.Geteuid(), d.mount)
		f.Fix = "name the directory that it leads to, or link inside of the mount"
	}
	return &look{err: fmt.Errorf("%w: %s", ErrUnavailable, f.Message), fault: f}
}

// cause is err without the operation and the path.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
