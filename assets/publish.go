package assets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/docker/go-units"
)

// A job is a copy under way.
type job struct {
	c      *Collection
	run    Run
	key    runKey
	ctx    context.Context
	cancel context.CancelCauseFunc
	bytes  atomic.Int64 // read so far
	began  time.Time
}

// next returns the copy that is due, nil if none is: of a collection that has
// nothing first, then of the newest run.
func (s *Store) next(ctx context.Context) *job {
	s.mu.Lock()
	j := s.due()
	if j != nil {
		j.key, j.began = j.run.key(), s.cfg.Now()
		j.ctx, j.cancel = context.WithCancelCause(ctx)
		s.job = j
		j.c.refresh()
	}
	s.mu.Unlock()
	return j
}

func (s *Store) due() (best *job) {
	now, bestNone := s.cfg.Now(), false
	for _, c := range s.collections {
		none := len(c.view.Load().records) == 0
		for i := range c.want {
			run := &c.want[i]
			if !run.Ready || c.record(run.key()) != nil {
				continue
			}
			if f := c.failures[run.key()]; f != nil && f.next.After(now) {
				continue
			}
			if best == nil || none && !bestNone || none == bestNone && run.StartedAt.After(best.run.StartedAt) {
				best, bestNone = &job{c: c, run: *run}, none
			}
		}
	}
	return best
}

// adopt gives runs the tree that the same run has in another collection.
func (s *Store) adopt() {
	s.mu.Lock()
	var byRun map[runKey]*record
	for _, c := range s.collections {
		for i := range c.want {
			run := &c.want[i]
			if !run.Ready || c.record(run.key()) != nil {
				continue
			}
			if byRun == nil {
				byRun = s.recordsByRun()
			}
			if r := byRun[run.key()]; r != nil {
				s.add(c, *run, r.tree, r.copied)
				c.succeeded(run.key())
			}
		}
	}
	s.mu.Unlock()
}

func (s *Store) recordsByRun() map[runKey]*record {
	all := map[runKey]*record{}
	for _, c := range s.collections {
		for _, r := range c.records {
			all[r.key] = r
		}
	}
	return all
}

// add gives c the tree m of a run. s.mu is held.
func (s *Store) add(c *Collection, run Run, m *manifest, copied time.Time) *record {
	r := &record{run: run, key: run.key(), tree: m, copied: copied}
	m.refs++
	c.records = append(c.records, r)
	c.review, s.dirty, s.stale = true, true, true
	c.refresh()
	return r
}

// succeeded forgets that a run could not be copied. Store.mu is held.
func (c *Collection) succeeded(key runKey) {
	delete(c.failures, key)
	c.fault = c.lastFault()
}

// failed notes why a run could not be copied, and when it is tried again. What was
// copied before stays. s.mu is held.
func (s *Store) failed(c *Collection, run *Run, fault *Fault) {
	f := c.failures[run.key()]
	if f == nil {
		f = &failure{}
		c.failures[run.key()] = f
	}
	if f.fault == nil || *f.fault != *fault {
		s.cfg.Log.Warn().Str("container", run.Container).Str("path", run.Dir).Str("code", fault.Code).Str("err", fault.Message).Msg("files not copied out of container")
	}
	f.fault, f.at = fault, s.cfg.Now()
	f.next = f.at.Add(pause(f.tries))
	f.tries++
	c.fault = fault
	c.refresh()
}

// lastFault returns that of the copy that failed last, of runs that are wanted.
func (c *Collection) lastFault() *Fault {
	var last *failure
	for _, f := range c.failures {
		if last == nil || f.at.After(last.at) {
			last = f
		}
	}
	if last == nil {
		return nil
	}
	return last.fault
}

// copy copies what j is for, and says how that went.
func (s *Store) copy(j *job) {
	reported, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reported)
		s.report(j, done)
	}()
	x, err := s.copyRun(j)
	close(done)
	<-reported
	s.mu.Lock()
	s.job = nil
	switch {
	case err == nil:
		j.c.succeeded(j.key)
	case j.ctx.Err() == nil:
		s.failed(j.c, &j.run, faultOf(&j.run, err))
	}
	j.c.refresh()
	s.mu.Unlock()
	j.cancel(nil)
	if err == nil {
		s.logCopied(j, x)
	}
}

// copyRun fetches, reads and publishes.
func (s *Store) copyRun(j *job) (*extract, error) {
	if err := s.ensureDirs(); err != nil {
		return nil, &storeError{s.cfg.Dir, err}
	}
	from, err := s.fetch(j.ctx, &j.run, &j.bytes)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	x, err := readTar(j.ctx, from.open, &j.run, s.cfg.Limits)
	if err != nil {
		return nil, err
	}
	return x, s.publish(j, x, from)
}

// publish stores what there is in x and not in the store, and then has it seen.
func (s *Store) publish(j *job, x *extract, from *spool) error {
	data := encodeListing(x.found)
	d := digest(sha256.Sum256(data))
	fresh := s.unstored(x.found)
	s.mu.Lock()
	m := s.trees[d]
	if m == nil {
		m = s.hold(d, x.found, nil)
	}
	m.refs++ // while it is published
	s.mu.Unlock()
	err := s.store(j.ctx, x, from, fresh)
	if err == nil {
		err = s.writeTree(d, data)
	}
	if err == nil {
		err = s.record(j, m)
	}
	var gone garbage
	s.mu.Lock()
	s.release(m, &gone)
	s.mu.Unlock()
	s.remove(gone)
	return err
}

// unstored returns the contents of a listing that are not on disk, or not whole.
func (s *Store) unstored(l listing) map[digest]int64 {
	fresh, seen := map[digest]int64{}, map[digest]bool{}
	for i := range l {
		d := l[i].digest
		if l[i].dir || seen[d] {
			continue
		}
		seen[d] = true
		if info, err := os.Lstat(s.blobPath(d)); err != nil || info.Size() != l[i].size {
			fresh[d] = l[i].size
		}
	}
	return fresh
}

// store writes the contents in fresh.
func (s *Store) store(ctx context.Context, x *extract, from *spool, fresh map[digest]int64) error {
	if !s.makeRoom() {
		f := tooLarge("has files in %s for which there is no room: with them, those in use take more than %s", x.run.Dir, units.BytesSize(float64(s.cfg.Limits.Total)))
		f.Fix = "raise --assets-max-total"
		return f
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := x.store(ctx, from.open, fresh, s.writeBlob); err != nil {
		return err
	}
	if err := syncAll(s.cfg.Dir); err != nil {
		return &storeError{s.cfg.Dir, err}
	}
	return nil
}

func (s *Store) writeBlob(d digest, size int64, content io.Reader) error {
	to := s.blobPath(d)
	err := os.Mkdir(filepath.Dir(to), 0o700)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return &storeError{s.cfg.Dir, err}
	}
	return s.write(to, syncEach, content)
}

// writeTree stores a manifest, if it is not yet.
func (s *Store) writeTree(d digest, data []byte) error {
	if _, err := os.Lstat(s.treePath(d)); err == nil {
		return nil
	}
	return s.write(s.treePath(d), true, bytes.NewReader(data))
}

// record notes, on disk and then for everybody, that j's run has the tree m.
func (s *Store) record(j *job, m *manifest) error {
	if j.ctx.Err() != nil {
		return context.Cause(j.ctx)
	}
	s.mu.Lock()
	r := s.add(j.c, j.run, m, s.cfg.Now())
	if !slices.ContainsFunc(j.c.want, func(run Run) bool { return run.key() == j.key }) {
		r.left = r.copied // since a moment ago
		j.c.refresh()
	}
	s.mu.Unlock()
	err := s.save()
	if err == nil {
		return nil
	}
	var gone garbage
	s.mu.Lock()
	s.drop(j.c, []*record{r}, &gone)
	s.mu.Unlock()
	return &storeError{s.cfg.Dir, err}
}
