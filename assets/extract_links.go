package assets

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// maxLinks is how many links may follow one another, as with Linux.
const maxLinks = 40

// list makes the listing of what was read. A link to a file becomes that file,
// and one to a directory all that the directory has.
func (x *extract) list() error {
	x.named = 0
	if err := x.listDir(x.root, ""); err != nil {
		return err
	}
	slices.SortFunc(x.found, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	return nil
}

// listDir adds what dir has, as if it were called name. A link to a directory that
// the link itself is in would never end: it is dropped. Links to directories with
// links to directories could multiply without bound: every step counts.
func (x *extract) listDir(dir *node, name string) error {
	dir.busy = true
	defer func() { dir.busy = false }()
	for _, segment := range slices.Sorted(maps.Keys(dir.children)) {
		n, as := dir.children[segment], path.Join(name, segment)
		x.steps++
		x.named += len(as)
		if x.steps > x.limits.Entries || x.named > mostNames(x.limits) {
			return x.tooMany()
		}
		if n.link != nil {
			left := maxLinks
			n = x.follow(dir, n.link, &left)
		}
		if n == nil || n.busy || len(as) > maxName {
			x.dropped.drop(&x.dropped.links, as)
			continue
		}
		e := n.listed
		e.name = as
		x.found = append(x.found, e)
		if n.dir {
			if err := x.listDir(n, as); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow returns what a link in the directory from leads to, nil if that is
// nothing, or lies outside. No more than left links are followed.
func (x *extract) follow(from *node, l *link, left *int) *node {
	if *left--; *left < 0 {
		return nil
	}
	to, ok := l.to, true
	switch {
	case l.hard:
		from = x.root
		to, ok = x.local(to)
	case path.IsAbs(to):
		from = x.root
		to, ok = x.inside(to)
	case to == "":
		ok = false
	}
	for ok && to != "" {
		var segment string
		segment, to, _ = strings.Cut(to, "/")
		switch {
		case !from.dir:
			ok = false
		case segment == "" || segment == ".":
		case segment == ".." && from == x.root: // and maybe in again
			to, ok = x.inside(path.Join(x.run.Dir, "..", to))
		case segment == "..":
			from = from.parent
		default:
			from = from.children[segment]
			if from != nil && from.link != nil {
				from = x.follow(from.parent, from.link, left)
			}
			ok = from != nil
		}
	}
	if !ok {
		return nil
	}
	return from
}

// inside returns what a path of the container is called below the directory.
func (x *extract) inside(to string) (string, bool) {
	to, dir := path.Clean(to), path.Clean(x.run.Dir)
	if to == dir {
		return "", true
	}
	return strings.CutPrefix(to, strings.TrimSuffix(dir, "/")+"/")
}
