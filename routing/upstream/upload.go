package upstream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/internal/http1"
)

// upload sends a body while the answer is waited for. Its goroutine is the one of
// the transport, and lives no longer than the answer's Body is open: Close closes
// the request's body, which must end a Read that waits, and then waits for it.
type upload struct {
	c       *conn
	run     func()        // send, which costs a go statement no allocation
	done    chan struct{} // holds one
	head    []byte        // of the request, if it is to leave together with what is read first
	body    io.ReadCloser
	request *http.Request
	idle    time.Duration // how long the endpoint may take nothing
	answer  time.Duration // how long it may take to answer behind the end

	read     atomic.Bool // all of it was read from the client
	complete atomic.Bool // and sent

	mu     sync.Mutex // guards ceased, and the stamp for writing with it
	ceased bool       // nobody wants the rest
}

func (u *upload) init(c *conn) { u.c, u.run = c, u.send }

// begin makes u that of call, with head before the body.
func (u *upload) begin(call *call, head []byte) {
	if u.done == nil {
		u.done = make(chan struct{}, 1)
	}
	u.head, u.body, u.request = head, call.r.Body, call.r
	u.idle, u.answer = call.limits.Idle, call.answerIn()
	u.read.Store(false)
	u.complete.Store(false)
	u.ceased = false
}

const (
	pieceSize = 32 << 10 // of a body, which stays in a CPU's cache on its way
	// headRoom is what a head may take that leaves in one write with the first piece.
	headRoom = bufferSize
	// chunkRoom is what a chunk in a copyBuffer needs before its data.
	chunkRoom = 8 + len("\r\n")
)

type copyBuffer [headRoom + pieceSize]byte

var copyBuffers = sync.Pool{New: func() any { return new(copyBuffer) }}

func (u *upload) send() {
	err := u.copy()
	if err == nil {
		u.complete.Store(true)
	} else if errors.As(err, new(*RequestError)) && !u.isCeased() {
		u.c.abort(err)
	}
	// If it could not be written, an answer may be there all the same.
	u.c.sent(u.answer)
	u.body.Close()
	u.done <- struct{}{}
}

func (u *upload) copy() error {
	buf := copyBuffers.Get().(*copyBuffer)
	defer copyBuffers.Put(buf)
	if u.request.ContentLength > 0 {
		return u.sized(buf)
	}
	return u.chunked(buf[:pieceSize])
}

func (u *upload) sized(buf *copyBuffer) error {
	front := copy(buf[:], u.head)
	for left := u.request.ContentLength; left > 0; {
		n, err := u.body.Read(buf[front : front+int(min(pieceSize, left))])
		if left -= int64(n); left == 0 {
			u.read.Store(true)
		}
		if n > 0 {
			if err := u.write(buf[:front+n]); err != nil {
				return err
			}
			front = 0
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
			if http1.IsValue(v) {
				b = http1.AppendField(b, name, v)
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
	u.c.came(forRoom)
	return err
}

// mayWrite reports whether the rest is still wanted, and stamps how long it may
// take to write some of it.
func (u *upload) mayWrite() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ceased {
		u.c.await(forRoom, u.idle)
	}
	return !u.ceased
}

// cease stops sending, for the answer is there and does not want the rest
// (RFC 9112 9.3). The answer can still be read.
func (u *upload) cease() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ceased = true
	u.c.came(forRoom)
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
	u.body, u.request = nil, nil
	if u.ceased && u.complete.Load() { // it had just written the last of it
		u.c.nc.SetWriteDeadline(time.Time{})
	}
	return u.complete.Load()
}
