package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/docker/go-units"
)

// stalled is how long the engine may send nothing, or the disk take nothing: as
// long as the stream is open the container cannot be stopped.
const stalled = 2 * time.Second

// A spool is a stream from the engine, in a file that has no name.
type spool struct {
	file *os.File
	size int64
}

func (s *spool) open() io.Reader { return io.NewSectionReader(s.file, 0, s.size) }

func (s *spool) Close() error { return s.file.Close() }

// fetch reads the directory of a run as fast as it comes, and counts bytes in got.
func (s *Store) fetch(ctx context.Context, run *Run, got *atomic.Int64) (*spool, error) {
	file, err := os.CreateTemp(filepath.Join(s.cfg.Dir, spoolDir), "")
	if err != nil {
		return nil, &storeError{s.cfg.Dir, err}
	}
	os.Remove(file.Name()) // no kill leaves it
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(s.cfg.Limits.Time, func() { cancel(tooSlow(s.cfg.Limits, got.Load())) })
	defer limit.Stop()
	err = s.read(ctx, cancel, run, &counting{file, got})
	if err == nil {
		return &spool{file, got.Load()}, nil
	}
	file.Close()
	if cause := context.Cause(ctx); cause != nil {
		err = cause // rather than what came of it
	}
	return nil, streamFault(err)
}

// read copies the stream into out.
func (s *Store) read(ctx context.Context, cancel context.CancelCauseFunc, run *Run, out *counting) error {
	stream, err := s.cfg.Fetch(ctx, run.ID, run.Dir)
	if err != nil {
		return err
	}
	defer stream.Close()
	watch := time.AfterFunc(stalled, func() {
		cancel(&copyFault{Code: codeFailed, Message: fmt.Sprintf("could not be read: nothing came for %s after %s", stalled, units.BytesSize(float64(out.n.Load())))})
	})
	defer watch.Stop()
	buf := make([]byte, bufferSize)
	for {
		n, err := stream.Read(buf)
		if n > 0 {
			watch.Reset(stalled)
			if out.n.Load()+int64(n) > s.cfg.Limits.Copy {
				return tooMuch(run, s.cfg.Limits)
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return &storeError{s.cfg.Dir, err}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return context.Cause(ctx)
		case err != nil:
			return err
		}
	}
}

func tooSlow(limits Limits, got int64) error {
	f := tooLarge("could not be read in %s: %s came", limits.Time, units.BytesSize(float64(got)))
	f.Fix = "raise --assets-copy-timeout (a container cannot be stopped meanwhile), or name a directory with less in it"
	return f
}

// A counting counts what is written.
type counting struct {
	to io.Writer
	n  *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n.Add(int64(n))
	return n, err
}
