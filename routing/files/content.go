package files

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// small is up to what size content is kept in memory, in bytes.
	small = 64 << 10
	// mostIdle is how many open files one answer keeps, and mostOpen how many all
	// of an Answers do.
	mostIdle = 4
	mostOpen = 256
)

// errChanged: the file is not the version any more that it was said to be.
var errChanged = errors.New("the file has changed meanwhile")

// A content is what an answer sends: all of it, or an open file.
type content struct {
	all    []byte
	handle *handle // nil if all has it
}

// A handle is an open file with a place of its own in it.
type handle struct {
	file  *os.File
	part  io.LimitedReader // of file, for the engine: it knows that it may use sendfile(2)
	since time.Duration    // when it was last used
}

// handles are the open files of an answer that nobody uses.
type handles struct {
	mu   sync.Mutex    // guards all below
	idle []*handle     // the one last used is the last
	gone bool          // the answer is not asked for any more
	open *atomic.Int64 // how many files are idle in all of an Answers, with idle
}

// close closes those of which which is true.
func (p *handles) close(gone bool, which func(*handle) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = p.gone || gone
	p.idle = slices.DeleteFunc(p.idle, func(h *handle) bool {
		if !which(h) {
			return false
		}
		h.file.Close()
		p.open.Add(-1)
		return true
	})
}

// content opens what a sends. An empty file has content, too.
func (s *Answers) content(e *entry, a *answer) (c content, err error) {
	if a.file.Size > small {
		c.handle, err = s.take(a)
		return c, err
	}
	if body := a.body.Load(); body != nil {
		return content{all: *body}, nil
	}
	if c.all, err = a.read(); err == nil {
		s.store(e, a, c.all)
	}
	return c, err
}

// read reads all of a small file.
func (a *answer) read() ([]byte, error) {
	f, err := a.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make([]byte, a.file.Size)
	if _, err := io.ReadFull(f, all); err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, errChanged
	} else if err != nil {
		return nil, err
	}
	return all, a.unchanged(f)
}

// open opens the file and makes sure that it is the version that is told of it.
func (a *answer) open() (*os.File, error) {
	f, err := a.tree.Open(a.file)
	if err != nil {
		return nil, err
	}
	if err := a.unchanged(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unchanged returns errChanged if f is another version.
func (a *answer) unchanged(f *os.File) error {
	if a.file.Strong {
		return nil // its content is what it is known by
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != a.file.Size || !info.ModTime().Equal(a.file.Modified) {
		return errChanged
	}
	return nil
}

// take returns an open file for one answer, which put gives back.
func (s *Answers) take(a *answer) (*handle, error) {
	p := &a.handles
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		h := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		s.open.Add(-1)
		return h, nil
	}
	p.mu.Unlock()
	f, err := a.open()
	if err != nil {
		return nil, err
	}
	return &handle{file: f}, nil
}

// put keeps h for others, or closes it. now is about the time.
func (s *Answers) put(a *answer, h *handle, now time.Time) {
	p := &a.handles
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || len(p.idle) >= mostIdle || s.open.Load() >= mostOpen {
		h.file.Close()
		return
	}
	p.open = &s.open
	s.open.Add(1)
	h.since = now.Sub(s.epoch)
	p.idle = append(p.idle, h)
}

// closeIdle closes the files that were not used lately.
func (a *answer) closeIdle(clock time.Duration) {
	a.handles.close(false, func(h *handle) bool { return clock-h.since > handleIdle })
}

// retire closes all files, those in use when they come back.
func (a *answer) retire() {
	a.handles.close(true, func(*handle) bool { return true })
}
