// Package storage keeps keys and certificates in a directory: whole files,
// written so that a crash leaves the old or the new one, readable by their owner
// alone. A directory that cannot be used costs nothing but the next start: what
// was put is served from memory, and written once that is possible.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxFile   = 1 << 20 // bytes; a chain with its key has a few thousand
	maxBroken = 3       // files set aside that are kept, per name
	firstTry  = time.Second
	lastTry   = 30 * time.Second
)

// A Store is a directory of small files. Names are relative, with slashes:
// "ca/root.pem". It is safe for concurrent use, also by several processes on one
// directory: what is safely on disk is read from there every time.
type Store struct {
	dir string
	log zerolog.Logger

	wake    chan struct{} // holds one: something waits to be written
	writing sync.Mutex    // held while the disk is changed; before mu

	mu      sync.Mutex         // guards what is below; never held while the disk is used
	unsaved map[string]*change // newer than the disk
	broken  map[string]string  // files to be set aside before anything is written over them, and as what
	trouble string             // why, "" if all is on disk
}

// A change is what is to become of one name on disk.
type change struct {
	data []byte // nil is deleted
}

// Open returns the store in dir, which is made (0700) if it is not there. Modes
// looser than 0700 and 0600 are corrected, and said; what a crash left half
// written is removed. It never fails: what is wrong shows in the log and in
// Trouble, and is tried again by Run.
func Open(dir string, log zerolog.Logger) *Store {
	s := &Store{dir: dir, log: log, wake: make(chan struct{}, 1), unsaved: map[string]*change{}, broken: map[string]string{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.fail(fmt.Errorf("make %s: %w", dir, cause(err)))
		return s
	}
	s.tidy()
	return s
}

// Get returns what was last put under name, from memory where that is newer
// than the disk. The error is fs.ErrNotExist if there is nothing. An empty file,
// as some file systems leave after a crash, and one of more than 1 MiB are set
// aside and are nothing. Any other error may pass: the file is there, and could
// not be read now.
func (s *Store) Get(name string) ([]byte, error) {
	if err := check(name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	c := s.unsaved[name]
	s.mu.Unlock()
	if c != nil && c.data != nil {
		return slices.Clone(c.data), nil
	}
	if c != nil {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	data, err := s.read(name)
	if errors.Is(err, errSize) {
		s.SetAside(name, err)
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// Put keeps data, 1 byte to 1 MiB, under name: in memory at once, and on disk
// (temporary file, fsync, rename, fsync of the directory) before it returns. An
// error means that the disk does not have it yet and Run tries again, or that
// name or data are none that can be kept.
func (s *Store) Put(name string, data []byte) error {
	if err := check(name); err != nil {
		return err
	}
	if len(data) == 0 || len(data) > maxFile {
		return fmt.Errorf("store %s: %d bytes, want 1 to %d", name, len(data), maxFile)
	}
	s.note(name, &change{slices.Clone(data)})
	return s.save(name)
}

// Delete forgets name. It is no error if there is none.
func (s *Store) Delete(name string) error {
	if err := check(name); err != nil {
		return err
	}
	s.note(name, &change{})
	return s.save(name)
}

// SetAside renames a file that makes no sense to NAME.broken-TIME (nanoseconds
// since 1970), says so with why, and forgets it. The last three of a name are
// kept. Where the directory cannot be written that is done as soon as it can be,
// before anything else is written under name.
func (s *Store) SetAside(name string, why error) {
	if check(name) != nil {
		return
	}
	aside := name + brokenMark + strconv.FormatInt(time.Now().UnixNano(), 10)
	s.mu.Lock()
	if s.broken[name] == "" {
		s.broken[name] = aside
	}
	s.unsaved[name] = &change{}
	s.mu.Unlock()
	event := s.log.Error().AnErr("why", why).Str("path", filepath.Join(s.dir, name))
	if s.save(name) != nil {
		event.Msg("stored file could not be understood; it is ignored, and will be set aside once its directory can be written")
		return
	}
	event.Str("set_aside", aside).Msg("stored file could not be understood and was set aside")
}

// Trouble returns why something is in memory only, "" if all is on disk.
func (s *Store) Trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// Run writes what could not be written, until ctx ends, and returns nil. It tries
// after 1 s, then ever more rarely up to every 30 s, and once more at the end.
func (s *Store) Run(ctx context.Context) error {
	defer s.retry()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for pause := firstTry; ; pause = min(2*pause, lastTry) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			if s.retry() {
				break
			}
		}
	}
}

// note makes c what name is.
func (s *Store) note(name string, c *change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved[name] = c
}

// save brings what is unsaved of name to disk.
func (s *Store) save(name string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	c, aside := s.unsaved[name], s.broken[name]
	s.mu.Unlock()
	if c == nil {
		return nil // another call wrote it, or what came later
	}
	if err := s.apply(name, aside, c.data); err != nil {
		err = fmt.Errorf("store %s: %w", name, cause(err))
		s.fail(err)
		return err
	}
	s.mu.Lock()
	if s.unsaved[name] == c {
		delete(s.unsaved, name)
	}
	s.mu.Unlock()
	s.settle()
	return nil
}

// apply brings data to disk, or removes what is there for nil. What is there is
// first renamed to aside, if that is not "".
func (s *Store) apply(name, aside string, data []byte) error {
	if aside != "" {
		if err := s.rename(name, aside); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.broken, name)
		s.mu.Unlock()
	}
	if data == nil {
		return s.remove(name)
	}
	return s.write(name, data)
}

// fail notes that something is in memory only, and why.
func (s *Store) fail(err error) {
	s.mu.Lock()
	first := s.trouble == ""
	s.trouble = err.Error()
	s.mu.Unlock()
	if first {
		s.log.Error().Err(err).Str("path", s.dir).Msg("keys and certificates could not be saved; they are served from memory and would be lost at a restart: make the directory writable, with room in it, and they will be saved within 30 s")
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle ends the trouble if nothing waits to be written.
func (s *Store) settle() {
	s.mu.Lock()
	over := s.trouble != "" && len(s.unsaved) == 0
	if over {
		s.trouble = ""
	}
	s.mu.Unlock()
	if over {
		s.log.Info().Str("path", s.dir).Msg("keys and certificates were saved again")
	}
}

// retry reports whether all is on disk. One file that cannot be written keeps no
// other from it.
func (s *Store) retry() bool {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.unsaved))
	s.mu.Unlock()
	for _, name := range names {
		s.save(name) // Trouble says what is wrong
	}
	if len(names) == 0 && s.Trouble() != "" { // Open could not make the directory
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return false
		}
		s.settle()
	}
	return s.Trouble() == ""
}

// check refuses names that lead elsewhere or are our own.
func check(name string) error {
	base := path.Base(name)
	if temporary(base) || setAside(base) || strings.HasSuffix(base, lockEnd) {
		return fmt.Errorf("%q is no name of a stored file", name)
	}
	return local(name)
}

// local refuses names that lead elsewhere.
func local(name string) error {
	if !fs.ValidPath(name) || !filepath.IsLocal(name) || name == "." || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q does not name a file below the directory", name)
	}
	return nil
}
