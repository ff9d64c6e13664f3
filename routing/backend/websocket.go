package backend

import "encoding/binary"

// goingAway is a Close frame with status 1001 and no reason (RFC 6455 5.5.1,
// 7.4.1), as servers send it: not masked.
const goingAway = "\x88\x02\x03\xe9"

const opClose = 0x8 // RFC 6455 5.2

// frames follows one direction of a WebSocket by the headers of its frames.
// Payloads are counted and not looked at.
type frames struct {
	head   [10]byte // of the frame that begins: all but its masking key
	seen   int      // bytes of it
	left   uint64   // bytes of the frame behind its head, the masking key included
	closed bool     // a Close frame began
	broken bool     // these are no frames, so there is no telling where one ends
}

// between reports whether the next byte begins a frame. That may be in the
// middle of a message: control frames are allowed there (RFC 6455 5.4).
func (f *frames) between() bool { return f.seen == 0 && f.left == 0 && !f.broken }

// skip goes over p.
func (f *frames) skip(p []byte) {
	for len(p) > 0 {
		p = p[f.next(p):]
	}
}

// next goes over the bytes of p that belong to one frame, and returns how many
// they are: all of p unless the frame ends before.
func (f *frames) next(p []byte) int {
	if f.broken {
		return len(p)
	}
	n := 0
	if f.left == 0 {
		if n = f.begin(p); f.left == 0 { // it has no payload, or is not complete
			return n
		}
	}
	k := min(f.left, uint64(len(p)-n))
	f.left -= k
	return n + int(k)
}

// begin takes the head of a frame, or a part of it, from p, and returns its
// length there.
func (f *frames) begin(p []byte) int {
	if f.seen == 0 && len(p) >= 2 {
		if size := headSize(p[1]); len(p) >= size {
			f.read(p[:size])
			return size
		}
	}
	for i, b := range p {
		f.head[f.seen] = b
		f.seen++
		if f.seen >= 2 && f.seen == headSize(f.head[1]) {
			f.read(f.head[:f.seen])
			f.seen = 0
			return i + 1
		}
	}
	return len(p)
}

// headSize returns the length of a head whose second byte is b, without the
// masking key.
func headSize(b byte) int {
	switch b & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// read reads a head as RFC 6455 5.2 has it. The reserved bits are left to
// extensions, which do not change where frames end.
func (f *frames) read(head []byte) {
	length, least := uint64(head[1]&0x7f), uint64(0)
	switch len(head) {
	case 4:
		length, least = uint64(binary.BigEndian.Uint16(head[2:])), 126
	case 10:
		length, least = binary.BigEndian.Uint64(head[2:]), 1<<16
	}
	final, op := head[0]&0x80 != 0, head[0]&0xf
	control := op >= opClose
	switch {
	case op&0x7 > 2, length < least, length>>63 != 0, control && (!final || length > 125):
		f.broken = true
		return
	case op == opClose:
		f.closed = true
	}
	if f.left = length; head[1]&0x80 != 0 {
		f.left += 4
	}
}
