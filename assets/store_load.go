package assets

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// A state is which runs have which tree, as it is saved.
type state struct {
	Collections map[string]*savedCollection `json:"collections"`
}

type savedCollection struct {
	Retain time.Duration `json:"retain"` // ns
	Runs   []savedRun    `json:"runs"`
}

type savedRun struct {
	ID        string    `json:"id"`
	Container string    `json:"container"`
	StartedAt time.Time `json:"started_at,omitzero"`
	Ended     bool      `json:"ended,omitempty"`
	Dir       string    `json:"dir"`
	Skip      []string  `json:"skip,omitempty"`
	Tree      string    `json:"tree"`
	Copied    time.Time `json:"copied"`
	Left      time.Time `json:"left,omitzero"`
	Used      int64     `json:"used,omitempty"` // s since 1970
}

// grace is how long after the start files of runs of which nobody has said yet
// that they are not wanted any more are kept as if they were: the engine may be
// slow to come.
const grace = 10 * time.Minute

// readState reads the saved state without changing anything.
func (s *Store) readState() (*state, error) {
	st := &state{}
	data, err := os.ReadFile(s.path(stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		if info, err := os.Stat(s.path(stateName)); err == nil {
			s.seen = info.ModTime()
		}
		err = json.Unmarshal(data, st)
	}
	if err != nil {
		return nil, fmt.Errorf("read list of copied files %s: %w; make it readable, or remove it: files are copied again", s.path(stateName), err)
	}
	return st, nil
}

// look loads the store again if another process has changed it.
func (s *Store) look() {
	info, err := os.Stat(s.path(stateName))
	if err != nil || info.ModTime().Equal(s.seen) {
		return
	}
	if err := s.Load(); err != nil {
		s.seen = info.ModTime()
		s.cfg.Log.Warn().Err(err).Msg("what another process published not read")
	}
}

// take replaces what s has by a saved state, as far as it is whole.
func (s *Store) take(st *state, disk storedBlobs) {
	lists := s.readTrees(st, disk)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = s.cfg.Now()
	s.trees, s.blobs, s.bytes, s.stale = map[digest]*manifest{}, map[digest]*blob{}, 0, true
	for d, l := range lists {
		s.hold(d, l, disk)
	}
	for _, c := range s.collections {
		c.records = nil
	}
	for key, saved := range st.Collections {
		if saved == nil {
			continue
		}
		c := s.collection(key)
		if !c.claimed {
			c.retain = saved.Retain
		}
		for i := range saved.Runs {
			s.takeRun(c, &saved.Runs[i])
		}
	}
	for d, m := range s.trees {
		if m.refs == 0 { // all its runs make no sense
			s.forget(m)
			delete(s.trees, d)
		}
	}
	for _, c := range s.collections {
		c.refresh()
	}
}

// takeRun adds a saved run to c. s.mu is held.
func (s *Store) takeRun(c *Collection, saved *savedRun) {
	d, _ := parseDigest(saved.Tree)
	m := s.trees[d]
	r := &record{
		run: Run{
			ID: saved.ID, Container: saved.Container, StartedAt: saved.StartedAt, Ended: saved.Ended, Ready: true, Dir: saved.Dir, Skip: saved.Skip,
		},
		tree: m, copied: saved.Copied, left: saved.Left,
	}
	r.key = r.run.key()
	if m == nil || c.record(r.key) != nil {
		return
	}
	wanted := slices.ContainsFunc(c.want, func(run Run) bool { return run.key() == r.key })
	switch {
	case wanted:
		r.left = time.Time{}
	case r.left.IsZero():
		r.left, r.kept, saved.Used = s.loaded, !c.claimed, s.loaded.Unix()
	case r.left.After(s.loaded): // the clock was set
		r.left = s.loaded
	}
	r.used.Store(min(saved.Used, s.loaded.Unix()))
	m.refs++
	c.records = append(c.records, r)
}

// readTrees reads the trees that a state names and returns those of which every
// blob is there. Which are not is logged: their runs are read again.
func (s *Store) readTrees(st *state, disk storedBlobs) map[digest]listing {
	lists, tried := map[digest]listing{}, map[string]bool{}
	for _, c := range st.Collections {
		if c == nil {
			continue
		}
		for i := range c.Runs {
			name := c.Runs[i].Tree
			if tried[name] {
				continue
			}
			tried[name] = true
			d, l, err := s.readTree(name, disk)
			if err != nil {
				s.cfg.Log.Warn().Err(err).Str("container", c.Runs[i].Container).Msg("copied files dropped")
				continue
			}
			lists[d] = l
		}
	}
	return lists
}

func (s *Store) readTree(name string, disk storedBlobs) (d digest, l listing, err error) {
	d, ok := parseDigest(name)
	if !ok {
		return d, nil, fmt.Errorf("read tree %s: no digest", shownName(name))
	}
	data, err := os.ReadFile(s.treePath(d))
	if err != nil {
		return d, nil, err
	}
	if sha256.Sum256(data) != d {
		return d, nil, fmt.Errorf("read tree %s: it was changed", d)
	}
	if l, err = decodeListing(data); err != nil {
		return d, nil, fmt.Errorf("read tree %s: %w", d, err)
	}
	for i := range l {
		if one := disk[l[i].digest]; !l[i].dir && (!one.there || one.size != l[i].size) {
			return d, nil, fmt.Errorf("read %s of tree %s: its content %s is missing or cut", shownName(l[i].name), d, l[i].digest)
		}
	}
	return d, l, nil
}

// hold adds a tree that no record has yet, and its blobs. disk says which variants
// there are. s.mu is held.
func (s *Store) hold(d digest, l listing, disk storedBlobs) *manifest {
	for i := range l {
		if l[i].dir {
			continue
		}
		b := s.blobs[l[i].digest]
		if b == nil {
			b = &blob{digest: l[i].digest, size: l[i].size}
			s.blobs[b.digest] = b
			s.bytes += b.size
			for at, size := range disk[b.digest].variants {
				b.variants[at].Store(size)
				s.bytes += max(0, int64(size))
			}
		}
		b.refs++
	}
	m := newManifest(d, l, s.blobs)
	s.trees[d] = m
	return m
}

// forget takes back what hold did to blobs, and returns those that no tree has
// any more. s.mu is held.
func (s *Store) forget(m *manifest) (gone []*blob) {
	for i := range m.entries {
		b := m.entries[i].blob
		if b == nil {
			continue
		}
		if b.refs--; b.refs > 0 {
			continue
		}
		delete(s.blobs, b.digest)
		s.bytes -= b.size
		for at := range b.variants {
			s.bytes -= max(0, int64(b.variants[at].Load()))
		}
		gone = append(gone, b)
	}
	return gone
}

// save writes the state if it has changed. An error is logged once: it is tried
// again whenever there is something to do.
func (s *Store) save() error {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	st := s.state()
	s.dirty = false
	s.mu.Unlock()
	err := s.stateFile().Save(st)
	text := ""
	if err != nil {
		text = err.Error()
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
	}
	if text != s.saveFault && text != "" {
		s.cfg.Log.Warn().Err(err).Str("path", s.cfg.Dir).Msg("list of copied files not saved")
	}
	s.saveFault = text
	return err
}

func (s *Store) state() *state {
	st := &state{Collections: map[string]*savedCollection{}}
	for key, c := range s.collections {
		if len(c.records) == 0 {
			continue
		}
		saved := &savedCollection{Retain: c.retain}
		for _, r := range c.records {
			left := r.left
			if r.kept {
				left = time.Time{}
			}
			saved.Runs = append(saved.Runs, savedRun{
				ID: r.run.ID, Container: r.run.Container, StartedAt: r.run.StartedAt, Ended: r.run.Ended, Dir: r.run.Dir, Skip: r.run.Skip,
				Tree: r.tree.digest.String(), Copied: r.copied, Left: left, Used: r.used.Load(),
			})
		}
		st.Collections[key] = saved
	}
	return st
}
