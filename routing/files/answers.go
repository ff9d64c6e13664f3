package files

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/assets"
)

// What Answers of a Handler's own hold.
const (
	defaultBytes   = 64 << 20
	defaultEntries = 20_000
)

const (
	// believed is how long what is known of a file that may change is taken for
	// true, as nginx's open_file_cache_valid.
	believed = time.Second
	// handleIdle and entryIdle are for how long what nobody asks for is kept, at
	// least. An open file keeps its place on a disk.
	handleIdle = 10 * time.Second
	entryIdle  = 10 * time.Minute
	sweepEvery = 10 * time.Second
	// entryCost is what an entry takes besides its name and content, in bytes.
	entryCost = 1 << 10

	shards = 16
)

// Answers keeps what was found out about files that were asked for: the fields of
// their answers, the content of small ones, and open files for large ones. It may
// be used concurrently.
type Answers struct {
	shards [shards]shard
	seed   maphash.Seed
	epoch  time.Time // clocks count from here
	open   atomic.Int64
	armed  atomic.Bool // a sweep is due
}

// A key is a name in a tree.
type key struct {
	tree assets.Tree
	name string
}

// A shard has a part of all entries. What is asked for least goes first, by the
// CLOCK algorithm: it costs those that stay no more than a bit.
type shard struct {
	mu      sync.RWMutex // guards all below
	entries map[key]*entry
	ring    []*entry
	hand    int
	bytes   int64

	most     int64
	mostRing int
}

// NewAnswers returns Answers that hold up to bytes of content and names, and up to
// entries of both found and missing names. Both are split evenly among its shards,
// and are meant to be large.
func NewAnswers(bytes int64, entries int) *Answers {
	a := &Answers{seed: maphash.MakeSeed(), epoch: time.Now()}
	for i := range a.shards {
		a.shards[i] = shard{entries: map[key]*entry{}, most: bytes / shards, mostRing: max(1, entries/shards)}
	}
	return a
}

// find returns what stands under name in tree, as of not much more than a second
// before now.
func (a *Answers) find(tree assets.Tree, name string, now time.Time) (*entry, error) {
	s := &a.shards[maphash.String(a.seed, name)%shards]
	clock := now.Sub(a.epoch)
	s.mu.RLock()
	e := s.entries[key{tree, name}]
	s.mu.RUnlock()
	switch {
	case e == nil:
		return a.learn(s, tree, strings.Clone(name), nil)
	case e.holds(clock):
	case e.settled != tree.Settled():
		return a.learn(s, tree, e.name, e)
	case e.settled: // the news are there to be read, and cost little
		return a.learn(s, tree, e.name, e)
	case e.checking.CompareAndSwap(false, true):
		defer e.checking.Store(false)
		return a.learn(s, tree, e.name, e)
	}
	e.touch(clock)
	return e, nil
}

// again is find for an entry that turned out to be no longer true.
func (a *Answers) again(e *entry) (*entry, error) {
	s := &a.shards[maphash.String(a.seed, e.name)%shards]
	a.drop(s, e)
	return a.learn(s, e.tree, e.name, nil)
}

// learn asks tree for name. If what was known of it is still true, that stays.
func (a *Answers) learn(s *shard, tree assets.Tree, name string, known *entry) (*entry, error) {
	clock := time.Since(a.epoch)
	settled, version := tree.Settled(), tree.Version()
	seen, err := look(tree, name)
	if err != nil {
		if known != nil {
			a.drop(s, known)
		}
		return nil, err
	}
	if known != nil && known.settled == settled && known.seen.same(&seen) && !known.grown(time.Now()) {
		known.version.Store(version)
		known.checked.Store(int64(clock))
		known.touch(clock)
		return known, nil
	}
	e := newEntry(key{tree, name}, seen, time.Now())
	e.settled = settled
	e.version.Store(version)
	e.checked.Store(int64(clock))
	e.used.Store(int64(clock))
	if e.kind == missing && !settled {
		if known != nil {
			a.drop(s, known)
		}
		return e, nil
	}
	a.keep(s, e)
	return e, nil
}

// keep puts e in the place of what had its name, and makes room for it.
func (a *Answers) keep(s *shard, e *entry) {
	s.mu.Lock()
	if old := s.entries[e.key]; old != nil {
		s.remove(old)
	}
	e.place, e.kept = len(s.ring), true
	s.entries[e.key] = e
	s.ring = append(s.ring, e)
	e.bytes = entryCost + int64(len(e.name))
	s.bytes += e.bytes
	s.shrink(e)
	s.mu.Unlock()
	if a.armed.CompareAndSwap(false, true) {
		time.AfterFunc(sweepEvery, a.sweep)
	}
}

// store keeps all, the content of ans, with e, if e is kept and there is room.
func (a *Answers) store(e *entry, ans *answer, all []byte) {
	n := int64(len(all))
	s := &a.shards[maphash.String(a.seed, e.name)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.kept || n > s.most || ans.body.Load() != nil {
		return
	}
	e.bytes += n
	s.bytes += n
	if s.shrink(e); e.kept {
		ans.body.Store(&all)
	}
}

func (a *Answers) drop(s *shard, e *entry) {
	s.mu.Lock()
	if e.kept {
		s.remove(e)
	}
	s.mu.Unlock()
}

// shrink removes entries until the rest is within bounds. It spares e, for which
// it makes room, as long as there are others.
func (s *shard) shrink(e *entry) {
	for spared := 0; s.bytes > s.most || len(s.ring) > s.mostRing; {
		if len(s.ring) == 0 {
			return
		}
		s.hand %= len(s.ring)
		at := s.ring[s.hand]
		if (at == e || at.again.Load()) && spared <= 2*len(s.ring) {
			at.again.Store(false)
			spared++
			s.hand++
			continue
		}
		s.remove(at)
	}
}

// remove takes e out of s, and closes what it has open.
func (s *shard) remove(e *entry) {
	last := s.ring[len(s.ring)-1]
	s.ring[e.place], last.place = last, e.place
	s.ring[len(s.ring)-1] = nil
	s.ring = s.ring[:len(s.ring)-1]
	delete(s.entries, e.key)
	s.bytes -= e.bytes
	e.kept = false
	e.retire()
}

// sweep closes files and forgets entries that nobody asked for lately, so that
// neither a tree nor its files are held by what was read of them once. It runs
// again as long as there is something to look after.
func (a *Answers) sweep() {
	a.armed.Store(false)
	clock, left := time.Since(a.epoch), 0
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for j := len(s.ring) - 1; j >= 0; j-- {
			if e := s.ring[j]; clock-time.Duration(e.used.Load()) > entryIdle {
				s.remove(e)
			} else {
				e.closeIdle(clock)
			}
		}
		left += len(s.ring)
		s.mu.Unlock()
	}
	if left > 0 && a.armed.CompareAndSwap(false, true) {
		time.AfterFunc(sweepEvery, a.sweep)
	}
}

// look asks tree what stands under name, and in which codings.
func look(tree assets.Tree, name string) (s sight, err error) {
	s.file, err = tree.Stat(name)
	switch {
	case isMissing(err):
		return sight{kind: missing}, nil
	case err != nil:
		return s, err
	case s.file.Dir:
		s.kind = directory
		return s, nil
	}
	s.kind = regular
	if s.media = assets.MediaType(name); !assets.Compresses(name) {
		return s, nil
	}
	s.varies = true
	for i, c := range codings {
		if f, err := tree.Stat(name + c.extension); err == nil && isCopy(f, s.file) {
			s.coded[i] = f
		} else if f, ok := tree.Encoded(s.file, c.name); ok && f.Size < s.file.Size {
			s.coded[i] = f
		}
	}
	return s, nil
}

// isMissing reports whether err says that there is no such file, for all that a
// client need know.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// isCopy reports whether f, which stands beside the file of, is good in its place:
// smaller, and not left over from a former version of it. Compressors give their
// output the time of the input, or are run after it was written; some archives keep
// times in steps of two seconds.
func isCopy(f, of assets.File) bool {
	return !f.Dir && f.Size > 0 && f.Size < of.Size && f.Modified.Add(2*time.Second).After(of.Modified)
}
