package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

// ErrNoPath is why a path of a container, which is there, could not be read.
var ErrNoPath = errors.New("no such path in the container")

// Archive returns what lies at a path of a container as the tar stream that the
// engine makes of it (Docker 20.10 to 29):
//
//   - of a directory: first itself under the last element of its path
//     ("static/"), then all below it ("static/css/app.css"), parents first.
//   - of a regular file or a symbolic link: that alone ("app.css"). Links in
//     the path before its last element are followed, inside the container.
//   - Volumes and binds below the directory are in it, also while the container
//     does not run. In place of a tmpfs is what lies under it in the image, and
//     Swarm's secrets are not there. Sockets are left out.
//   - A file that the engine cannot read is left out, and an engine that fails
//     half-way ends the stream as if it were complete, or with its error's text:
//     only the two blocks of zeros at the end say that the tar is whole.
//
// It costs the container its lock from the call until the stream has come to
// its end or is closed: inspect, kill, stop and remove wait meanwhile, and so
// does Confirm. Read it as fast as it comes, and close it. Close before the end
// closes the connection at once, as does the end of ctx; the engine then lets
// go with its next write. The stream outlives the event stream.
//
// Errors before the stream wrap ErrGone, ErrNoPath, ErrAway, ErrSlow (no answer
// within Timing.Call: another holds the lock) or that of ctx; any other means
// that the engine refused. It may be called concurrently, needs Run to have
// connected, and makes one GET, with an inspect after a 404.
func (d *Docker) Archive(ctx context.Context, id, dir string) (io.ReadCloser, error) {
	e := d.engine.Load()
	if e == nil {
		return nil, fmt.Errorf("read %s of %s: not connected yet: %w", dir, id, ErrSlow)
	}
	// With a slash at its end a link would be followed.
	dir = path.Join("/", dir)
	body, err := e.archive(ctx, id, dir)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", dir, id, err)
	}
	return body, nil
}

// archive opens the stream and tells why it cannot.
func (e *engine) archive(ctx context.Context, id, dir string) (io.ReadCloser, error) {
	e.calls.archive.Add(1)
	inner, cancel := context.WithCancel(ctx)
	silent := time.AfterFunc(e.timing.Call, cancel)
	body, _, err := e.cli.CopyFromContainer(inner, id, dir)
	if inTime := silent.Stop(); inTime && err == nil {
		return &archive{ReadCloser: body, cancel: cancel}, nil
	}
	timedOut := ctx.Err() == nil && inner.Err() != nil
	// The client forgets to close what it cannot make sense of.
	cancel()
	switch {
	case err == nil:
		body.Close()
		fallthrough
	case timedOut:
		return nil, ErrSlow
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case cerrdefs.IsNotFound(err):
		return nil, e.missing(ctx, id, dir, err)
	case cerrdefs.IsPermissionDenied(err):
		return nil, fmt.Errorf("%w; where a filter is before the docker socket, allow GET /containers/ID/archive in it", err)
	case cerrdefs.IsInternal(err) && strings.HasSuffix(strings.TrimSpace(err.Error()), ": not a directory"):
		return nil, ErrNoPath // something before its last element is a file
	}
	return nil, e.cause(ctx, err)
}

// missing tells a path that is not there from a container that is not. The
// engine answers 404 to both.
func (e *engine) missing(ctx context.Context, id, dir string, err error) error {
	_, ierr := e.inspect(ctx, id)
	switch {
	case ierr != nil && ctx.Err() != nil:
		return ctx.Err()
	case ierr != nil:
		return e.cause(ctx, ierr)
	case strings.Contains(err.Error(), dir):
		return ErrNoPath
	}
	return err // an engine, or what stands before it, without this call
}

// An archive is the body of an answer whose end, if it is not awaited, costs
// the connection.
type archive struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close never waits for the engine, nor reads what is left.
func (a *archive) Close() error {
	a.cancel()
	return a.ReadCloser.Close()
}
