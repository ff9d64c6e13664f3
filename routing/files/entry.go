package files

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/assets"
)

// kind is what stands under a name.
type kind uint8

const (
	missing kind = iota
	regular
	directory
)

// A sight is what a tree said of a name.
type sight struct {
	kind   kind
	file   assets.File
	coded  [codingCount]assets.File // without a name where there is none
	media  string                   // Content-Type
	varies bool                     // there may be coded ones
}

// same reports whether s and t are of the same versions.
func (s *sight) same(t *sight) bool {
	if s.kind != t.kind || !sameFile(s.file, t.file) {
		return false
	}
	for i := range s.coded {
		if !sameFile(s.coded[i], t.coded[i]) {
			return false
		}
	}
	return true
}

func sameFile(a, b assets.File) bool {
	if !a.Modified.Equal(b.Modified) {
		return false
	}
	a.Modified, b.Modified = time.Time{}, time.Time{}
	return a == b
}

// An entry is what is known of a name in a tree. What it says does not change; what
// it knows when it was true does.
type entry struct {
	key
	kind    kind
	stamped bool // the name has a fingerprint
	settled bool // it was read when its tree was
	seen    sight
	whole   *answer   // nil unless it is a regular file
	coded   []*answer // smaller ones, in the order of codings
	young   bool      // the file may change without showing it, or is from the future

	version  atomic.Uint64 // of a settled tree
	checked  atomic.Int64  // when it was last found to be true
	checking atomic.Bool   // somebody does that
	used     atomic.Int64  // when it was last asked for, within a second
	again    atomic.Bool   // it was asked for since the hand of the clock came by

	// what the shard's mutex guards
	place int
	bytes int64
	kept  bool
}

func newEntry(k key, seen sight, now time.Time) *entry {
	e := &entry{key: k, kind: seen.kind, seen: seen}
	if e.kind != regular {
		return e
	}
	e.stamped = isStamped(k.name)
	e.whole = newAnswer(k.tree, &seen, seen.file, -1, now)
	e.young = e.whole.young
	for i, f := range seen.coded {
		if f.Name != "" {
			a := newAnswer(k.tree, &seen, f, i, now)
			e.coded = append(e.coded, a)
			e.young = e.young || a.young
		}
	}
	return e
}

// holds reports whether e can be taken for true at clock.
func (e *entry) holds(clock time.Duration) bool {
	if e.settled {
		return e.tree.Settled() && e.version.Load() == e.tree.Version()
	}
	return clock-time.Duration(e.checked.Load()) < believed
}

// touch notes that e is of use. It writes only where that says something new.
func (e *entry) touch(clock time.Duration) {
	if !e.again.Load() {
		e.again.Store(true)
	}
	if int64(clock)-e.used.Load() > int64(time.Second) {
		e.used.Store(int64(clock))
	}
}

// grown reports whether the file has grown old enough for better validators.
func (e *entry) grown(now time.Time) bool {
	return e.young && !isYoung(e.seen.file, now)
}

func (e *entry) retire() {
	if e.whole != nil {
		e.whole.retire()
	}
	for _, a := range e.coded {
		a.retire()
	}
}

func (e *entry) closeIdle(clock time.Duration) {
	if e.whole != nil {
		e.whole.closeIdle(clock)
	}
	for _, a := range e.coded {
		a.closeIdle(clock)
	}
}

// ageOfTrust is how old a file must be for its time to tell versions apart: within
// less it may change twice and look the same.
const ageOfTrust = 2 * time.Second

// isYoung reports whether f may become another version that looks the same.
func isYoung(f assets.File, now time.Time) bool {
	return !f.Strong && now.Sub(f.Modified) < ageOfTrust
}

// An answer is a file in one coding, ready to be sent. The values of its fields are
// put into headers as they are, and are never changed.
type answer struct {
	tree  assets.Tree
	file  assets.File // what is sent
	young bool

	kind, length, tag, modified, vary, coding []string // nil for none

	since time.Time // what modified says

	body    atomic.Pointer[[]byte] // content of a small one, once it was read
	handles handles
}

var (
	bytesUnit   = []string{"bytes"}
	nosniff     = []string{"nosniff"}
	variesByAll = []string{"Accept-Encoding"}
)

// newAnswer prepares the answer with f, which is seen.file in coding i, or as it is
// with -1.
func newAnswer(tree assets.Tree, seen *sight, f assets.File, i int, now time.Time) *answer {
	a := &answer{tree: tree, file: f, young: isYoung(f, now) || isYoung(seen.file, now)}
	a.kind = []string{seen.media}
	a.length = []string{strconv.FormatInt(f.Size, 10)}
	version := f.Version
	if i >= 0 {
		a.coding = []string{codings[i].name}
		if suffix := "-" + codings[i].name; !strings.HasSuffix(version, suffix) { // a tree may do so itself
			version += suffix
		}
	}
	if f.Version != "" {
		tag := `"` + version + `"`
		if a.young {
			tag = "W/" + tag // a strong one would promise what nobody knows (RFC 9110, 8.8.1)
		}
		a.tag = []string{tag}
	}
	if seen.varies {
		a.vary = variesByAll
	}
	a.date(seen.file.Modified, now)
	return a
}

// date sets when the file was modified. Images that are built to be reproducible
// have files of the year 1970, of which that says nothing; a time to come is none
// (RFC 9110, 8.8.2.1).
func (a *answer) date(when, now time.Time) {
	if a.file.Modified.After(when) {
		when = a.file.Modified
	}
	if when.Unix() <= 1 || when.After(now) {
		return
	}
	a.since = when.UTC().Truncate(time.Second)
	a.modified = []string{a.since.Format(http.TimeFormat)}
}

// weak reports whether a has no validator that is strong.
func (a *answer) weak() bool { return a.tag == nil || a.young }

// setValidators sets what an answer without content has, too.
func (a *answer) setValidators(h http.Header, cache []string) {
	if a.tag != nil {
		h["Etag"] = a.tag
	}
	if a.vary != nil {
		addVary(h, a.vary)
	}
	if cache != nil {
		h["Cache-Control"] = cache
	}
}

// addVary adds to what a middleware has said already, which is nothing as a rule.
func addVary(h http.Header, vary []string) {
	if old, ok := h["Vary"]; ok {
		vary = append(old[:len(old):len(old)], vary...)
	}
	h["Vary"] = vary
}

// setFields sets all fields but Content-Length.
func (a *answer) setFields(h http.Header, cache []string) {
	a.setValidators(h, cache)
	h["Content-Type"] = a.kind
	h["X-Content-Type-Options"] = nosniff
	h["Accept-Ranges"] = bytesUnit
	if a.modified != nil {
		h["Last-Modified"] = a.modified
	}
	if a.coding != nil {
		h["Content-Encoding"] = a.coding
	}
}
