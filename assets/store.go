package assets

import (
	"context"
	"io"
	"time"

	"github.com/rs/zerolog"
)

// A Config says where a Store is and what it may cost.
type Config struct {
	Dir string // of the store; made if it is missing
	// Fetch returns a directory of a container as a tar stream. It ends with ctx.
	Fetch  func(ctx context.Context, id, path string) (io.ReadCloser, error)
	Limits Limits
	Log    zerolog.Logger
	Now    func() time.Time
}

// Limits bound what is copied. All are positive.
type Limits struct {
	Total   int64         // bytes of everything stored, compressed variants included
	Copy    int64         // bytes of one copy
	File    int64         // bytes of one file
	Entries int           // files and directories of one copy
	Time    time.Duration // for one copy
}

// A Run is one run of a container whose directory is wanted.
type Run struct {
	ID, Container string
	StartedAt     time.Time
	Ended         bool // has ended: content is read again, for it may have made it
	Ready         bool // it may be read
	Dir           string
	Skip          []string // names below Dir that are left out, with all below them
}

// Status is what became of a collection.
type Status struct {
	State     string    `json:"state"`               // waiting, copying, ready, failed
	Container string    `json:"container,omitempty"` // whose files come first, or are being copied
	Files     int       `json:"files"`               // of that container
	Bytes     int64     `json:"bytes"`               // of that container; while copying, those read so far
	Since     time.Time `json:"since,omitzero"`      // when they were copied, or the copy began
	Retained  int       `json:"retained"`            // former containers whose files are still there
	Fault     *Fault    `json:"fault,omitempty"`     // of the last copy that failed, nil once one succeeded
}

// A Fault is why a copy failed.
type Fault struct {
	Code      string `json:"code"` // "static-missing", "static-too-large", "static-copy-failed", "static-store"
	Container string `json:"container"`
	Message   string `json:"message"` // "has no directory /app/staticfiles"
	Fix       string `json:"fix,omitempty"`
}
