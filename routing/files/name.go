package files

import (
	"strings"
	"unicode/utf8"
)

// A reading is what a path is as the name of a file.
type reading uint8

const (
	usable    reading = iota
	barred            // no file that is served has such a name
	malformed         // it is no path (RFC 3986, 2.1)
)

// Limits of names, in bytes, as Linux has them.
const (
	maxSegment = 255
	maxName    = 4095
)

// wellKnown is the hidden directory that is meant to be seen (RFC 8615).
const wellKnown = ".well-known"

// readName returns the name that path stands for: every segment decoded once,
// without slashes at its ends, those in between merged as nginx does. slash tells
// that it ended with one. Names that could mean something else to a file system,
// or are not for everybody, are barred: see barredSegment.
func readName(path string) (name string, slash bool, how reading) {
	slash = path == "" || path[len(path)-1] == '/'
	if slash = slash && path != ""; isPlain(path) {
		name = strings.Trim(path, "/")
	} else if name, how = decodeName(path); how != usable {
		return "", false, how
	}
	if len(name) > maxName || !slash && isScript(name) {
		return "", false, barred
	}
	first := true
	for rest := name; rest != ""; first = false {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if barredSegment(segment, first) {
			return "", false, barred
		}
	}
	return name, slash, usable
}

// isPlain reports whether path is spelled as its name is, but for slashes at its
// ends.
func isPlain(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%':
			return false
		case c == '/' && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

// decodeName returns the segments of path, decoded and joined. An encoded slash
// is no separator, and no part of a name either.
func decodeName(path string) (name string, how reading) {
	var b strings.Builder
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		for i := 0; i < len(segment); i++ {
			c := segment[i]
			if c == '%' {
				if i+2 >= len(segment) || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
					return "", malformed
				}
				if c = unhex(segment[i+1])<<4 | unhex(segment[i+2]); c == '/' {
					how = barred
				}
				i += 2
			}
			b.WriteByte(c)
		}
	}
	return b.String(), how
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// barredSegment reports whether no file is served whose name has segment in it:
// "." and "..", hidden ones (.git, .env) but for a .well-known that comes first,
// and what no file of the web is called: backslashes, control bytes, too long, not
// UTF-8.
func barredSegment(segment string, first bool) bool {
	if len(segment) > maxSegment || segment[0] == '.' && !(first && segment == wellKnown) {
		return true
	}
	ascii := true
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c < ' ' || c == 0x7f || c == '\\' {
			return true
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return !ascii && !utf8.ValidString(segment)
}

// isScript reports whether name is that of a program which a server would run:
// its text is not for anybody to read.
func isScript(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > len(".phtml") || len(name)-dot < len(".pht") || name[dot+1]|0x20 != 'p' || name[dot+2]|0x20 != 'h' {
		return false
	}
	switch ext := strings.ToLower(name[dot+1:]); ext {
	case "php", "phtml", "phar", "pht", "phps":
		return true
	default:
		return len(ext) == 4 && ext[:3] == "php" && '0' <= ext[3] && ext[3] <= '9'
	}
}
