package assets

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
)

// maxFormer is how many former copies a collection keeps: a container that starts
// again and again, with other files each time, makes one each time, and a request
// for what none has looks into all.
const maxFormer = 50

// holds reports whether a record of c must not go: it is wanted, or the best there
// is until what is wanted is copied. s.mu is held.
func (s *Store) holds(c *Collection, r *record) bool {
	if r.left.IsZero() || r.kept && s.cfg.Now().Sub(s.loaded) < grace {
		return true
	}
	v := c.view.Load()
	return len(c.want) > 0 && v.wanted == 0 && len(v.records) > 0 && v.records[0] == r
}

// collect drops the records whose time is over, and all that nothing has any more.
func (s *Store) collect() {
	var gone garbage
	s.mu.Lock()
	for key, c := range s.collections {
		s.expire(c, &gone)
		if len(c.records) == 0 && len(c.want) == 0 && c.claimed {
			delete(s.collections, key) // until it is wanted again, see Want
		}
	}
	s.mu.Unlock()
	s.remove(gone)
}

// expire drops records of c. s.mu is held.
func (s *Store) expire(c *Collection, gone *garbage) {
	now, former := s.cfg.Now(), 0
	var drop []*record
	slices.SortStableFunc(c.records, newerFirst)
	for _, r := range c.records {
		if s.holds(c, r) {
			continue
		}
		if r.kept { // grace is over: left stays what it is at the next start too
			r.kept, s.dirty = false, true
		}
		former++
		if former > maxFormer || now.Sub(r.left) >= c.retain || c.review && c.hides(r) {
			drop = append(drop, r)
		}
	}
	c.review = false
	s.drop(c, drop, gone)
}

// hides reports whether nothing of a former copy can be seen: a wanted one, which
// comes first and will stay longer, has all its names.
func (c *Collection) hides(former *record) bool {
	for _, r := range c.records {
		if r.left.IsZero() && (r.tree == former.tree || r.tree.has(former.tree)) {
			return true
		}
	}
	return false
}

// garbage is what is to be removed from disk.
type garbage struct {
	trees []digest
	blobs []*blob
	any   bool // something was dropped, if only from the list
}

// drop takes records from c. s.mu is held.
func (s *Store) drop(c *Collection, records []*record, gone *garbage) {
	if len(records) == 0 {
		return
	}
	gone.any, s.dirty = true, true
	c.records = slices.DeleteFunc(c.records, func(r *record) bool { return slices.Contains(records, r) })
	for _, r := range records {
		s.release(r.tree, gone)
	}
	c.refresh()
}

// release takes back one reference to m. s.mu is held.
func (s *Store) release(m *manifest, gone *garbage) {
	if m.refs--; m.refs > 0 {
		return
	}
	delete(s.trees, m.digest)
	gone.trees = append(gone.trees, m.digest)
	gone.blobs = append(gone.blobs, s.forget(m)...)
	s.full = false
}

// remove removes garbage from disk, after the list that no longer names it is
// there. If that cannot be written, for want of room, it is removed even so: what
// is not whole is dropped at the next start.
func (s *Store) remove(gone garbage) {
	if !gone.any && len(gone.trees) == 0 {
		return
	}
	s.save()
	for _, d := range gone.trees {
		os.Remove(s.treePath(d))
	}
	for _, b := range gone.blobs {
		s.removeBlob(b.digest)
	}
}

func (s *Store) removeBlob(d digest) {
	name := s.blobPath(d)
	for _, suffix := range suffixes {
		os.Remove(name + suffix)
	}
	os.Remove(name)
}

// makeRoom drops former copies, the least used first, until what is there is
// within the limit. It drops none if that would not help.
func (s *Store) makeRoom() bool {
	var gone garbage
	s.mu.Lock()
	limit := s.cfg.Limits.Total
	fits := s.bytes <= limit
	if !fits && s.heldBytes() <= limit {
		for _, f := range s.formers() {
			if fits = s.bytes <= limit; fits {
				break
			}
			s.drop(f.c, []*record{f.record}, &gone)
			s.cfg.Log.Info().Str("container", f.record.run.Container).Str("path", f.record.run.Dir).Msg("files of a former container removed before their time: there was no room (--assets-max-total)")
		}
		fits = s.bytes <= limit
	}
	s.mu.Unlock()
	s.remove(gone)
	return fits
}

// heldBytes is what cannot be dropped: trees of held records, and the one that is
// being published, which no record has. s.mu is held.
func (s *Store) heldBytes() (bytes int64) {
	keep := map[*manifest]bool{}
	for _, c := range s.collections {
		for _, r := range c.records {
			keep[r.tree] = keep[r.tree] || s.holds(c, r)
		}
	}
	seen := map[*blob]bool{}
	for _, m := range s.trees {
		if kept, known := keep[m]; known && !kept {
			continue
		}
		for i := range m.entries {
			b := m.entries[i].blob
			if b == nil || seen[b] {
				continue
			}
			seen[b] = true
			bytes += b.size
			for at := range b.variants {
				bytes += max(0, int64(b.variants[at].Load()))
			}
		}
	}
	return bytes
}

type former struct {
	c      *Collection
	record *record
}

// formers returns the records that may go, the least used first. s.mu is held.
func (s *Store) formers() (all []former) {
	for _, c := range s.collections {
		for _, r := range c.records {
			if !s.holds(c, r) {
				all = append(all, former{c, r})
			}
		}
	}
	last := func(r *record) int64 { return max(r.used.Load(), r.left.Unix()) }
	slices.SortFunc(all, func(a, b former) int {
		return cmp.Or(cmp.Compare(last(a.record), last(b.record)), a.record.left.Compare(b.record.left))
	})
	return all
}

// sweep removes what is on disk and belongs to nothing: what was cut short.
func (s *Store) sweep(disk storedBlobs, foreign []string) {
	for d, one := range disk {
		b := s.blobs[d]
		if b == nil || !one.there {
			s.removeBlob(d)
		}
	}
	for _, name := range foreign {
		os.RemoveAll(name)
	}
	files, _ := filepath.Glob(s.path(treesDir, "*"))
	for _, name := range files {
		if d, ok := parseDigest(filepath.Base(name)); !ok || s.trees[d] == nil {
			os.RemoveAll(name)
		}
	}
}
