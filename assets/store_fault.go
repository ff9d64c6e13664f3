package assets

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/docker/go-units"
)

// Codes of faults.
const (
	codeMissing  = "static-missing"
	codeTooLarge = "static-too-large"
	codeFailed   = "static-copy-failed"
	codeStore    = "static-store"
)

// A copyFault is a Fault as an error.
type copyFault Fault

func (f *copyFault) Error() string { return f.Message }

func missing(format string, a ...any) *copyFault {
	return &copyFault{Code: codeMissing, Message: fmt.Sprintf(format, a...)}
}

func tooLarge(format string, a ...any) *copyFault {
	return &copyFault{Code: codeTooLarge, Message: fmt.Sprintf(format, a...)}
}

// streamFault says what err, of reading a stream, means.
func streamFault(err error) error {
	switch {
	case errors.Is(err, errCut) || errors.Is(err, io.ErrUnexpectedEOF):
		return &copyFault{Code: codeFailed, Message: "could not be read: the stream from the engine ended too early"}
	case errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong):
		return &copyFault{Code: codeFailed, Message: "could not be read: the stream from the engine is not a tar archive"}
	}
	return err
}

// tooMuch is that there is more to copy than limits allow.
func tooMuch(run *Run, limits Limits) *copyFault {
	f := tooLarge("has more than %s in %s", units.BytesSize(float64(limits.Copy)), run.Dir)
	f.Fix = "raise --assets-max-copy, or name a directory with less in it"
	return f
}

// A storeError is one of the proxy's own file system.
type storeError struct {
	dir string // of the store
	err error
}

func (e *storeError) Error() string { return fmt.Sprintf("store files in %s: %v", e.dir, e.err) }
func (e *storeError) Unwrap() error { return e.err }

// faultOf returns why a copy of run failed.
func faultOf(run *Run, err error) *Fault {
	var f Fault
	if c, ok := errors.AsType[*copyFault](err); ok {
		f = Fault(*c)
	} else if s, ok := errors.AsType[*storeError](err); ok {
		f = Fault{
			Code: codeStore, Message: fmt.Sprintf("has files that cannot be stored in %s: %v", s.dir, s.err),
			Fix: "have the proxy's data directory on a disk with room that it may write to",
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		f = Fault(*missing("has no directory %s", run.Dir))
		f.Fix = "correct the path, or have the image or the container's command make it before the container is ready"
	} else {
		f = Fault{Code: codeFailed, Message: fmt.Sprintf("could not be read: %v", err)}
	}
	f.Container = run.Container
	return &f
}

// errUnwanted ends a copy that nobody wants any more.
var errUnwanted = errors.New("not wanted any more")
