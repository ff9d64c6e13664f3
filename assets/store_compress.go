package assets

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// mostRest bounds how long nothing is compressed after something was. Otherwise
// it rests as long as it worked, which leaves requests a processor.
const mostRest = time.Second

// compressNext compresses one content of a wanted tree with one coding, and
// reports whether there may be more to do. It makes way for copies.
func (s *Store) compressNext(ctx context.Context) bool {
	b, at := s.nextVariant()
	if b == nil {
		s.tellVariants(true)
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.interrupt = nil
		cancel()
	}()
	s.mu.Lock()
	s.interrupt = cancel
	s.mu.Unlock()
	select {
	case <-s.wake:
		return true // there may be a copy to make
	default:
	}
	began := time.Now()
	s.compress(ctx, b, at)
	s.tellVariants(false)
	if ctx.Err() == nil {
		if took := time.Since(began); took > 0 {
			s.sleep(ctx, min(took, mostRest))
		}
	}
	return true
}

// nextVariant returns a content that is to be compressed, and with which coding.
func (s *Store) nextVariant() (*blob, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		s.queue, s.stale = s.compressibles(), false
	}
	for len(s.queue) > 0 && !s.full {
		b := s.queue[len(s.queue)-1]
		if s.blobs[b.digest] == b {
			for at := range b.variants {
				if b.variants[at].Load() == 0 {
					return b, at
				}
			}
		}
		s.queue = s.queue[:len(s.queue)-1]
	}
	return nil, 0
}

// compressibles returns contents of wanted trees that compressing may help, those
// of the smallest last. s.mu is held.
func (s *Store) compressibles() (all []*blob) {
	seen := map[*blob]bool{}
	for _, c := range s.collections {
		v := c.view.Load()
		for _, r := range v.records[:v.wanted] {
			for i := range r.tree.entries {
				e := &r.tree.entries[i]
				if e.blob != nil && !seen[e.blob] && s.compressible(e.name, e.blob.size) {
					seen[e.blob] = true
					all = append(all, e.blob)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b *blob) int { return int(min(max(b.size-a.size, -1), 1)) })
	return all
}

// compress makes a variant of b, or notes that it is not worth it.
func (s *Store) compress(ctx context.Context, b *blob, at int) {
	size, err := s.encodeBlob(ctx, b, at)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, errFull):
		s.mu.Lock()
		s.full = true
		s.mu.Unlock()
		return
	case err != nil:
		s.cfg.Log.Warn().Err(err).Str("path", s.blobPath(b.digest)).Str("coding", codings[at]).Msg("copied file not compressed")
	}
	if size <= 0 || err != nil {
		size = notWorth
	}
	s.mu.Lock()
	b.variants[at].Store(int32(size))
	s.bytes += max(0, size)
	s.mu.Unlock()
	s.untold = s.untold || size > 0
}

var errFull = errors.New("no room")

// encodeBlob returns the size of the variant that it stored, 0 if it would not
// help; an empty file then says so.
func (s *Store) encodeBlob(ctx context.Context, b *blob, at int) (int64, error) {
	from, err := os.Open(s.blobPath(b.digest))
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to := s.blobPath(b.digest) + suffixes[at]
	temp, err := os.OpenFile(s.path(workDir, filepath.Base(to)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if err := s.encode(ctx, codings[at], from, b.size, temp); err != nil {
		return 0, err
	}
	size, err := temp.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if !worth(b.size, size) {
		size = 0
		err = temp.Truncate(0)
	} else if s.Usage().Bytes+size > s.cfg.Limits.Total {
		return 0, errFull
	} else {
		err = temp.Sync() // a variant that is cut would be served as it is
	}
	if err == nil {
		err = os.Rename(temp.Name(), to)
	}
	return size, err
}

// worth reports whether a variant is smaller by what having it costs.
func worth(size, variant int64) bool {
	return size-variant >= 64 && variant*100 <= size*95
}

// tellVariants has collections looked at again for variants, once in a while or
// now.
func (s *Store) tellVariants(now bool) {
	if !s.untold || !now && time.Since(s.told) < tellEvery {
		return
	}
	s.untold, s.told = false, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.collections {
		if len(c.view.Load().records) > 0 {
			c.tell(true)
		}
	}
}
