package backend

import (
	"net/http"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/files"
)

// A FilesView is where the files of a route come from, for people.
type FilesView struct {
	Prefix string     `json:"prefix"` // "" for a document root
	Dir    string     `json:"dir"`    // in the container
	Areas  []AreaView `json:"areas"`
}

// An AreaView is a directory of it, or a mount below that.
type AreaView struct {
	Below  string `json:"below,omitempty"`
	Source string `json:"source"` // volume, archive, unshared
	From   string `json:"from,omitempty"`
	assets.Status
	More bool `json:"more,omitempty"` // there are more files than were counted
}

// What is counted at most of a directory that is read live, and for how long.
const (
	countFiles = 10_000
	countTime  = 50 * time.Millisecond
)

// View returns where the files come from. It reads directories.
func (s *Static) View() *FilesView {
	if s == nil {
		return nil
	}
	f := s.route.Files
	v := &FilesView{Prefix: f.Prefix, Dir: f.Dir}
	for _, a := range s.areas {
		av := AreaView{Below: a.Below, Source: a.Kind.String(), From: a.From}
		switch {
		case a.copied != nil:
			av.Status = a.copied.Status()
		case a.live != nil:
			av.Status, av.More = assets.Survey(a.live, countFiles, countTime)
		}
		v.Areas = append(v.Areas, av)
	}
	return v
}

// Try returns how r, whose target was matched up to matched, would be answered:
// toApp if not by a file. It waits for nothing. The route's rewriting is left out.
func (s *Static) Try(r *http.Request, matched string) (status int, h http.Header, toApp bool) {
	o := s.options
	o.Hold = 0
	if o.App != nil {
		o.App = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { toApp = true })
	}
	to := &headOnly{header: http.Header{}}
	x, w, r := exchange.Begin(to, r)
	x.Matched, x.Target = matched, r.RequestURI
	files.New(o).ServeHTTP(w, r)
	return to.status, to.header, toApp
}

// A headOnly drops the body of an answer.
type headOnly struct {
	header http.Header
	status int
}

func (w *headOnly) Header() http.Header         { return w.header }
func (w *headOnly) Write(p []byte) (int, error) { return len(p), nil }
func (w *headOnly) WriteHeader(status int)      { w.status = status }
