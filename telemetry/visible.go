package telemetry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis is where a text was cut.
const ellipsis = "…"

// text makes s fit for a line: at most limit bytes, and nothing a terminal
// obeys or that changes the order of what is read. It is for what zerolog
// encodes, which escapes what is below U+0080, but passes C1 controls and
// bidirectional marks on.
func text(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + ellipsis
	}
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(visible, s)
		}
	}
	return s
}

func visible(c rune) rune {
	if c < utf8.RuneSelf || unicode.IsGraphic(c) {
		return c
	}
	return utf8.RuneError
}

// appendVisible appends s as text and zerolog would have it between the quotes of
// a string of JSON (RFC 8259, 7).
func appendVisible(b []byte, s string) []byte {
	for {
		n := plain(s)
		b = append(b, s[:n]...)
		if s = s[n:]; s == "" {
			return b
		}
		c, size := utf8.DecodeRuneInString(s)
		if c < utf8.RuneSelf {
			b = appendEscape(b, byte(c))
		} else {
			b = utf8.AppendRune(b, visible(c))
		}
		s = s[size:]
	}
}

// isPlain are the bytes that stand for themselves in a string of JSON.
var isPlain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plain returns how many bytes s begins with that stand for themselves. It looks
// at eight at once: in each of them the highest bit comes to be set by the sum if
// it is DEL or beyond ASCII, by a difference if it is a control, a quote or a
// backslash. What such a byte carries into or borrows from the next one does not
// matter, for the answer is no already.
func plain(s string) (n int) {
	const each = 0x0101010101010101
	for ; len(s)-n >= 8; n += 8 {
		s := s[n : n+8]
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		odd := w | (w + each) | (w - each*' ') | ((w ^ each*'"') - each) | ((w ^ each*'\\') - each)
		if odd&(each<<7) != 0 {
			break
		}
	}
	for n < len(s) && isPlain[s[n]] {
		n++
	}
	return n
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
