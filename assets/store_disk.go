package assets

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What a store has in its directory, besides collections.json and the lock.
const (
	blobsDir = "blobs" // ab/SHA256 of content, and SHA256.br and so on of it compressed
	treesDir = "trees" // SHA256 of manifests
	spoolDir = "spool" // streams, without names
	workDir  = "work"  // what is being written

	stateName = "collections.json"
	lockName  = "lock"
)

// suffixes are the ends of the names of variants, by codings.
var suffixes = [...]string{".zst", ".br", ".gz"}

func (s *Store) path(names ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, names...)...)
}

func (s *Store) blobPath(d digest) string {
	name := d.String()
	return s.path(blobsDir, name[:2], name)
}

func (s *Store) treePath(d digest) string { return s.path(treesDir, d.String()) }

// makeDirs empties the directories for work, and makes them all.
func (s *Store) makeDirs() error {
	if err := errors.Join(os.RemoveAll(s.path(spoolDir)), os.RemoveAll(s.path(workDir))); err != nil {
		return err
	}
	return s.ensureDirs()
}

// ensureDirs makes the directories of the store that are missing.
func (s *Store) ensureDirs() error {
	for _, name := range []string{"", blobsDir, treesDir, spoolDir, workDir} {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// A stored is a blob as it lies on disk: bytes of it and of its variants.
type stored struct {
	size     int64
	there    bool // it may have variants alone
	variants [len(suffixes)]int32
}

type storedBlobs map[digest]stored

// note adds a file of a directory of blobs, if it is one's.
func (b storedBlobs) note(dir string, info fs.FileInfo) bool {
	name, suffix := info.Name(), ""
	if at := strings.IndexByte(name, '.'); at >= 0 {
		name, suffix = name[:at], name[at:]
	}
	d, ok := parseDigest(name)
	if !ok || !strings.HasPrefix(name, dir) || !info.Mode().IsRegular() {
		return false
	}
	one, size := b[d], info.Size()
	if at := slices.Index(suffixes[:], suffix); at >= 0 && size <= math.MaxInt32 {
		if one.variants[at] = int32(size); size == 0 {
			one.variants[at] = notWorth
		}
	} else if suffix == "" {
		one.size, one.there = size, true
	} else {
		return false
	}
	b[d] = one
	return true
}

// scan returns what blobs there are, and files that are none.
func (s *Store) scan() (blobs storedBlobs, foreign []string, err error) {
	blobs = storedBlobs{}
	dirs, err := os.ReadDir(s.path(blobsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return blobs, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range dirs {
		files, err := os.ReadDir(s.path(blobsDir, dir.Name()))
		if err != nil {
			foreign = append(foreign, s.path(blobsDir, dir.Name()))
			continue
		}
		for _, file := range files {
			info, err := file.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // another process has removed it
			}
			if err != nil || !blobs.note(dir.Name(), info) {
				foreign = append(foreign, s.path(blobsDir, dir.Name(), file.Name()))
			}
		}
	}
	return blobs, foreign, nil
}

// write stores content under the name to, whole or not at all.
func (s *Store) write(to string, sync bool, content io.Reader) error {
	temp := s.path(workDir, filepath.Base(to))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &storeError{s.cfg.Dir, err}
	}
	into := &storeWriter{f, s.cfg.Dir}
	if _, err = io.Copy(into, content); err == nil && sync {
		err = into.fault(f.Sync())
	}
	err = errors.Join(err, into.fault(f.Close()))
	if err == nil {
		err = into.fault(os.Rename(temp, to))
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// A storeWriter has its errors told from those of whoever is read.
type storeWriter struct {
	file *os.File
	dir  string
}

func (w *storeWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, w.fault(err)
}

func (w *storeWriter) fault(err error) error {
	if err == nil {
		return nil
	}
	return &storeError{w.dir, err}
}
