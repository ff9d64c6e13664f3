package files

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Run watches the files until ctx ends, and returns nil. What no event tells of
// (network file systems, a file mounted by itself) is found by looking.
func (f *Files) Run(ctx context.Context) error {
	w := f.watch()
	defer w.close()
	poll := time.NewTicker(f.cfg.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	told := map[files]state{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.events:
			if w.about(e.Name) {
				quiet.Reset(f.cfg.Quiet)
			}
			continue
		case err := <-w.errors: // of events that were lost
			f.cfg.Log.Warn().Err(err).Str("path", f.cfg.Dir).Msg("watch of certificate files failed, they are read again")
			quiet.Reset(f.cfg.Quiet)
			continue
		case <-f.wake: // often, while the first table is compiled
			quiet.Reset(f.cfg.Quiet)
			continue
		case <-poll.C:
		case <-quiet.C:
		}
		if f.reload(w) {
			quiet.Reset(f.cfg.Quiet)
		}
		f.report(told)
	}
}

// Again has Run look at all files, as after a change that it was told of. It does
// not block.
func (f *Files) Again() { f.nudge() }

// reload looks at all files. It reports whether some may still be changing.
func (f *Files) reload(w *watcher) (unsettled bool) {
	f.mu.Lock()
	items := f.sorted()
	f.mu.Unlock()
	w.follow(items)
	changed := false
	for _, it := range items {
		c, u := f.look(it)
		changed, unsettled = changed || c, unsettled || u
	}
	if changed {
		f.mu.Lock()
		f.publish()
		f.mu.Unlock()
		f.cfg.Changed()
	}
	return unsettled
}

// A state is what the log has said of an item.
type state struct {
	force    *content
	troubles []Trouble
}

// report logs what is new since told. What keeps a route from being served is
// logged with the route.
func (f *Files) report(told map[files]state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	maps.DeleteFunc(told, func(n files, _ state) bool { return f.items[n] == nil })
	for _, it := range f.sorted() {
		before, known := told[it.files]
		after := state{force: it.force}
		if it.force != nil {
			after.troubles = it.troubles(now)
		}
		told[it.files] = after
		for _, t := range after.troubles {
			if !slices.Contains(before.troubles, t) {
				f.cfg.Log.Warn().Str("path", it.name()).Str("fix", t.Fix).Msg(t.Message)
			}
		}
		switch {
		case !known:
		case after.force != before.force:
			f.cfg.Log.Info().Str("path", it.name()).Msg("certificate file read again")
		case len(before.troubles) > 0 && len(after.troubles) == 0:
			f.cfg.Log.Info().Str("path", it.name()).Msg("certificate file in order again")
		}
	}
}

// A plan is the names, by their directory, that files are found by.
type plan map[string]map[string]struct{}

// maxLinks is how many symbolic links a path may have, as in os.Root.
const maxLinks = 8

// add plans for path, a file below dir: every directory on the way, and every
// link and what it leads to, may be replaced. It reports whether the way stays
// below dir; os.Root opens nothing else.
func (p plan) add(dir, path string) (inside bool) {
	dir = filepath.Clean(dir)
	below, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(below) {
		return false
	}
	at, parts, links := dir, split(below), 0
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if part == ".." {
			if at == dir {
				return false
			}
			at = filepath.Dir(at)
			continue
		}
		p.put(at, part)
		next := filepath.Join(at, part)
		if to, err := os.Readlink(next); err == nil {
			if links++; filepath.IsAbs(to) || links > maxLinks {
				return false
			}
			parts = append(split(to), parts...)
			continue
		}
		if len(parts) > 0 {
			if st, err := os.Lstat(next); err != nil || !st.IsDir() {
				return true
			}
		}
		at = next
	}
	return true
}

// split returns the parts of path, without those that lead nowhere. What is left
// of ".." is meant: behind a link it is not what it looks like.
func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, string(filepath.Separator)), func(s string) bool { return s == "" || s == "." })
}

func (p plan) put(dir, name string) {
	if p[dir] == nil {
		p[dir] = map[string]struct{}{}
	}
	p[dir][name] = struct{}{}
}

// A watcher hears of changes of files: of directories, since a file's own watch
// would stay with what was replaced. A file that is a mount of its own is changed
// where no directory of ours shows it; it is polled.
type watcher struct {
	f      *Files
	notify *fsnotify.Watcher // nil if the kernel gives none
	events <-chan fsnotify.Event
	errors <-chan error
	plan   plan
	dirs   map[string]os.FileInfo // that are watched
	failed bool                   // that is said once
}

func (f *Files) watch() *watcher {
	w := &watcher{f: f, dirs: map[string]os.FileInfo{}}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.fail(err)
		return w
	}
	w.notify, w.events, w.errors = notify, notify.Events, notify.Errors
	return w
}

func (w *watcher) close() {
	if w.notify != nil {
		w.notify.Close()
	}
}

func (w *watcher) fail(err error) {
	if !w.failed {
		w.failed = true
		w.f.cfg.Log.Warn().Err(err).Str("path", w.f.cfg.Dir).Msg("certificate files cannot be watched, they are polled")
	}
}

// about reports whether a change of path may be one of a file.
func (w *watcher) about(path string) bool {
	_, planned := w.plan[filepath.Dir(path)][filepath.Base(path)]
	return planned || path == filepath.Clean(w.f.cfg.Dir)
}

// follow watches the directories of items, and no others. It is to be called
// before they are read, so that nothing changes in between unheard.
func (w *watcher) follow(items []*item) {
	if w.notify == nil {
		return
	}
	for { // a directory that was not watched may have changed since it was planned with
		w.plan = plan{}
		for _, it := range items {
			for _, ref := range []string{it.cert, it.key, it.clients} {
				if path, file := strings.CutPrefix(ref, "file:"); file {
					w.plan.add(w.f.cfg.Dir, filepath.Clean(path))
				}
			}
		}
		if !w.extend() {
			return
		}
	}
}

// extend watches what is planned. It reports whether any of that is new.
func (w *watcher) extend() (more bool) {
	watched := map[string]bool{}
	for _, dir := range w.notify.WatchList() {
		watched[dir] = true
	}
	for dir, was := range w.dirs {
		st, err := os.Stat(dir)
		if err == nil && os.SameFile(st, was) && watched[dir] && w.plan[dir] != nil {
			continue
		}
		w.notify.Remove(dir) // also where the watch went away with a directory above it; an error says that it is gone
		delete(w.dirs, dir)
	}
	for dir := range w.plan {
		if w.dirs[dir] != nil {
			continue
		}
		st, err := os.Stat(dir)
		if err == nil {
			err = w.notify.Add(dir)
		}
		switch {
		case err == nil:
			w.dirs[dir], more = st, true
		case !errors.Is(err, fs.ErrNotExist): // Check says that
			w.fail(err)
		}
	}
	return more
}
