package assets

import (
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// A Collection is what was copied out of the containers of a service: those of
// its wanted runs, newest first, then those kept of former ones, newest first.
type Collection struct {
	store   *Store
	key     string
	view    atomic.Pointer[view] // what requests see
	version atomic.Uint64        // changes after view

	// guarded by Store.mu
	claimed  bool // somebody said what is wanted since the start
	want     []Run
	retain   time.Duration
	records  []*record
	failures map[runKey]*failure
	fault    *Fault
	state    string
	review   bool          // a copy came: it may hide former ones
	changed  chan struct{} // nil unless somebody waits
}

var _ Tree = (*Collection)(nil)

// A record is what was copied of a run.
type record struct {
	run    Run
	key    runKey
	tree   *manifest
	copied time.Time
	left   time.Time    // when it was no longer wanted, zero while it is
	kept   bool         // left is when the store was loaded; nobody said yet that it is not wanted
	used   atomic.Int64 // s since 1970, when it last had what was asked for, if it is not wanted
}

// A failure is what is known of a run that could not be copied.
type failure struct {
	fault *Fault
	at    time.Time
	tries int
	next  time.Time // when it is tried again
}

// A view is what a collection has at a moment.
type view struct {
	records []*record
	wanted  int   // the first of them
	missing error // what becomes of names that nothing has
}

// Stat returns what the first of the copies that has name has there.
func (c *Collection) Stat(name string) (File, error) {
	v := c.view.Load()
	if !validName(name) {
		return File{}, fs.ErrNotExist
	}
	for i, r := range v.records {
		if f, ok := r.tree.stat(name); ok {
			if i >= v.wanted {
				r.use(c.store.cfg.Now())
			}
			return f, nil
		}
	}
	return File{}, v.missing
}

// use notes that r was of use, to the minute.
func (r *record) use(now time.Time) {
	if s := now.Unix(); s-r.used.Load() >= 60 {
		r.used.Store(s)
	}
}

// Open opens the content of a file.
func (c *Collection) Open(f File) (*os.File, error) {
	name, suffix := f.ref, ""
	if len(name) > 2*len(digest{}) {
		name, suffix = name[:2*len(digest{})], name[2*len(digest{}):]
	}
	if f.Dir || len(name) != 2*len(digest{}) {
		return nil, &fs.PathError{Op: "open", Path: f.Name, Err: fs.ErrNotExist}
	}
	return os.Open(c.store.path(blobsDir, name[:2], name+suffix))
}

// List returns what a directory of the newest copy has.
func (c *Collection) List(name string) ([]File, error) {
	v := c.view.Load()
	if len(v.records) == 0 {
		return nil, v.missing
	}
	if !validName(name) {
		return nil, fs.ErrNotExist
	}
	return v.records[0].tree.list(name)
}

// Encoded returns f as it was compressed after it had been copied.
func (c *Collection) Encoded(f File, coding string) (File, bool) {
	at := slices.Index(codings, coding)
	if at < 0 || f.blob == nil {
		return File{}, false
	}
	size := f.blob.variants[at].Load()
	if size <= 0 {
		return File{}, false
	}
	f.Size, f.Version, f.ref = int64(size), f.Version+"-"+coding, f.ref+suffixes[at]
	return f, true
}

// Version changes whenever an answer of c may have.
func (c *Collection) Version() uint64 { return c.version.Load() }

// Settled is true: nothing changes that Version does not tell.
func (c *Collection) Settled() bool { return true }

// Want says which runs there are now, newest first, and how long the files of
// those that are there no longer stay. It replaces what the last call said. With
// no runs, what there is stays for retain.
func (c *Collection) Want(runs []Run, retain time.Duration) {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.claimed && c.retain == retain && slices.EqualFunc(c.want, runs, equalRuns) {
		return
	}
	if s.collections[c.key] == nil {
		s.collections[c.key] = c
	}
	c.claimed, c.want, c.retain = true, slices.Clone(runs), retain
	wanted := map[runKey]bool{}
	for i := range c.want {
		wanted[c.want[i].key()] = true
	}
	now := s.cfg.Now()
	for _, r := range c.records {
		switch {
		case wanted[r.key]:
			r.left = time.Time{}
		case r.left.IsZero():
			r.left = now
			r.used.Store(now.Unix())
		}
		r.kept = false
	}
	for key := range c.failures {
		if !wanted[key] {
			delete(c.failures, key)
		}
	}
	if c.fault != nil && c.lastFault() == nil && c.settled() {
		c.fault = nil
	}
	c.refresh()
	s.dirty, s.stale = true, true
	if s.job != nil && s.job.c == c && !wanted[s.job.key] {
		s.job.cancel(errUnwanted)
	}
	s.stir(!c.settled())
}

// settled reports whether every run that is ready was copied. Store.mu is held.
func (c *Collection) settled() bool {
	return !slices.ContainsFunc(c.want, func(run Run) bool { return run.Ready && c.record(run.key()) == nil })
}

// Changed returns a channel that is closed at the next change of Version or of
// Status.State.
func (c *Collection) Changed() <-chan struct{} {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// Status returns what became of c.
func (c *Collection) Status() Status {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	v := c.view.Load()
	st := Status{State: c.state, Fault: c.fault, Retained: len(v.records) - v.wanted}
	switch job := c.store.job; {
	case job != nil && job.c == c:
		st.Container, st.Bytes, st.Since = job.run.Container, job.bytes.Load(), job.began
	case len(v.records) > 0:
		first := v.records[0]
		st.Container, st.Files, st.Bytes, st.Since = first.run.Container, first.tree.files, first.tree.bytes, first.copied
	}
	return st
}

// refresh makes c show what it has. Store.mu is held.
func (c *Collection) refresh() {
	v := c.newView()
	old, state := c.view.Load(), c.stateOf(v)
	same := slices.Equal(old.records, v.records) && old.wanted == v.wanted && old.missing == v.missing
	if same && state == c.state {
		return
	}
	c.view.Store(v)
	c.state = state
	c.tell(!same)
}

// tell has everybody look at c again. Store.mu is held.
func (c *Collection) tell(version bool) {
	if version {
		c.version.Add(1)
	}
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

func (c *Collection) newView() *view {
	v := &view{missing: fs.ErrNotExist}
	seen := map[*manifest]bool{}
	take := func(r *record) {
		if !seen[r.tree] {
			seen[r.tree] = true
			v.records = append(v.records, r)
		}
	}
	byRun := map[runKey]*record{}
	var former []*record
	for _, r := range c.records {
		if byRun[r.key] = r; !r.left.IsZero() {
			former = append(former, r)
		}
	}
	pending, ready := false, false // a run is to be copied; one that is ready
	for i := range c.want {
		key := c.want[i].key()
		if r := byRun[key]; r != nil {
			take(r)
		} else if c.failures[key] == nil {
			pending, ready = true, ready || c.want[i].Ready
		}
	}
	v.wanted = len(v.records)
	slices.SortStableFunc(former, newerFirst)
	for _, r := range former {
		take(r)
	}
	switch {
	case len(v.records) > 0 && !ready:
		// What no copy has is not there, unless the next one may have it: pages of a
		// new container name files of theirs at once.
	case pending:
		v.missing = ErrPending
	case len(c.want) > 0:
		v.missing = ErrUnavailable
	}
	return v
}

func newerFirst(a, b *record) int {
	if n := b.left.Compare(a.left); n != 0 {
		return n
	}
	return b.copied.Compare(a.copied)
}

func (c *Collection) stateOf(v *view) string {
	switch job := c.store.job; {
	case job != nil && job.c == c:
		return Copying
	case len(v.records) > 0:
		return Ready
	case v.missing == ErrUnavailable:
		return Failed
	}
	return Waiting
}

// A runKey is what tells runs apart.
type runKey struct {
	id      string
	started int64
	ended   bool
	dir     string
	skip    string
}
