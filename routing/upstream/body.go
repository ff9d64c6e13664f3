package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	maxChunkLine = 4 << 10  // of a chunk's size with its extensions
	maxTrailer   = 16 << 10 // of all trailers
	maxOverhead  = 16 << 10 // chunk framing beyond what chunks of a decent size need
)

var errChunk = errors.New("its chunked body is malformed")

// answer is a response and its body, in one piece of memory.
type answer struct {
	resp http.Response
	body body
}

// body reads the body of an answer and gives the connection back when it is
// closed. It must be closed, and is not safe for use by several goroutines.
type body struct {
	c     *conn
	resp  *http.Response
	up    *upload     // nil if the request was sent before the answer was read
	stop  func() bool // ends the watch over the client
	idle  time.Duration
	limit time.Time

	chunked  bool
	behind   bool  // a chunk was read, and the CRLF behind it was not
	left     int64 // of the body or the chunk, -1: until the connection ends
	overhead int64 // see maxOverhead
	err      error // how it ended; io.EOF when it is complete
	keep     bool
	closed   atomic.Bool // a tunnel is closed by either of its directions
}

var _ io.ReadCloser = (*body)(nil)

// Buffered returns how many bytes can be read without waiting, at least.
func (b *body) Buffered() int {
	if b.err != nil || b.chunked && b.left == 0 {
		return 0
	}
	return b.c.buffered()
}

// Uploading reports whether the request's body was not read to its end yet.
func (b *body) Uploading() bool { return b.up != nil && !b.up.read.Load() }

func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.next(p)
	if err != nil {
		b.err = b.failure(err)
	}
	return n, b.err
}

func (b *body) next(p []byte) (n int, err error) {
	if b.chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.c.buffered() == 0 {
		b.c.progress(b.idle, b.limit)
	}
	n, err = b.c.read(p)
	if b.left < 0 {
		return n, err // an end of the connection is the end of the body
	}
	b.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	case err != nil || b.left > 0:
		return n, err
	case b.chunked:
		// What came along is looked at now: a body that is complete says so
		// with its last bytes, which saves whoever sends it on a flush.
		b.behind = true
		_, err = b.chunk()
		return n, err
	}
	return n, io.EOF
}

// nextChunk reads on until a chunk begins, or returns io.EOF behind the last.
func (b *body) nextChunk() error {
	for {
		if ok, err := b.chunk(); ok || err != nil {
			return err
		}
		b.c.progress(b.idle, b.limit)
		if err := b.c.fill(maxChunkLine + maxTrailer); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// chunk parses the line that begins a chunk if all of it is buffered.
func (b *body) chunk() (ok bool, err error) {
	used, size, trailer, err := parseChunk(b.c.in[b.c.r:b.c.w], b.behind)
	if err != nil || used == 0 {
		return false, err
	}
	b.c.r += used
	b.behind, b.left = false, size
	if size == 0 {
		b.trail(trailer)
		return true, io.EOF
	}
	// One byte a chunk, each with a long extension, is no body but a way to
	// keep us busy (CVE-2023-39326).
	b.overhead = max(0, b.overhead+int64(used)-16-2*size)
	if b.overhead > maxOverhead {
		return false, errChunk
	}
	return true, nil
}

// trail adds the trailers that may be there.
func (b *body) trail(fields http.Header) {
	for name, values := range fields {
		if !mayTrail(name) {
			continue
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		b.resp.Trailer[name] = values
	}
}

// parseChunk parses what is between the data of two chunks: the CRLF behind
// the first, the size of the second, and trailers if that is the last
// (RFC 9112 7.1). It returns the number of bytes used, 0 if more are needed.
func parseChunk(b []byte, behind bool) (used int, size int64, trailer http.Header, err error) {
	i := 0
	if behind {
		if len(b) > 0 && b[0] != '\r' || len(b) > 1 && b[1] != '\n' {
			return 0, 0, nil, errChunk
		}
		i = 2
	}
	if len(b) <= i {
		return 0, 0, nil, nil
	}
	n := bytes.IndexByte(b[i:], '\n')
	if n > maxChunkLine || n < 0 && len(b)-i > maxChunkLine {
		return 0, 0, nil, errChunk
	}
	if n < 0 {
		return 0, 0, nil, nil
	}
	if size, err = parseChunkSize(b[i : i+n]); err != nil {
		return 0, 0, nil, err
	}
	i += n + 1
	if size > 0 {
		return i, size, nil, nil
	}
	end, _, err := endOfHead(b[i:], 0)
	switch {
	case err != nil:
		return 0, 0, nil, err
	case end > maxTrailer || end == 0 && len(b)-i > maxTrailer:
		return 0, 0, nil, errHeadSize
	case end == 0:
		return 0, 0, nil, nil
	case end > 2:
		trailer, err = parseFields(string(b[i : i+end]))
	}
	return i + end, 0, trailer, err
}

// parseChunkSize parses a chunk's line up to and including the CR.
func parseChunkSize(line []byte) (size int64, err error) {
	if len(line) < 2 || line[len(line)-1] != '\r' {
		return 0, errChunk
	}
	line = line[:len(line)-1]
	digits := 0
	for ; digits < len(line); digits++ {
		c := line[digits]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return size, extension(line[digits:], digits)
		}
		if digits == 15 {
			return 0, errChunk
		}
		size = size<<4 | int64(c)
	}
	return size, nil
}

// extension checks what follows the digits of a chunk's size. Extensions mean
// something to one hop only, so they are read over.
func extension(ext []byte, digits int) error {
	if digits == 0 || ext[0] != ';' || !valid(string(ext)) {
		return errChunk
	}
	return nil
}

// failure says what ended the body before its end.
func (b *body) failure(err error) error {
	if err == io.EOF {
		return err
	}
	if cause := b.c.cause.Load(); cause != nil {
		err = *cause
		if errors.Is(err, errVanished) || errors.Is(err, errDied) {
			return b.c.t.broken(err)
		}
		return err
	}
	switch {
	case isTimeout(err) && !b.limit.IsZero() && !time.Now().Before(b.limit):
		return b.c.t.timeout(Requesting)
	case isTimeout(err):
		return b.c.t.timeout(Idling)
	case err == io.ErrUnexpectedEOF:
		return err
	}
	return b.c.t.broken(err)
}

// Close ends the exchange. The connection is kept if the answer was read to
// its end, nothing came behind it, the request was sent completely, and both
// sides want to go on.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	keep := b.keep && b.err == io.EOF && b.c.buffered() == 0
	if b.up != nil {
		if !keep {
			b.c.sock.Close()
		}
		keep = b.up.finish() && keep
	}
	if b.stop() && keep {
		b.c.t.put(b.c)
	} else {
		b.c.close()
	}
	b.c.t.finish()
	return nil
}

// tunnel is the Body of a 101: the connection itself, first what is buffered.
type tunnel struct {
	b      *body
	closed atomic.Bool
}

var _ io.ReadWriteCloser = (*tunnel)(nil)

func newTunnel(b *body) *tunnel {
	b.c.t.tunnels.Add(1)
	b.c.stage.Store(int32(tunnelling))
	return &tunnel{b: b}
}

// Read reads what the endpoint sends. An app that stops mostly just ends, so at
// the end of what a leaving endpoint sends comes a farewell.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.b.c.read(p)
	if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.b.c.t.ended(t.b.c)
	}
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) { return t.b.c.nc.Write(p) }

// CloseWrite tells the endpoint that no more is coming; it may still send.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.b.c.nc.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (t *tunnel) SetReadDeadline(d time.Time) error { return t.b.c.nc.SetReadDeadline(d) }

func (t *tunnel) SetWriteDeadline(d time.Time) error { return t.b.c.nc.SetWriteDeadline(d) }

// Cause returns why the connection was aborted, nil if it was not.
func (t *tunnel) Cause() error {
	if cause := t.b.c.cause.Load(); cause != nil {
		return t.b.c.t.broken(*cause)
	}
	return nil
}

// OnFarewell has f called once when the tunnel is to be ended because its
// endpoint leaves, or was ended by one that leaves; at once if it is leaving
// already. f must not block. A later
// f replaces it, nil takes it back, and so does Close.
func (t *tunnel) OnFarewell(f func()) { t.b.c.t.onFarewell(t.b.c, f) }

func (t *tunnel) Close() error {
	if !t.closed.Swap(true) {
		t.b.c.t.tunnels.Add(-1)
	}
	return t.b.Close()
}
