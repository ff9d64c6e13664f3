// Package http1 is the syntax of HTTP/1.1 messages (RFC 9112), for the engine
// that reads requests and the transport that reads answers. What two readers
// could take for two different things is an error: lines end in CRLF, names are
// tokens with the colon right behind them, nothing is folded.
package http1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// MaxFields is how many fields a head or a trailer may have.
const MaxFields = 1000

// Errors that callers tell apart. All others are a *SyntaxError.
var (
	ErrTooManyFields = errors.New("too many fields")
	ErrTooLarge      = errors.New("more bytes than are allowed")
)

// A SyntaxError is a message that RFC 9112 does not allow, or that can be read
// in two ways. Its text goes with "has".
type SyntaxError struct{ What string }

func (e *SyntaxError) Error() string { return e.What }

func malformed(format string, args ...any) error { return &SyntaxError{fmt.Sprintf(format, args...)} }

// Byte classes of RFC 9110 5.6.2 (token) and 5.5 (field value).
var isToken, isValue [256]bool

func init() {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		isToken[c] = true
	}
	for i := range isValue {
		isValue[i] = i == '\t' || i >= ' ' && i != 0x7f
	}
}

// IsToken reports whether s is a token: a method or the name of a field.
func IsToken(s string) bool {
	for i := range len(s) {
		if !isToken[s[i]] {
			return false
		}
	}
	return s != ""
}

// IsValue reports whether s may be the value of a field: it has no control
// bytes but tabs.
func IsValue(s string) bool { return valueEnd(s, 0) == len(s) }

// valueEnd returns where the value that begins at s[i] ends: at the first control
// byte. It looks at 8 bytes at a time, for values are most of a head.
func valueEnd(s string, i int) int {
	const each = 0x01_01_01_01_01_01_01_01
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64([]byte(s[i : i+8]))
		// A byte's high bit is set where it is below ' ', and where it is DEL; it
		// may be set above such a byte as well (Warren, Hacker's Delight, 6-1).
		below, del := (x-each*' ')&^x, x^each*0x7f
		if (below|(del-each)&^del)&(each*0x80) != 0 {
			break
		}
	}
	for i < len(s) && isValue[s[i]] {
		i++
	}
	return i
}

// IsTarget reports whether s may stand in a request line: it has neither blanks
// nor control bytes.
func IsTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// HeadEnd returns the length of the head at the front of b including its blank
// line, or 0 if more bytes are needed; then scanned is where to go on. A line
// that does not end in CRLF is an error at once, lest one who sends bare LFs is
// waited for in vain.
func HeadEnd(b []byte, from int) (end, scanned int, err error) {
	for i := from; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return 0, i, nil
		}
		if i+j == 0 || b[i+j-1] != '\r' {
			return 0, 0, &SyntaxError{"a line that does not end in CRLF"}
		}
		if j == 1 {
			return i + 2, 0, nil
		}
		i += j + 1
	}
}

// Fields are the fields of one message after the other, in memory that is used
// again. The zero value is ready for use.
type Fields struct {
	Header http.Header // of the message parsed last
	values []string    // what its entries point into
	seen   uint64      // of its names, the marks
}

// Parse makes Header what the field lines of s are, up to and including the
// blank line that ends s. Names are canonical. Header and its entries are valid
// until the next Parse or Reset, the strings in them for as long as s.
func (f *Fields) Parse(s string) error {
	f.Reset()
	for i, n := 0, 0; ; n++ {
		if strings.HasPrefix(s[i:], "\r\n") {
			return nil
		}
		name, value, next, err := parseField(s, i)
		switch {
		case err != nil:
			return err
		case n == MaxFields:
			return ErrTooManyFields
		}
		f.add(name, value)
		i = next
	}
}

// add looks for a field of the same name only if there is one with its mark.
func (f *Fields) add(name, value string) {
	mark := uint64(1) << (mix(name) & 63)
	if f.seen&mark != 0 {
		if old, ok := f.Header[name]; ok {
			f.Header[name] = append(old, value)
			return
		}
	}
	f.seen |= mark
	f.Header[name] = f.keep(value)
}

// keep returns a slice of value alone that has no room for another.
func (f *Fields) keep(value string) []string {
	if len(f.values) == cap(f.values) {
		f.values = make([]string, 0, max(16, 2*cap(f.values))) // entries keep the old one alive
	}
	n := len(f.values)
	f.values = append(f.values, value)
	return f.values[n : n+1 : n+1]
}

// Reset forgets the fields, and the strings with them.
func (f *Fields) Reset() {
	if f.Header == nil {
		f.Header = make(http.Header, 16)
	}
	clear(f.Header)
	clear(f.values)
	f.values, f.seen = f.values[:0], 0
}

// Poison makes s of every value in the memory that is used again, and of the one
// field that is left, so that who keeps what is not his finds s.
func (f *Fields) Poison(s string) {
	all := f.values[:cap(f.values)]
	for i := range all {
		all[i] = s
	}
	clear(f.Header)
	if f.Header != nil {
		f.Header[s] = []string{s}
	}
}

// ParseFields is Fields.Parse for fields that are kept.
func ParseFields(s string) (http.Header, error) {
	var f Fields
	err := f.Parse(s)
	return f.Header, err
}

// parseField splits the field line of s that begins at i. A folded line begins
// with a blank, so it has no name.
func parseField(s string, i int) (name, value string, next int, err error) {
	colon := i
	for colon < len(s) && isToken[s[colon]] {
		colon++
	}
	if colon == i || colon == len(s) || s[colon] != ':' {
		return "", "", 0, malformed("a malformed field name: %.40q", line(s[i:]))
	}
	begin := colon + 1
	for begin < len(s) && (s[begin] == ' ' || s[begin] == '\t') {
		begin++
	}
	end := valueEnd(s, begin)
	if !strings.HasPrefix(s[end:], "\r\n") {
		return "", "", 0, malformed("control bytes in field %.40s", s[i:colon])
	}
	next = end + 2
	for end > begin && (s[end-1] == ' ' || s[end-1] == '\t') {
		end--
	}
	return Canonical(s[i:colon]), s[begin:end], next, nil
}

func line(s string) string {
	s, _, _ = strings.Cut(s, "\r\n")
	return s
}

// ParseLength parses a Content-Length: up to 18 digits and nothing else.
func ParseLength(v string) (n int64, ok bool) {
	if v == "" || len(v) > 18 {
		return 0, false
	}
	for i := range len(v) {
		c := v[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// HasToken reports whether one of the comma-separated lists has token, whatever
// its case.
func HasToken(lists []string, token string) bool {
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if Is(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Is reports whether s is token, which is ASCII, whatever its case. It does not fold
// letters outside ASCII, as strings.EqualFold does: a Kelvin sign is not a k.
func Is(s, token string) bool { return len(s) == len(token) && strings.EqualFold(s, token) }

// AppendField appends a field line, without looking at what is in it.
func AppendField(b []byte, name, value string) []byte {
	n, more := len(b), len(name)+len(value)+len(": \r\n")
	b = slices.Grow(b, more)[:n+more]
	n += copy(b[n:], name)
	b[n], b[n+1] = ':', ' '
	n += 2 + copy(b[n+2:], value)
	b[n], b[n+1] = '\r', '\n'
	return b
}
