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

// ServeHTTP answers with a file, or has the app do so.
func (s *Static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if exchange.Of(r).Dry() {
		s.rehearse(w, r)
		return
	}
	s.Handler.ServeHTTP(w, r)
}

// rehearse answers r as far as that needs neither waiting nor reading: the head.
func (s *Static) rehearse(w http.ResponseWriter, r *http.Request) {
	o, asked := s.options, r
	o.Hold = 0
	if app := o.App; app != nil {
		o.App = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { app.ServeHTTP(w, asked) })
	}
	if r.Method == http.MethodGet {
		head := *r
		head.Method = http.MethodHead
		r = &head
	}
	files.New(o).ServeHTTP(w, r)
}
