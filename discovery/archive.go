package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

// ErrNoPath: the container is there, and has no such file or directory.
var ErrNoPath = errors.New("no such path in the container")

// Archive returns the file or directory at path of a container as a tar stream,
// which ends with ctx. Its first header is that of path itself, named by the last
// element; a symbolic link comes alone, as one. Paths on the way are followed. Its
// error is ErrNoPath, or as Confirm's.
//
// The engine holds a lock of the container until the stream has ended or is closed:
// to inspect, stop or kill the container waits that long. Read fast, or close.
func (d *Docker) Archive(ctx context.Context, id, path string) (io.ReadCloser, error) {
	e := d.engine.Load()
	if e == nil {
		return nil, fmt.Errorf("read %s: not connected yet: %w", path, ErrSlow)
	}
	body, err := e.archive(ctx, id, path)
	switch {
	case err == nil:
		return body, nil
	case cerrdefs.IsNotFound(err): // of which the two are
		if _, err := d.look(ctx, e, id); err != nil {
			return nil, err
		}
		err = ErrNoPath
	case cerrdefs.IsPermissionDenied(err):
		err = fmt.Errorf("%w; where a filter is before the docker socket, allow GET /containers/ID/archive in it", err)
	case errors.Is(err, errSilent):
		err = ErrSlow
	case ctx.Err() != nil:
		err = ctx.Err()
	case e.dialed.refused():
		err = ErrAway
	}
	return nil, fmt.Errorf("read %s: %w", path, err)
}

var errSilent = errors.New("no answer")

// archive waits for the head of the answer as long as for any other.
func (e *engine) archive(ctx context.Context, id, path string) (io.ReadCloser, error) {
	e.calls.archive.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	silent := time.AfterFunc(e.timing.Call, func() { cancel(errSilent) })
	body, _, err := e.cli.CopyFromContainer(ctx, id, path)
	if !silent.Stop() && err == nil {
		body.Close()
		err = errSilent
	}
	if err != nil {
		if context.Cause(ctx) == errSilent {
			err = errSilent
		}
		cancel(nil)
		return nil, err
	}
	return &archiveBody{body, cancel}, nil
}

// An archiveBody ends the connection when it is closed: what is left of the answer
// would hold the container's lock until it is read.
type archiveBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *archiveBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
