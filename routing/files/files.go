// Package files answers requests with files of trees, the way browsers and caches
// expect it, and hands to an app what is not there.
package files

import (
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/exchange"
)

// Options are what a Handler does.
type Options struct {
	// Root: the name of a file is the path as the route's rewriting left it. Else
	// it is what follows Exchange.Matched in the path of Exchange.Target.
	Root  bool
	Areas []Area
	App   http.Handler // answers for what is not there; nil without one
	// Fallback is what answers for what is not there: "upstream" is App, "404"
	// nothing. Anything else is the name of a file, for navigations of browsers.
	Fallback string
	Index    string // name of the file that a directory is answered with, "" for none
	List     bool   // directories without one are listed
	Cache    CachePolicy
	// Hold is how long a request waits for files that are still to come, where no
	// App answers in their place. 0 does not wait.
	Hold    time.Duration
	Answers *Answers // may be shared by handlers; nil for one of its own
}

// What Options.Fallback may be besides the name of a file.
const (
	fallbackUpstream = "upstream"
	fallbackNone     = "404"
)

// An Area is a tree and where it lies. Of those that a name is in, the one with
// the longest Below has it.
type Area struct {
	Below string      // name of its directory: "media", "a/b"; "" for all
	Tree  assets.Tree // comparable; nil for what cannot be read here: App answers
}

// A CachePolicy is what Cache-Control says. The zero value is the default: names
// with a fingerprint stay for a year, all others are revalidated.
type CachePolicy struct {
	Set       bool
	Age       time.Duration // with Set; 0 leaves Cache-Control out
	Immutable bool
}

// Values of Cache-Control. They go into headers as they are, and are never changed.
var (
	forAYear   = []string{"public, max-age=31536000, immutable"}
	revalidate = []string{"no-cache"}
)

// policy returns the value of Cache-Control for all files, if it is the same for
// all.
func (c CachePolicy) policy() []string {
	if !c.Set || c.Age <= 0 {
		return nil
	}
	text := "max-age=" + strconv.FormatInt(int64(c.Age/time.Second), 10)
	if c.Immutable {
		text += ", immutable"
	}
	return []string{text}
}

// A Handler answers requests with files. It may be used concurrently.
type Handler struct {
	o        Options
	areas    []area // longest Below first
	policy   []string
	fallback string // name of the file, "" for none
}

var _ http.Handler = (*Handler)(nil)

type area struct {
	Area
	stamped bool // every name in it has a fingerprint
}

// New returns a Handler that does what o says.
func New(o Options) *Handler {
	h := &Handler{o: o, policy: o.Cache.policy()}
	if h.o.Answers == nil {
		h.o.Answers = NewAnswers(defaultBytes, defaultEntries)
	}
	for _, a := range o.Areas {
		h.areas = append(h.areas, area{a, stampedDir(a.Below + "/")})
	}
	slices.SortStableFunc(h.areas, func(a, b area) int { return cmp.Compare(len(b.Below), len(a.Below)) })
	if o.Fallback != fallbackUpstream && o.Fallback != fallbackNone {
		h.fallback = strings.Trim(o.Fallback, "/")
	}
	return h
}

// in returns the area that has name, and its name there.
func (h *Handler) in(name string) (*area, string) {
	for i := range h.areas {
		a := &h.areas[i]
		if a.Below == "" {
			return a, name
		}
		rest, ok := strings.CutPrefix(name, a.Below)
		switch {
		case !ok:
		case rest == "":
			return a, ""
		case rest[0] == '/':
			return a, rest[1:]
		}
	}
	return nil, ""
}

// errUnshared: the name lies where files cannot be read.
var errUnshared = errors.New("files of a mount that the proxy does not have")

// find returns what stands under name. Its errors are those of assets.Tree.Stat,
// and errUnshared.
func (h *Handler) find(name string, x *exchange.Exchange) (*entry, *area, error) {
	a, rel := h.in(name)
	switch {
	case a == nil:
		return nil, nil, fs.ErrNotExist
	case a.Tree == nil:
		return nil, a, errUnshared
	}
	e, err := h.o.Answers.find(a.Tree, rel, x.Start)
	return e, a, err
}

// A job is one request for a file.
type job struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	x     *exchange.Exchange
	path  string // as the name was read from it
	name  string
	slash bool      // path ends with one: it asks for a directory
	until time.Time // when waiting for files ends; zero before it began
	tries int       // how often a file changed while it was opened
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j := job{h: h, w: w, r: r, x: exchange.Of(r)}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		j.other()
		return
	}
	j.path = h.path(r, j.x)
	var how reading
	switch j.name, j.slash, how = readName(j.path); how {
	case usable:
		j.serve()
	case malformed:
		j.malformed()
	default:
		j.absent(false)
	}
}

// path returns the part of r's path that names a file.
func (h *Handler) path(r *http.Request, x *exchange.Exchange) string {
	if h.o.Root || x.Target == "" {
		return exchange.Path(r)
	}
	path := outerPath(x, r)
	rest, _ := strings.CutPrefix(path, x.Matched)
	return rest
}

// outerPath returns the path of r as the client knows it.
func outerPath(x *exchange.Exchange, r *http.Request) string {
	if x.Target == "" {
		return exchange.Path(r)
	}
	path, _, _ := strings.Cut(x.Target, "?")
	return path
}

// serve answers with what stands under the name.
func (j *job) serve() {
	e, a, err := j.h.find(j.name, j.x)
	switch {
	case err != nil:
		j.fail(err)
	case e.kind == directory:
		j.directory()
	case e.kind == missing || j.slash:
		j.absent(true)
	default:
		j.file(e, a, j.cacheControl(e, a))
	}
}

// cacheControl returns the value for e, nil for none.
func (j *job) cacheControl(e *entry, a *area) []string {
	switch {
	case j.h.o.Cache.Set:
		return j.h.policy
	case e.stamped || a.stamped || stampedDir(j.x.Matched):
		return forAYear
	}
	return revalidate
}

// other answers methods that files do not know.
func (j *job) other() {
	switch {
	case j.h.o.App != nil:
		j.h.o.App.ServeHTTP(j.w, j.r)
	case j.r.Method == http.MethodOptions:
		j.w.Header()["Allow"] = []string{allowed}
		j.w.WriteHeader(http.StatusNoContent)
	default:
		j.x.OnHeader(func(_ int, h http.Header) { h.Set("Allow", allowed) })
		exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusMethodNotAllowed, Code: "no-method", Message: "Files can only be read."})
	}
}

const allowed = "GET, HEAD, OPTIONS"
