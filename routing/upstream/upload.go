package upstream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// upload sends a body while the answer is waited for. It is the one goroutine
// of the transport, and lives no longer than the answer's Body is open: Close
// closes the request's body, which must end a Read that waits, and then waits
// for it.
type upload struct {
	c       *conn
	body    io.ReadCloser
	request *http.Request
	idle    time.Duration // how long the endpoint may take nothing
	answer  time.Duration // how long it may take to answer behind the end
	limit   time.Time     // for the whole exchange
	done    chan struct{}

	read     atomic.Bool // all of it was read from the client
	complete atomic.Bool // and sent

	mu     sync.Mutex // guards the write deadline
	ceased bool       // nobody wants the rest
	moved  time.Time  // when the deadline was moved last
}

func newUpload(c *conn, call *call) *upload {
	u := &upload{c: c, body: call.r.Body, request: call.r, idle: call.limits.Idle, answer: call.limits.Response, limit: call.limit, done: make(chan struct{})}
	if call.quiet {
		u.answer = 0
	}
	return u
}

// chunkRoom is what a chunk of a copyBuffer needs around its data.
const chunkRoom = 8 + len("\r\n")

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (u *upload) run() {
	defer close(u.done)
	defer u.body.Close()
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	var err error
	if u.request.ContentLength > 0 {
		err = u.sized(buf[:])
	} else {
		err = u.chunked(buf[:])
	}
	if err == nil {
		u.complete.Store(true)
	} else if unread := errors.As(err, new(*RequestError)); !u.isCeased() && (unread || isTimeout(err)) {
		if !unread {
			err = u.c.t.timeout(Sending)
		}
		u.c.abort(err)
	}
	// If it could not be written, an answer may be there all the same.
	u.c.sent(earlier(after(u.answer), u.limit))
}

func (u *upload) sized(buf []byte) error {
	for left := u.request.ContentLength; left > 0; {
		n, err := u.body.Read(buf[:min(int64(len(buf)), left)])
		if left -= int64(n); left == 0 {
			u.read.Store(true)
		}
		if n > 0 {
			if err := u.write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil && left > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return &RequestError{err}
		}
	}
	return nil
}

func (u *upload) chunked(buf []byte) error {
	for {
		n, err := u.body.Read(buf[chunkRoom : len(buf)-2])
		if n > 0 {
			size := strconv.FormatInt(int64(n), 16)
			front := chunkRoom - 2 - len(size)
			copy(buf[front:], size)
			copy(buf[chunkRoom-2:], "\r\n")
			copy(buf[chunkRoom+n:], "\r\n")
			if err := u.write(buf[front : chunkRoom+n+2]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			u.read.Store(true)
			return u.write(u.end(buf[:0]))
		case err != nil:
			return &RequestError{err}
		}
	}
}

// end appends the last chunk and the trailers, which are known by now.
func (u *upload) end(b []byte) []byte {
	b = append(b, "0\r\n"...)
	for _, name := range trailerNames(u.request.Trailer) {
		for _, v := range u.request.Trailer[name] {
			if valid(v) {
				b = appendField(b, name, v)
			}
		}
	}
	return append(b, "\r\n"...)
}

func (u *upload) write(p []byte) error {
	if !u.mayWrite() {
		return io.ErrClosedPipe
	}
	_, err := u.c.nc.Write(p)
	return err
}

// mayWrite reports whether the rest is still wanted, and moves the deadline
// for writing it.
func (u *upload) mayWrite() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); !u.ceased && u.idle > 0 && now.Sub(u.moved) > min(u.idle/8, time.Second) {
		u.moved = now
		u.c.nc.SetWriteDeadline(earlier(now.Add(u.idle), u.limit))
	}
	return !u.ceased
}

// cease stops sending, for the answer is there and does not want the rest
// (RFC 9112 9.3). The answer can still be read.
func (u *upload) cease() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ceased = true
	u.c.nc.SetWriteDeadline(time.Unix(1, 0))
}

func (u *upload) isCeased() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ceased
}

// finish ends the upload and reports whether all of it was sent. Afterwards
// nothing touches the request's body any more.
func (u *upload) finish() bool {
	select {
	case <-u.done:
	default:
		u.cease()
		u.body.Close()
		<-u.done
	}
	return u.complete.Load()
}
