package storage

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// maxSaid is how many corrected modes are logged one by one.
const maxSaid = 8

// tidy corrects modes and removes leftovers.
func (s *Store) tidy() {
	loose := 0
	err := s.walk(".", func(root *os.Root, name string, d fs.DirEntry) error {
		if !d.IsDir() && temporary(path.Base(name)) {
			return sweep(root, name)
		}
		info, err := d.Info()
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm()&^want == 0 {
			return nil
		}
		if err := root.Chmod(name, want); err != nil {
			return err
		}
		if loose++; loose <= maxSaid {
			s.log.Warn().Str("path", filepath.Join(s.dir, name)).Stringer("mode", info.Mode().Perm()).Msg("keys could be read by others than their owner, and the mode was corrected; whoever had access may have copies")
		}
		return nil
	})
	if more := loose - maxSaid; more > 0 {
		s.log.Warn().Str("path", s.dir).Int("files", more).Msg("modes of more files were corrected")
	}
	if err != nil {
		s.log.Warn().Err(err).Str("path", s.dir).Msg("directory of keys could not be tidied; its files should belong to the user of the proxy")
	}
}

// walk calls f for all that is below the directory prefix, prefix included. It
// goes on after errors, and returns the first. What vanishes meanwhile is none.
func (s *Store) walk(prefix string, f func(root *os.Root, name string, d fs.DirEntry) error) error {
	root, err := s.existing()
	if err != nil {
		return err
	}
	defer root.Close()
	var first error
	fs.WalkDir(root.FS(), prefix, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = f(root, name, d)
		}
		if first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
		return nil
	})
	return first
}

// sweep removes a temporary file that nobody is writing.
func sweep(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if !tryLock(f) {
		return nil
	}
	return root.Remove(name)
}
