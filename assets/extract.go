package assets

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/docker/go-units"
)

// An extract is the content of a tar stream of a directory: what is to be stored
// of it. It is read twice, so that nothing is stored of a stream that is cut or too
// large, nor what is stored already.
type extract struct {
	run    *Run
	limits Limits
	top    string // name of the directory in the stream
	root   *node
	nodes  int   // below root
	named  int   // bytes of their names
	bytes  int64 // of the content of all entries
	steps  int   // of listing, see list
	sum    hash.Hash
	buf    []byte

	dropped drops
	found   listing
	at      map[digest]int // number of the entry that has a content, for store
}

// drops are what was left out, by why.
type drops struct {
	hostile int    // names that lead out, or are none
	links   int    // that lead out, or nowhere
	special int    // neither file nor directory nor link
	example string // the name of one
}

func (d *drops) count() int { return d.hostile + d.links + d.special }

func (d *drops) drop(n *int, name string) {
	if *n++; d.example == "" {
		d.example = name
	}
}

// A node is what the stream has under a name.
type node struct {
	children map[string]*node // of a directory
	parent   *node
	link     *link
	listed        // without a name
	busy     bool // it is being listed, see listDir
}

// A link leads to a name of the stream if it is a hard one, else to a path as
// file systems read it.
type link struct {
	to   string
	hard bool
}

// bufferSize is how much is read and written at a time.
const bufferSize = 256 << 10

// readTar reads what open returns. Its errors are faults, and those of reading
// and of ctx.
func readTar(ctx context.Context, open func() io.Reader, run *Run, limits Limits) (*extract, error) {
	x := &extract{
		run: run, limits: limits, root: &node{children: map[string]*node{}, listed: listed{dir: true}},
		sum: sha256.New(), buf: make([]byte, bufferSize), at: map[digest]int{},
	}
	stream := newTarStream(ctx, open())
	head, err := stream.next()
	if err == nil {
		err = x.first(head)
	}
	for number := 1; err == nil; number++ {
		if head, err = stream.next(); err == nil {
			err = x.add(head, stream, number)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, streamFault(err)
	}
	if err := x.list(); err != nil {
		return nil, err
	}
	return x, nil
}

// first reads the header of the directory itself.
func (x *extract) first(head *tar.Header) error {
	switch head.Typeflag {
	case tar.TypeDir:
	case tar.TypeReg:
		f := missing("has %s, which is a file, not a directory", x.run.Dir)
		f.Fix = "name the directory that it lies in"
		return f
	case tar.TypeSymlink:
		to := head.Linkname
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(x.run.Dir), to)
		}
		f := missing("has %s, which is a symbolic link to %s", x.run.Dir, shownName(head.Linkname))
		f.Fix = "name " + shownName(path.Clean(to)) + " in the label"
		return f
	default:
		return missing("has %s, which is not a directory", x.run.Dir)
	}
	x.top = path.Clean(head.Name)
	if x.top != "." && !validName(x.top) {
		return &copyFault{Code: codeFailed, Message: "could not be read: the archive begins with " + shownName(head.Name)}
	}
	return nil
}

// add takes in an entry of the stream.
func (x *extract) add(head *tar.Header, stream *tarStream, number int) error {
	if number > x.limits.Entries {
		return x.tooMany()
	}
	name, ok := x.local(head.Name)
	if ok && name != "" && !x.skipped(name) && head.Size > x.limits.File {
		return x.tooLarge(name, head.Size)
	}
	if head.Size > x.limits.Copy-x.bytes { // of what is dropped too: a hole of any size takes no room in a stream
		return tooMuch(x.run, x.limits)
	}
	x.bytes += head.Size
	switch {
	case !ok || name == "" && head.Typeflag != tar.TypeDir || len(head.Linkname) > maxName:
		x.dropped.drop(&x.dropped.hostile, head.Name)
		return nil
	case name == "" || x.skipped(name):
		return nil
	}
	if x.named += len(head.Name) + len(head.Linkname); x.named > mostNames(x.limits) {
		return x.tooMany()
	}
	n := &node{listed: listed{modified: modified(head)}}
	switch head.Typeflag {
	case tar.TypeDir:
		n.dir = true
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if err := x.content(n, head, stream); err != nil {
			return err
		}
		if _, known := x.at[n.digest]; !known {
			x.at[n.digest] = number
		}
	case tar.TypeSymlink:
		n.link = &link{to: head.Linkname}
	case tar.TypeLink:
		n.link = &link{to: head.Linkname, hard: true}
	default:
		x.dropped.drop(&x.dropped.special, head.Name)
		return nil
	}
	return x.put(name, n)
}

// local returns what an entry is called below the directory, "" for the
// directory itself.
func (x *extract) local(name string) (string, bool) {
	name = strings.TrimSuffix(name, "/")
	if name == "" || len(name) > maxName+len(x.top)+1 || path.IsAbs(name) || strings.IndexByte(name, 0) >= 0 {
		return "", false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == ".." {
			return "", false
		}
	}
	name = path.Clean(name)
	if x.top != "." {
		below, ok := strings.CutPrefix(name, x.top)
		if !ok || below != "" && below[0] != '/' {
			return "", false
		}
		name = strings.TrimPrefix(below, "/")
	} else if name == "." {
		name = ""
	}
	return name, validName(name)
}

func (x *extract) skipped(name string) bool {
	for _, skip := range x.run.Skip {
		if below, ok := strings.CutPrefix(name, skip); ok && (below == "" || below[0] == '/') {
			return true
		}
	}
	return false
}

// content reads the content of a file for its digest and size.
func (x *extract) content(n *node, head *tar.Header, stream *tarStream) error {
	x.sum.Reset()
	n.size = head.Size
	_, err := io.CopyBuffer(onlyWriter{x.sum}, stream.tar, x.buf)
	x.sum.Sum(n.digest[:0])
	return err
}

// put stands n under name. As with tar, the last of a name counts.
func (x *extract) put(name string, n *node) error {
	dir := x.root
	for {
		segment, rest, below := strings.Cut(name, "/")
		old := dir.children[segment]
		if !below {
			if old != nil && old.dir && n.dir {
				old.modified = n.modified
				return nil
			}
			return x.set(dir, segment, n)
		}
		if old == nil || !old.dir {
			old = &node{listed: listed{dir: true, modified: n.modified}}
			if err := x.set(dir, segment, old); err != nil {
				return err
			}
		}
		dir, name = old, rest
	}
}

func (x *extract) set(dir *node, segment string, n *node) error {
	if x.nodes++; x.nodes > x.limits.Entries {
		return x.tooMany()
	}
	n.parent = dir
	if n.dir {
		n.children = map[string]*node{}
	}
	dir.children[segment] = n
	return nil
}

func (x *extract) tooLarge(name string, size int64) error {
	f := tooLarge("has a file of %s, %s", units.BytesSize(float64(size)), shownName(path.Join(x.run.Dir, name)))
	f.Fix = fmt.Sprintf("raise --assets-max-file (now %s), or keep the file elsewhere", units.BytesSize(float64(x.limits.File)))
	return f
}

// mostNames bounds what names take in memory, in bytes: links can multiply long
// ones. Usual names have less than 100.
func mostNames(limits Limits) int { return max(1<<20, 256*limits.Entries) }

func (x *extract) tooMany() error {
	f := tooLarge("has more than %d files and directories in %s", x.limits.Entries, x.run.Dir)
	f.Fix = "raise --assets-max-entries, or name a directory with less in it"
	return f
}

// store calls write with the content of every digest that is wanted, once.
func (x *extract) store(ctx context.Context, open func() io.Reader, wanted map[digest]int64, write func(digest, int64, io.Reader) error) error {
	at := make(map[int]digest, len(wanted))
	for d := range wanted {
		at[x.at[d]] = d
	}
	stream := newTarStream(ctx, open())
	for number := 0; len(at) > 0; number++ {
		head, err := stream.next()
		if err != nil {
			return streamFault(err)
		}
		if d, ok := at[number]; ok {
			if err := write(d, head.Size, stream.tar); err != nil {
				return err
			}
			delete(at, number)
		}
	}
	return nil
}

// errCut is that of a stream without the blocks that end it.
var errCut = errors.New("cut")

// A tarStream is a tar archive that has to be whole.
type tarStream struct {
	tar *tar.Reader
	in  counter
}

func newTarStream(ctx context.Context, r io.Reader) *tarStream {
	s := &tarStream{in: counter{ctx: ctx, r: bufio.NewReaderSize(r, bufferSize)}}
	s.tar = tar.NewReader(&s.in)
	return s
}

// next returns the next header, without those that are no entries.
func (s *tarStream) next() (*tar.Header, error) {
	for {
		if _, err := io.Copy(io.Discard, s.tar); err != nil {
			return nil, err
		}
		s.in.n = 0
		head, err := s.tar.Next()
		switch {
		case errors.Is(err, tar.ErrInsecurePath): // it is looked at here
		case errors.Is(err, io.EOF) && s.in.n < 512:
			return nil, errCut // between two entries, which package tar takes for the end
		case err != nil:
			return nil, err
		}
		if head.Typeflag != tar.TypeXGlobalHeader {
			return head, nil
		}
	}
}

// A counter counts what is read until ctx ends.
type counter struct {
	ctx context.Context
	r   io.Reader
	n   int64
}

func (c *counter) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// An onlyWriter hides whatever else a writer can, for a buffer to be used.
type onlyWriter struct{ io.Writer }

// modified returns when a file changed in ns since 1970, 0 for a time that makes no
// sense.
func modified(head *tar.Header) int64 {
	if year := head.ModTime.Year(); year < 1970 || year > 2200 {
		return 0
	}
	return head.ModTime.UnixNano()
}
