package h1

import (
	"io"
	"io/fs"
	"net/http"
	"strconv"
)

// eager is how much of a copied body is gathered while its source may have to be
// waited for, in bytes.
const eager = 4 << 10

var _ io.ReaderFrom = (*writer)(nil)

// ReadFrom sends src. Files go to the connection's own ReadFrom, which sends them
// by sendfile(2); everything else is read right into the buffer that is written.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if hasNoBody(w.status) || w.d.method == http.MethodHead {
		return io.Copy(writeOnly{w}, src)
	}
	if n, err, sent := w.sendFile(src); sent {
		return n, err
	}
	return w.copyFrom(src)
}

// sendFile sends src if it is a file whose length, or the connection's end, says
// where the body ends.
func (w *writer) sendFile(src io.Reader) (n int64, err error, sent bool) {
	conn, ok := w.d.c.nc.(io.ReaderFrom)
	if !ok || w.length < 0 || w.framing == chunked {
		return 0, nil, false
	}
	room := w.length - w.written
	limited := &io.LimitedReader{R: src, N: room}
	if l, ok := src.(*io.LimitedReader); ok {
		limited.R, limited.N = l.R, min(l.N, room)
	}
	if _, ok := limited.R.(interface{ Stat() (fs.FileInfo, error) }); !ok {
		return 0, nil, false
	}
	if err := w.flush(); err != nil {
		return 0, err, true
	}
	n, err = conn.ReadFrom(limited)
	if l, ok := src.(*io.LimitedReader); ok {
		l.N -= n
	}
	w.written += n
	switch {
	case err != nil:
		w.err = err
	case limited.N == 0 && w.written == w.length:
		err = w.excess(src)
	}
	return n, err, true
}

// excess reports that src has more than the declared length.
func (w *writer) excess(src io.Reader) error {
	var b [1]byte
	if n, _ := src.Read(b[:]); n > 0 {
		return http.ErrContentLength
	}
	return nil
}

// copyFrom reads src into the free end of the buffer, and leaves room before and
// behind for the framing of a chunk.
func (w *writer) copyFrom(src io.Reader) (total int64, err error) {
	const before, behind, least = len("8000\r\n"), len("\r\n"), 1 << 10
	for {
		if len(w.out)+before+behind+least > outSize {
			if err := w.FlushError(); err != nil {
				return total, err
			}
		}
		start := len(w.out)
		free := w.out[start+before : outSize-behind]
		n, err := src.Read(free)
		total += int64(n)
		switch {
		case n == 0:
		case w.length >= 0 && w.written+int64(n) > w.length:
			fits := w.length - w.written
			w.written += fits
			w.framePiece(start, free[:fits])
			return total - int64(n) + fits, http.ErrContentLength
		default:
			w.written += int64(n)
			w.framePiece(start, free[:n])
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case n < len(free) && len(w.out) >= eager:
			if err := w.FlushError(); err != nil {
				return total, err
			}
		}
	}
}

// framePiece makes p, which stands in the buffer with room before it, a piece of
// the body that begins at start.
func (w *writer) framePiece(start int, p []byte) {
	w.out = w.out[:start]
	if !w.decided || w.framing != chunked {
		w.out = append(w.out, p...) // moves it
		return
	}
	var size [8]byte
	w.out = append(w.out, append(strconv.AppendInt(size[:0], int64(len(p)), 16), crlf...)...)
	w.out = append(w.out, p...)
	w.out = append(w.out, crlf...)
}

// writeOnly hides ReadFrom from io.Copy.
type writeOnly struct{ io.Writer }
