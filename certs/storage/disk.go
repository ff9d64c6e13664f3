package storage

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Names of files that are not stored ones. Hosts are part of the names of those
// (www.tmp-1.example.com.pem), so that a mark counts only where no host can be:
// at the beginning, or at the end, where it says what a file contains.
const (
	tempMark   = ".tmp-"    // begins the name of a file that is being written
	brokenMark = ".broken-" // is followed by digits in the name of one set aside
	lockEnd    = ".lock"    // ends the name of one that is there to be locked
)

func temporary(base string) bool { return strings.HasPrefix(base, tempMark) }

func setAside(base string) bool {
	i := strings.LastIndex(base, brokenMark)
	return i >= 0 && strings.Trim(base[i+len(brokenMark):], "0123456789") == ""
}

// maxTries is how often a file is written again that vanished meanwhile.
const maxTries = 10

// errSize is of a file that no Put has written.
var errSize = fmt.Errorf("the file is empty or larger than %d bytes", maxFile)

// read returns what the disk has.
func (s *Store) read(name string) ([]byte, error) {
	root, err := s.existing()
	if err != nil {
		return nil, absent(err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, absent(err)
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
		return nil, errors.New("not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, absent(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && (len(data) == 0 || len(data) > maxFile) {
		err = errSize
	}
	return data, err
}

// absent makes fs.ErrNotExist of err if it says so in other words.
func absent(err error) error {
	if errors.Is(err, syscall.ENOTDIR) { // what should be a directory is a file
		return fs.ErrNotExist
	}
	return cause(err)
}

// cause is err without the names of system calls and temporary files.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// existing returns the directory. The error is fs.ErrNotExist if there is none.
func (s *Store) existing() (*os.Root, error) {
	if info, err := os.Stat(s.dir); err == nil && !info.IsDir() {
		return nil, fs.ErrNotExist
	}
	return os.OpenRoot(s.dir)
}

// made returns the directory, which is made if it is not there.
func (s *Store) made() (*os.Root, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(s.dir)
}

// write replaces the file by a whole new one.
func (s *Store) write(name string, data []byte) error {
	root, err := s.made()
	if err != nil {
		return err
	}
	defer root.Close()
	dir := path.Dir(name)
	if err := makeDir(root, dir); err != nil {
		return err
	}
	for range maxTries {
		// Another process that opens the directory may take the temporary file for a
		// leftover, in the moment before it is locked.
		if err = replace(root, name, data); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return syncDir(root, dir)
}

// makeDir makes dir outlive a crash of the machine, if it is not there.
func makeDir(root *os.Root, dir string) error {
	if _, err := root.Stat(dir); err == nil {
		return nil
	}
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for dir != "." {
		dir = path.Dir(dir)
		if err := syncDir(root, dir); err != nil {
			return err
		}
	}
	return nil
}

// replace gives the file its name last, so that whoever reads sees the old
// content or the new, after a crash too. The temporary file is locked for as
// long as it is no leftover.
func replace(root *os.Root, name string, data []byte) error {
	temp := path.Join(path.Dir(name), tempMark+rand.Text())
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	tryLock(f)
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		root.Remove(temp) // else the next Open does
	}
	return err
}

// remove removes name, if it is there.
func (s *Store) remove(name string) error {
	root, err := s.existing()
	if err != nil {
		return present(err)
	}
	defer root.Close()
	// Looked at first: a read-only file system refuses to remove what is not there.
	info, err := root.Lstat(name)
	if err != nil || info.IsDir() {
		return present(err)
	}
	if err := root.Remove(name); err != nil {
		return present(err)
	}
	return syncDir(root, path.Dir(name))
}

// present is err if it is another one than that there is nothing.
func present(err error) error {
	if errors.Is(absent(err), fs.ErrNotExist) {
		return nil
	}
	return err
}

// rename gives name the name aside, if it is there, and removes the oldest of
// those that were set aside before.
func (s *Store) rename(name, aside string) error {
	root, err := s.existing()
	if err != nil {
		return present(err)
	}
	defer root.Close()
	if _, err := root.Lstat(name); err != nil {
		return present(err)
	}
	if err := root.Rename(name, aside); err != nil {
		return present(err)
	}
	for _, old := range surplus(root, name, aside) {
		root.Remove(old) // one too many does no harm
	}
	return syncDir(root, path.Dir(name))
}

// surplus returns the oldest files that were set aside of name. What was last is
// not among them, whatever the clock says.
func surplus(root *os.Root, name, last string) []string {
	entries, err := fs.ReadDir(root.FS(), path.Dir(name))
	if err != nil {
		return nil
	}
	var older []string
	for _, e := range entries {
		other := path.Join(path.Dir(name), e.Name())
		if strings.HasPrefix(other, name+brokenMark) && setAside(e.Name()) && other != last {
			older = append(older, other)
		}
	}
	slices.SortFunc(older, func(a, b string) int { // newest first; of all digits the longer number is the greater
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(b, a))
	})
	return older[min(maxBroken-1, len(older)):]
}

// syncDir makes a new name in dir outlive a crash of the machine, where the file
// system can do that: some on a network cannot.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
