package backend

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// lastRead is how long a read of the client that waits when nobody wants
	// the rest any more goes on: who is sending is read in that time, who is
	// not keeps nobody waiting for longer.
	lastRead = 100 * time.Millisecond
	// lastWords is how long the server may read on before it closes, so that
	// the answer is not lost to a reset.
	lastWords = time.Second
)

// clientBody is a request's body as a transport gets it. The server's own may
// only be closed after its last Read came back, and that may wait for a client
// that sends nothing; Close of this one ends it.
type clientBody struct {
	inner io.ReadCloser
	http1 bool
	ctl   http.ResponseController
	left  atomic.Int64 // of ContentLength, -1 if that is not known
	ended atomic.Bool  // read to its end
	ends  atomic.Bool  // Close gave it a deadline
	dead  bool         // the rest will not be read, and the client was told so
}

// open makes b the body of r. An HTTP/1 server is told that the answer
// may begin before the body ends; else it would read the body to its end
// first, in competition with the transport.
func (b *clientBody) open(w http.ResponseWriter, r *http.Request) {
	b.inner, b.http1, b.ctl = r.Body, r.ProtoMajor == 1, *http.NewResponseController(w)
	b.left.Store(r.ContentLength)
	if b.http1 {
		b.ctl.EnableFullDuplex()
	}
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err == io.EOF || b.left.Load() > 0 && b.left.Add(-int64(n)) <= 0 {
		b.ended.Store(true)
	}
	return n, err
}

// Buffered returns how many bytes can be read without waiting, at least. It is for
// before the first Read.
func (b *clientBody) Buffered() int {
	if inner, ok := b.inner.(interface{ Buffered() int }); ok {
		return inner.Buffered()
	}
	return 0
}

// Close makes a Read that waits come back. It may be called by any goroutine.
func (b *clientBody) Close() error {
	if b.ended.Load() || b.ends.Swap(true) {
		return nil
	}
	if b.http1 && b.ctl.SetReadDeadline(time.Now().Add(lastRead)) == nil {
		return nil
	}
	return b.inner.Close()
}

// complete reports whether all of the body was read. No body is complete.
func (b *clientBody) complete() bool { return b == nil || b.ended.Load() }

func (b *clientBody) abandon() {
	if b != nil {
		b.dead = true
	}
}

func (b *clientBody) isAbandoned() bool { return b != nil && b.dead }

// settle leaves the connection to the server, which reads on for a moment. The
// transport is done with the body.
func (b *clientBody) settle() {
	if b != nil && b.http1 && b.ends.Load() {
		b.ctl.SetReadDeadline(time.Now().Add(lastWords))
	}
}
