package telemetry

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/rs/zerolog"
)

// A Sink is where access log lines go: standard output, a file, or nowhere.
type Sink struct {
	// Lines takes a line of JSON with each Write, and never fails; nil if the sink
	// is off.
	Lines io.Writer
	batch *Batch // nil if off
	file  *file  // nil unless it is one
}

// OpenSink opens the destination that access-log names: "off", "stdout" or the
// path of a file, which is appended to. format is as for NewLogger.
func OpenSink(to, format string) (*Sink, error) {
	switch to {
	case "off":
		return &Sink{}, nil
	case "", "stdout":
		return newSink(os.Stdout, format)
	}
	f := &file{path: to}
	if err := f.Reopen(); err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	if format == "auto" {
		format = "json"
	}
	s, err := newSink(f, format)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.file = f
	return s, nil
}

func newSink(w io.Writer, format string) (*Sink, error) {
	// The batch is in front of the format where lines are JSON, behind it on a
	// terminal, whose encoder takes one line at a time.
	if dst, err := encoder(w, format); err != nil {
		return nil, err
	} else if dst != w {
		batch := NewBatch(w)
		c := dst.(zerolog.ConsoleWriter)
		c.Out = batch
		return &Sink{Lines: c, batch: batch}, nil
	}
	batch := NewBatch(w)
	return &Sink{Lines: batch, batch: batch}, nil
}

// Run writes what is logged until ctx ends, and then the rest.
func (s *Sink) Run(ctx context.Context) error {
	if s.batch == nil {
		<-ctx.Done()
		return nil
	}
	return s.batch.Run(ctx)
}

// Reopen opens the file again under its name, after it was renamed by
// logrotate: on SIGUSR1. If that fails the file that is open is kept.
func (s *Sink) Reopen() error {
	if s.file == nil {
		return nil
	}
	s.batch.Flush()
	return s.file.Reopen()
}

// Close writes what is left and closes the file.
func (s *Sink) Close() error {
	if s.batch == nil {
		return nil
	}
	err := s.batch.Flush()
	if s.file != nil {
		s.file.Close()
	}
	return err
}

// Dropped returns how many lines were lost because the destination was stuck.
func (s *Sink) Dropped() uint64 {
	if s.batch == nil {
		return 0
	}
	return s.batch.Dropped()
}

// file is a log file that can be opened again.
type file struct {
	path string
	mu   sync.Mutex
	f    *os.File // guarded by mu
}

func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.f.Write(p)
}

// Reopen opens path. Paths and user agents are personal data: 0640.
func (f *file) Reopen() error {
	next, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		f.f.Close()
	}
	f.f = next
	return nil
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.f.Close()
}
