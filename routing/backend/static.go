package backend

import (
	"cmp"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/files"
	"github.com/fairlead/fairlead/spec"
)

// A Static answers with the files of a route, and has the route's pool, if there
// is one, answer for what is not there.
type Static struct {
	*files.Handler
	options files.Options // of Handler
	route   *spec.Route
	prefix  string // of labels
	areas   []area
}

// An area is a spec.Area opened.
type area struct {
	spec.Area
	tree   assets.Tree        // nil for what is not shared
	copied *assets.Collection // if it is archived
	live   *assets.Dir        // if it is read live
}

// What is kept in memory of files that are asked for, for all routes together:
// ready answers, and the content of small ones.
const (
	answerBytes   = 64 << 20
	answerEntries = 20_000
)

// newStatic opens the files of b's route. app is nil where there is none.
func newStatic(b *build.Build, app *Proxy) *Static {
	b.Kind = "static"
	f := b.Route.Files
	s := &Static{route: b.Route, prefix: b.Prefix}
	o := files.Options{
		Root: f.Prefix == "", Fallback: f.Fallback, Index: f.Index, List: f.List,
		Cache: files.CachePolicy(f.Cache), Hold: Hold(b.Route.Options),
		Answers: build.Keep(b, build.Global, "answers", func() *files.Answers { return files.NewAnswers(answerBytes, answerEntries) }),
	}
	if app != nil {
		o.App = app
	}
	for _, from := range f.Areas {
		a := openArea(b, from)
		s.areas = append(s.areas, a)
		o.Areas = append(o.Areas, files.Area{Below: a.Below, Tree: a.tree})
	}
	s.options, s.Handler = o, files.New(o)
	return s
}

// openArea opens what lies in an area: with others that do too where it is read
// live, and by the route's name where it is copied.
func openArea(b *build.Build, from spec.Area) area {
	a := area{Area: from}
	switch from.Kind {
	case spec.Live:
		a.live = build.Keep(b, build.Global, from.Mount+"\x00"+from.Name, func() *assets.Dir { return assets.OpenDir(from.Mount, from.Name) })
		a.tree = a.live
	case spec.Archived:
		l := build.Keep(b, build.Route, "copy", func() *lease {
			return &lease{Collection: b.Assets.Collection(b.Route.Owner + "\x00" + b.Route.ID)}
		})
		l.retain = b.Route.Files.Retain
		l.Want(runs(b.Route.Files.Runs), l.retain)
		a.copied, a.tree = l.Collection, l.Collection
	}
	return a
}

// A lease is a collection while a route has it.
type lease struct {
	*assets.Collection
	retain time.Duration
}

// Close leaves the collection to be kept as long as files of replaced containers
// are: the service may come back.
func (l *lease) Close() error {
	l.Want(nil, l.retain)
	return nil
}

func runs(from []spec.FilesRun) []assets.Run {
	out := make([]assets.Run, len(from))
	for i, r := range from {
		out[i] = assets.Run(r)
	}
	return out
}

// Problems returns what is wrong with the files themselves. s may be nil.
func (s *Static) Problems() (all []spec.Problem) {
	if s == nil {
		return nil
	}
	for _, a := range s.areas {
		var fault *assets.Fault
		switch {
		case a.live != nil:
			fault = a.live.Fault()
		case a.copied != nil:
			fault = a.copied.Status().Fault
		}
		if fault == nil {
			continue
		}
		kind := "static"
		if s.route.Origin != "static" {
			kind = "root"
		}
		all = append(all, spec.Problem{
			Code: fault.Code, Container: cmp.Or(fault.Container, s.route.Container), Route: s.route.ID,
			Label: s.prefix + "." + kind, Kind: kind, Message: fault.Message, Fix: fault.Fix, Effect: label.Hinted,
		})
	}
	return all
}
