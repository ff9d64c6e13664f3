package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// paced holds request bodies to a minimum rate. A total time would cut long
// uploads over slow lines; a time per read would let one byte every few seconds
// hold a connection for ever.
type paced struct {
	next  http.Handler
	rate  int // bytes a second
	grace time.Duration
}

// pace returns next behind a minimum rate; 0 means 1 KiB/s, less means none.
func pace(next http.Handler, rate int, grace time.Duration) http.Handler {
	switch {
	case rate < 0:
		return next
	case rate == 0:
		rate = 1 << 10
	}
	return &paced{next, rate, grace}
}

func (p *paced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		p.next.ServeHTTP(w, r)
		return
	}
	b := &pacedBody{ReadCloser: r.Body, conn: http.NewResponseController(w), paced: p, credit: p.grace}
	// A copy: by the type of its own r.Body net/http knows that the client
	// still waits for 100 Continue and that there is nothing to read off.
	r2 := *r
	r2.Body = b
	p.next.ServeHTTP(w, &r2)
	b.leave(w)
}

var errSlowBody = fmt.Errorf("the request's body came too slowly: %w", os.ErrDeadlineExceeded)

// pacedBody gives a client credit: it shrinks while a read waits, and grows
// with what arrives, to grace at most. A read that outlasts it is ended by a
// deadline in the past, set by a timer: deadlines that handlers set stay theirs.
type pacedBody struct {
	io.ReadCloser
	*paced
	conn   *http.ResponseController
	credit time.Duration
	timer  *time.Timer
	slow   atomic.Bool
	ended  bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	if b.timer == nil {
		b.timer = time.AfterFunc(b.credit, b.cut)
	} else {
		b.timer.Reset(b.credit)
	}
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.credit += time.Duration(n)*time.Second/time.Duration(b.rate) - time.Since(start)
	b.credit = max(min(b.credit, b.grace), 0)
	if err != nil {
		b.ended = true
		if b.slow.Load() {
			err = errSlowBody
		}
	}
	return n, err
}

func (b *pacedBody) cut() {
	b.slow.Store(true)
	b.conn.SetReadDeadline(time.Unix(1, 0))
}

// leave bounds how long net/http waits for the rest of a body that the handler
// did not want. A connection that was taken over is left alone: writing nothing
// to it is how net/http tells.
func (b *pacedBody) leave(w http.ResponseWriter) {
	if b.ended {
		return
	}
	if _, err := w.Write(nil); errors.Is(err, http.ErrHijacked) {
		return
	}
	b.conn.SetReadDeadline(time.Now().Add(min(b.credit, 2*time.Second)))
}
