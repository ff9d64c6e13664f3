package discovery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/spec"
)

// maxRoutesFile is far beyond any file written by hand.
const maxRoutesFile = 4 << 20

// A RoutesFile reads routes outside Docker from a YAML file, and again whenever
// it changes:
//
//	pve: {host: pve.ex, url: https://192.168.1.10:8006, upstream-tls.verify: false}
//
// Each entry becomes a Workload whose labels are its keys below Prefix. A value
// is the text as written (off, 0600, 1e3), a list its items joined by commas,
// nested maps are dotted keys.
type RoutesFile struct {
	Path   string
	Prefix string // of the labels; "" is "fairlead"
	Log    zerolog.Logger
	Quiet  time.Duration // wait for so much silence before reading (200 ms)
	Poll   time.Duration // between looks at file systems that tell nothing (10 s)
	// Again, if set, has the file read at once for each value received, whether
	// or not it seems to have changed.
	Again <-chan struct{}

	mu     sync.Mutex // guards status
	status RoutesStatus

	// of Run's goroutine
	last    []byte // the content in force or refused
	seen    []byte // the content, or the error, when it was last looked at
	seenErr string
	good    []*spec.Workload
}

// RoutesStatus is the state of a RoutesFile as plain data.
type RoutesStatus struct {
	Path   string
	Routes int       // in force
	Read   time.Time // when they were read
	Error  string    // why the file as it is now is not in force, with file:line; "" if it is
}

// Load reads the file once. Errors name file and line.
func (f *RoutesFile) Load() ([]*spec.Workload, error) {
	b, err := f.read()
	if err != nil {
		return nil, err
	}
	return parseRoutes(f.Path, b, f.prefix())
}

func (f *RoutesFile) prefix() string { return cmp.Or(f.Prefix, "fairlead") }

// Status is a copy of what is known now.
func (f *RoutesFile) Status() RoutesStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Run publishes the routes and each change of them until ctx ends, and returns
// nil then. A file that cannot be read at the start is an error. Later, and
// where it is read but makes no sense, the last good routes stay in force, the
// snapshot says why it is stale, and the log and Status do too.
func (f *RoutesFile) Run(ctx context.Context, publish func(spec.Snapshot)) error {
	if _, err := f.read(); err != nil {
		return err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.Path, err)
	}
	defer w.Close()
	// The directory, not the file: an editor's rename or a swapped symlink would
	// leave a watch on the old file.
	if err := w.Add(filepath.Dir(f.Path)); err != nil {
		f.Log.Warn().Err(err).Str("path", f.Path).Msg("routes file cannot be watched, it is polled")
	}
	f.reload(publish)
	poll := time.NewTicker(cmp.Or(f.Poll, 10*time.Second))
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			quiet.Reset(f.quiet())
		case err := <-w.Errors:
			f.Log.Warn().Err(err).Str("path", f.Path).Msg("routes file watch failed")
		case <-poll.C:
			if !f.settled() {
				quiet.Reset(f.quiet())
			}
		case <-f.Again:
			f.reload(publish)
		case <-quiet.C:
			if f.settled() {
				f.reload(publish)
			} else {
				quiet.Reset(f.quiet())
			}
		}
	}
}

func (f *RoutesFile) quiet() time.Duration { return cmp.Or(f.Quiet, 200*time.Millisecond) }

// settled reports whether the file is what it was the last time this was
// asked: a file that is being written in place is empty for a moment, and that
// must not take all routes away.
func (f *RoutesFile) settled() bool {
	b, err := f.read()
	same := err == nil && f.seenErr == "" && bytes.Equal(b, f.seen)
	if err != nil {
		same = err.Error() == f.seenErr
		f.seenErr = err.Error()
	} else {
		f.seenErr = ""
	}
	f.seen = b
	return same
}

// reload publishes what the file says if that, or its error, is new.
func (f *RoutesFile) reload(publish func(spec.Snapshot)) {
	b, err := f.read()
	before := f.Status()
	if err == nil && !before.Read.IsZero() && before.Error == "" && bytes.Equal(b, f.last) {
		return
	}
	var routes []*spec.Workload
	if err == nil {
		f.last, f.seen = b, b
		routes, err = parseRoutes(f.Path, b, f.prefix())
	}
	if err != nil {
		f.report(RoutesStatus{Path: f.Path, Routes: len(f.good), Read: before.Read, Error: err.Error()})
		if before.Error == err.Error() {
			return
		}
		f.Log.Error().Err(err).Str("path", f.Path).Int("routes", len(f.good)).Msg("routes file refused, the last good routes stay")
		publish(spec.Snapshot{Workloads: slices.Clone(f.good), Stale: err.Error()})
		return
	}
	f.good = keepPointers(f.good, routes)
	f.report(RoutesStatus{Path: f.Path, Routes: len(f.good), Read: time.Now()})
	f.Log.Info().Str("path", f.Path).Int("routes", len(f.good)).Msg("routes file read")
	publish(spec.Snapshot{Workloads: slices.Clone(f.good)})
}

func (f *RoutesFile) report(s RoutesStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = s
}

func (f *RoutesFile) read() ([]byte, error) {
	st, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("routes file %s does not exist: %w", f.Path, os.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("routes file: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("routes file %s is not a regular file", f.Path)
	case st.Size() > maxRoutesFile:
		return nil, fmt.Errorf("routes file %s has %d bytes, more than %d", f.Path, st.Size(), maxRoutesFile)
	}
	b, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	return b, nil
}

// keepPointers puts the old workload in the place of an equal new one.
func keepPointers(old, now []*spec.Workload) []*spec.Workload {
	byID := make(map[string]*spec.Workload, len(old))
	for _, w := range old {
		byID[w.ID] = w
	}
	for i, w := range now {
		if o := byID[w.ID]; o != nil && reflect.DeepEqual(o, w) {
			now[i] = o
		}
	}
	return now
}
