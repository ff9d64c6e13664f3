package assets

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/internal/statefile"
)

// A Store keeps directories of containers: it copies them, has the files compressed
// and removes what nobody wants.
type Store struct {
	cfg  Config
	wake chan struct{} // of one: there is something to do

	encode       func(ctx context.Context, coding string, src *os.File, size int64, dst *os.File) error
	compressible func(name string, size int64) bool

	mu          sync.Mutex // guards the fields below, and what says so of its types
	collections map[string]*Collection
	trees       map[digest]*manifest // that records have
	blobs       map[digest]*blob     // that trees have
	bytes       int64                // of blobs and their variants
	job         *job                 // the copy under way
	interrupt   context.CancelFunc   // of what is to make way for a copy, or nil
	dirty       bool                 // something is to be saved
	full        bool                 // there was no room for variants since anything was removed
	stale       bool                 // trees came since queue was made
	loaded      time.Time

	// of Run alone
	seen      time.Time // when collections.json was written that was loaded
	saveFault string    // of the last save
	queue     []*blob   // that may be compressed
	untold    bool      // variants were made of which collections were not told
	told      time.Time // when they were
}

// NewStore returns a store that has nothing yet.
func NewStore(cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Store{
		cfg: cfg, wake: make(chan struct{}, 1), encode: encode, compressible: compressible,
		collections: map[string]*Collection{}, trees: map[digest]*manifest{}, blobs: map[digest]*blob{},
	}
}

// Collection returns the collection called key. It is the same each time.
func (s *Store) Collection(key string) *Collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.collection(key)
}

func (s *Store) collection(key string) *Collection {
	c := s.collections[key]
	if c == nil {
		c = &Collection{store: s, key: key, failures: map[runKey]*failure{}, state: Waiting}
		c.view.Store(c.newView())
		s.collections[key] = c
	}
	return c
}

// Usage is what a store takes.
type Usage struct {
	Bytes int64 `json:"bytes"` // compressed variants included
	Limit int64 `json:"limit"`
	Trees int   `json:"trees"` // different directories
	Files int   `json:"files"` // different contents
}

// Usage returns what s takes.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Bytes: s.bytes, Limit: s.cfg.Limits.Total, Trees: len(s.trees), Files: len(s.blobs)}
}

// How often a lock that is taken is tried again, and how often it is looked
// whether who has it has published something.
const (
	lockEvery   = 100 * time.Millisecond
	lookEvery   = time.Second
	retryLeast  = 2 * time.Second // until what failed is tried again
	retryMost   = 5 * time.Minute
	idleAtMost  = time.Hour       // for clocks that are set
	tellEvery   = time.Second     // that there are more variants
	reportFirst = 2 * time.Second // of a copy that takes longer
	reportEvery = 5 * time.Second
)

// Run waits until no other process works on the store, then copies, has files
// compressed and removes what is not wanted until ctx ends. It returns nil.
func (s *Store) Run(ctx context.Context) error {
	lock := s.takeOver(ctx)
	if lock == nil {
		return nil
	}
	defer lock.Close()
	for ctx.Err() == nil {
		s.collect()
		s.adopt()
		if j := s.next(ctx); j != nil {
			s.copy(j)
			continue
		}
		s.save()
		if s.compressNext(ctx) {
			continue
		}
		s.sleep(ctx, s.idle())
	}
	s.save()
	return nil
}

// takeOver returns the lock once it is taken and what the store has is loaded,
// nil if ctx ends before. As long as the directory cannot be written, what is to
// be copied fails.
func (s *Store) takeOver(ctx context.Context) *os.File {
	for tries := 0; ctx.Err() == nil; tries++ {
		lock, err := s.lock(ctx)
		if err == nil && lock != nil {
			if err = s.begin(); err == nil {
				return lock
			}
			lock.Close()
		}
		if err != nil {
			s.failAll(&storeError{s.cfg.Dir, err})
			s.sleep(ctx, pause(tries))
		}
	}
	return nil
}

// lock waits for the lock, and meanwhile shows what others publish.
func (s *Store) lock(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for tries := 1; !tryLock(f); tries++ {
		select {
		case <-ctx.Done():
			f.Close()
			return nil, nil
		case <-time.After(lockEvery):
		}
		if tries%int(lookEvery/lockEvery) == 0 {
			s.look()
		}
	}
	return f, nil
}

// begin makes the store ready for work: it loads it again, for whoever had the
// lock, and removes what nothing names. Unfinished work is among that.
func (s *Store) begin() error {
	if err := s.makeDirs(); err != nil {
		return err
	}
	var st state
	if aside, err := s.stateFile().Load(&st); err != nil {
		s.cfg.Log.Error().Err(err).Str("path", aside).Msg("list of copied files set aside: files are copied again")
		st = state{}
	}
	blobs, foreign, err := s.scan()
	if err != nil {
		return err
	}
	s.take(&st, blobs)
	s.sweep(blobs, foreign)
	return nil
}

func (s *Store) stateFile() statefile.File { return statefile.File(s.path(stateName)) }

// failAll has everything fail that could be copied.
func (s *Store) failAll(err error) {
	s.mu.Lock()
	for _, c := range s.collections {
		for i := range c.want {
			if run := &c.want[i]; run.Ready && c.record(run.key()) == nil {
				s.failed(c, run, faultOf(run, err))
			}
		}
	}
	s.mu.Unlock()
}

// sleep waits for d or until there is something to do.
func (s *Store) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	}
}

// stir has Run look for something to do, and leave what makes way for copies if
// there is one to make. s.mu is held.
func (s *Store) stir(copies bool) {
	if copies && s.interrupt != nil {
		s.interrupt()
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// idle is how long there is nothing to do.
func (s *Store) idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, least := s.cfg.Now(), idleAtMost
	for _, c := range s.collections {
		for _, f := range c.failures {
			if f.next.After(now) { // else its run is not ready
				least = min(least, f.next.Sub(now))
			}
		}
		for _, r := range c.records {
			if !r.left.IsZero() && !s.holds(c, r) {
				least = min(least, r.left.Add(c.retain).Sub(now))
			}
		}
		if left := grace - now.Sub(s.loaded); !c.claimed && left > 0 {
			least = min(least, left)
		}
	}
	return max(least, time.Millisecond)
}

func pause(tries int) time.Duration {
	return min(retryLeast<<min(tries, 20), retryMost)
}

// key returns what tells r from other runs.
func (r *Run) key() runKey {
	skip := slices.Sorted(slices.Values(r.Skip))
	return runKey{r.ID, r.StartedAt.UnixNano(), r.Ended, r.Dir, strings.Join(skip, "\x00")}
}

func equalRuns(a, b Run) bool {
	return a.key() == b.key() && a.Container == b.Container && a.Ready == b.Ready
}

func (c *Collection) record(key runKey) *record {
	for _, r := range c.records {
		if r.key == key {
			return r
		}
	}
	return nil
}

// Load reads what is published, without changing it. What is not whole is left
// out. After an error the store has nothing until Run could read it.
func (s *Store) Load() error {
	st, err := s.readState()
	if err != nil {
		return err
	}
	blobs, _, err := s.scan()
	if err != nil {
		return fmt.Errorf("read copied files in %s: %w; make it readable, or remove it: they are copied again", s.cfg.Dir, err)
	}
	s.take(st, blobs)
	return nil
}
