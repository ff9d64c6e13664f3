package routing

import (
	"slices"
	"strings"
)

// A request target has two readings when the app may take it for another path
// than the one it was routed by (docs/threats.md 17 and 18). Such requests are
// refused; all others go through byte for byte.

const (
	// decodings is how often somebody behind us may undo percent-encoding.
	decodings = 2
	// maxReadings bounds the work for one request. A path with more readings
	// was made to have them.
	maxReadings = 64
)

// suspect marks the bytes that can make a second reading. A path without them
// has one, which a single scan shows. Beyond ASCII, and for what RFC 3986 does
// not allow in a path, %xx and the byte itself are two spellings of the same.
var suspect = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x80 || c <= ' ' || c == 0x7f || strings.IndexByte(`%;\./`+escaped, byte(c)) >= 0
	}
	return t
}()

// plain reports whether path certainly has one reading.
func plain(path string) bool {
	for i := 0; i < len(path); i++ {
		if !suspect[path[i]] {
			continue
		}
		switch path[i] {
		case '.': // a dot segment, or a dot that some file systems drop at a segment's end
			if i+1 == len(path) || path[i+1] == '/' || i > 0 && path[i-1] == '/' {
				return false
			}
		case '/':
			if i+1 < len(path) && path[i+1] == '/' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// simplifications are what apps do to a path besides decoding it. What one of
// them leaves is for those behind it to simplify further.
var simplifications = []func(string) string{slashes, dropParams, dropDots, mergeSlashes}

// readings returns every path that someone may read path as, itself first:
// decoded once or twice, slashes merged, ;parameters dropped, \ as /, dots at
// the end of a segment dropped, in every combination and order. ok is false if
// one of them has a dot segment or a control byte, which no request needs.
func readings(path string) (forms []string, ok bool) {
	forms = []string{path}
	for decoded := 0; ; decoded++ {
		for _, simplify := range simplifications {
			forms = extend(forms, simplify)
		}
		n := len(forms)
		if n > maxReadings || slices.ContainsFunc(forms, dirty) {
			return nil, false
		}
		if decoded == decodings {
			break
		}
		if forms = extend(forms, unescape); len(forms) == n {
			break
		}
	}
	return forms, true
}

// extend adds what change makes of each of forms, where that is new.
func extend(forms []string, change func(string) string) []string {
	for _, form := range forms {
		if other := change(form); !slices.Contains(forms, other) {
			forms = append(forms, other)
		}
	}
	return forms
}

func slashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

func dropParams(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, seg := range segments {
		segments[i], _, _ = strings.Cut(seg, ";")
	}
	return strings.Join(segments, "/")
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// dropDots drops dots at the end of segments, as some file systems do; whole
// dot segments are for dirty to find.
func dropDots(path string) string {
	if !strings.Contains(path, "./") && !strings.HasSuffix(path, ".") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, seg := range segments {
		if seg != "." && seg != ".." {
			segments[i] = strings.TrimRight(seg, ".")
		}
	}
	return strings.Join(segments, "/")
}

// dirty reports whether path has a dot segment or a control byte.
func dirty(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] < ' ' || path[i] == 0x7f {
			return true
		}
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

// unescape decodes every valid %xx of s once, and leaves the rest.
func unescape(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	var b strings.Builder
	for i = 0; i < len(s); i++ {
		if c, ok := escape(s, i); ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape returns the byte that s[i:] begins with as %xx.
func escape(s string, i int) (c byte, ok bool) {
	if s[i] != '%' || i+2 >= len(s) || hex(s[i+1]) < 0 || hex(s[i+2]) < 0 {
		return 0, false
	}
	return byte(hex(s[i+1])<<4 | hex(s[i+2])), true
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// escaped are the visible characters that a path has only as %xx (RFC 3986 3.3).
const escaped = " \"<>^`{|}"

// canonical spells s as most clients do (RFC 3986 6.2.2): what need not be
// escaped is not, what must be is, hexadecimal digits are capitals. Patterns
// are kept so, and compared with the bytes of a path.
func canonical(s string) string {
	var b strings.Builder
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c, coded := escape(s, i)
		if coded {
			i += 2
		} else {
			c = s[i]
		}
		if coded && !unreserved(c) || c >= 0x7f || strings.IndexByte(escaped, c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			c = digits[c&15]
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
