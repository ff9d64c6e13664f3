package spec

import (
	"cmp"
	"slices"
	"strings"
)

// filesOf returns the files of d, which a container of g in force says, with the
// runs of all containers of its service, live.
func (p *Parser) filesOf(d draft, live []*container, g generation) *Files {
	if !d.copies() {
		return d.files
	}
	f := *d.files
	newest := slices.SortedFunc(slices.Values(live), func(a, b *container) int {
		return cmp.Or(b.w.Created.Compare(a.w.Created), strings.Compare(a.w.Name, b.w.Name), strings.Compare(a.w.ID, b.w.ID))
	})
	for _, c := range newest {
		i := slices.IndexFunc(c.drafts, func(x draft) bool { return x.name == d.name })
		if i < 0 || c.w.State == Gone || c.drafts[i].refused != nil || !c.drafts[i].copies() {
			continue
		}
		f.Runs = append(f.Runs, FilesRun{
			ID: c.w.ID, Container: c.w.Name, StartedAt: c.w.StartedAt,
			Ended: c.w.State == Exited && !c.w.StartedAt.IsZero() && !c.hasApp(),
			// What a newer generation has is for its own labels to protect.
			Ready: p.complete(c) && !c.newer(g),
			Dir:   c.drafts[i].files.Dir, Skip: c.drafts[i].skip,
		})
	}
	return &f
}

// copies reports whether d answers with what is copied out of its container.
func (d *draft) copies() bool { return d.files != nil && d.files.Areas[0].Kind == Archived }

// complete reports whether the content of c is what it is meant to be: an app
// makes files before it listens. Without one that is seen by its health alone.
func (p *Parser) complete(c *container) bool {
	if c.hasApp() {
		started, ok := p.ready[c.w.ID]
		return ok && started.Equal(c.w.StartedAt)
	}
	switch c.w.State {
	case Gone, Restarting:
		return false
	case Created, Exited:
		return true
	}
	return c.w.Health == NoHealthcheck || c.w.Health == Healthy
}

// hasApp reports whether a route leads to c itself.
func (c *container) hasApp() bool { return slices.ContainsFunc(c.drafts, dialled) }

// newer reports whether c belongs to a generation that is newer than g.
func (c *container) newer(g generation) bool {
	return c.labels != g.labels && c.w.Created.After(g.created)
}
