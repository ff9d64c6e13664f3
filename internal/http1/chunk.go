package http1

import (
	"bytes"
	"net/http"
)

// Limits of chunked bodies, in bytes.
const (
	MaxChunkLine = 4 << 10  // of a chunk's size with its extensions
	MaxTrailer   = 16 << 10 // of all trailers
	// maxOverhead is how much chunk framing may come beyond what chunks of a
	// decent size need.
	maxOverhead = 16 << 10
)

var errChunk error = &SyntaxError{"a malformed chunk"}

// Chunks reads the framing of one chunked body (RFC 9112 7.1). The zero value
// stands before its first chunk.
type Chunks struct {
	Trailer  http.Header // behind the last chunk; nil if there is none
	behind   bool        // the data of a chunk was read, and the CRLF behind it was not
	overhead int64       // see maxOverhead
}

// Next parses what stands at the front of b: the CRLF behind the data of the
// chunk before, the size of the next, and the trailers if that is the last, whose
// size is 0. It returns the number of bytes used, 0 if more are needed.
func (c *Chunks) Next(b []byte) (used int, size int64, err error) {
	used, size, c.Trailer, err = parseChunk(b, c.behind)
	if used == 0 || err != nil {
		return 0, 0, err
	}
	c.behind = size > 0
	// One byte a chunk, each with a long extension, is no body but a way to keep
	// somebody busy (CVE-2023-39326).
	c.overhead = max(0, c.overhead+int64(used)-16-2*size)
	if c.overhead > maxOverhead && size > 0 {
		return 0, 0, errChunk
	}
	return used, size, nil
}

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
	if n > MaxChunkLine || n < 0 && len(b)-i > MaxChunkLine {
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
	end, _, err := HeadEnd(b[i:], 0)
	switch {
	case err != nil:
		return 0, 0, nil, err
	case end > MaxTrailer || end == 0 && len(b)-i > MaxTrailer:
		return 0, 0, nil, ErrTooLarge
	case end == 0:
		return 0, 0, nil, nil
	case end > 2:
		trailer, err = ParseFields(string(b[i : i+end]))
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
	if digits == 0 || ext[0] != ';' || !IsValue(string(ext)) {
		return errChunk
	}
	return nil
}
