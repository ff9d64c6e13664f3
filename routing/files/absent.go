package files

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/exchange"
)

// notFoundPage is the file at the root of all that answers for what is not there.
const notFoundPage = "404.html"

// fail answers when the name could not be looked up, or its file not be opened.
func (j *job) fail(err error) {
	app := j.h.o.App
	switch {
	case isMissing(err):
		j.absent(true)
	case errors.Is(err, assets.ErrPending):
		j.pending()
	case app != nil: // it may have what we cannot read
		app.ServeHTTP(j.w, j.r)
	case errors.Is(err, errUnshared):
		j.notFound()
	default:
		exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusServiceUnavailable, Code: "files-unavailable", Message: "The file cannot be read now.", RetryAfter: 5, Err: err})
	}
}

// absent answers for a name that has no file. A barred name gets no other file in
// its place.
func (j *job) absent(usable bool) {
	o := &j.h.o
	if o.App != nil && o.Fallback == fallbackUpstream {
		o.App.ServeHTTP(j.w, j.r)
		return
	}
	if j.h.fallback == "" {
		j.notFound()
		return
	}
	if usable && j.name != j.h.fallback && navigates(j.r) {
		if e, a, err := j.h.find(j.h.fallback, j.x); err == nil && e.kind == regular {
			j.name = j.h.fallback
			j.file(e, a, revalidate)
			return
		}
	}
	if o.Root && o.App != nil {
		o.App.ServeHTTP(j.w, j.r)
		return
	}
	j.notFound()
}

// navigates reports whether r is of a browser that goes to another page. Scripts
// and images that are not there must not be answered with a page.
func navigates(r *http.Request) bool {
	for _, mode := range r.Header["Sec-Fetch-Mode"] {
		if mode == "navigate" {
			return true
		}
	}
	for _, accept := range r.Header["Accept"] {
		if strings.Contains(accept, "text/html") {
			return true
		}
	}
	return false
}

// malformed answers for a path that nobody can decode. An app may have its own mind
// about it.
func (j *job) malformed() {
	if j.h.o.App != nil && j.h.o.Fallback == fallbackUpstream {
		j.h.o.App.ServeHTTP(j.w, j.r)
		return
	}
	exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusBadRequest, Code: "bad-target", Message: "The address of this request is not valid."})
}

// notFound answers 404: with the page that is there for it, if there is one. That
// is no version of what was asked for, so no conditions hold for it.
func (j *job) notFound() {
	e, _, err := j.h.find(notFoundPage, j.x)
	if err != nil || e.kind != regular {
		j.refuseNotFound()
		return
	}
	ans := e.choose(j.r.Header["Accept-Encoding"])
	c, err := j.h.o.Answers.content(e, ans)
	if err != nil {
		j.refuseNotFound()
		return
	}
	j.x.Code = codeNoFile
	h := j.w.Header()
	h["Content-Type"], h["Content-Length"] = ans.kind, ans.length
	h["X-Content-Type-Options"], h["Cache-Control"] = nosniff, revalidate
	if ans.coding != nil {
		h["Content-Encoding"] = ans.coding
	}
	if ans.vary != nil {
		addVary(h, ans.vary)
	}
	j.w.WriteHeader(http.StatusNotFound)
	if j.r.Method != http.MethodHead {
		err = j.copy(c, span{0, ans.file.Size})
	}
	j.done(ans, c, err)
}

const codeNoFile = "no-file"

func (j *job) refuseNotFound() {
	exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusNotFound, Code: codeNoFile, Message: "There is no such file."})
}

// A changer is a tree that tells when its answers change from ErrPending. Changed
// returns a channel that is closed by the next change.
type changer interface {
	Changed() <-chan struct{}
}

// pending answers when files are still to come: the app does, if it may, else they
// are waited for.
func (j *job) pending() {
	if j.h.o.App != nil && j.h.o.Fallback == fallbackUpstream {
		j.h.o.App.ServeHTTP(j.w, j.r)
		return
	}
	if j.until.IsZero() {
		j.until = time.Now().Add(j.h.o.Hold)
	}
	switch j.await() {
	case came:
		j.serve()
	case late:
		exchange.Refuse(j.w, j.r, exchange.Refusal{Status: http.StatusServiceUnavailable, Code: "files-pending", Message: "The files are being prepared.", RetryAfter: 1, Err: assets.ErrPending})
	case left:
		j.x.Code, j.x.Cause = "client-gone", j.r.Context().Err()
		panic(http.ErrAbortHandler)
	}
}

// How waiting for files ended.
type ending uint8

const (
	came ending = iota
	late
	left // the client did
)

// await waits until what the name stands for may be known.
func (j *job) await() ending {
	a, rel := j.h.in(j.name)
	if a == nil {
		return late
	}
	tree, ok := a.Tree.(changer)
	begin := time.Now()
	wait := j.until.Sub(begin)
	if !ok || wait <= 0 {
		return late
	}
	defer func() { j.x.Held += time.Since(begin) }()
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		changed := tree.Changed() // before the look, or a change in between is missed
		if _, err := a.Tree.Stat(rel); !errors.Is(err, assets.ErrPending) {
			return came
		}
		select {
		case <-changed:
		case <-limit.C:
			return late
		case <-j.r.Context().Done():
			return left
		}
	}
}
