package files

import "strings"

// stampedDir reports whether everything below path has a name of its own for every
// content, by the custom of a framework. path ends with a slash, or is "".
func stampedDir(path string) bool {
	return len(path) >= len("immutable/") && (hasDir(path, "immutable/") || hasDir(path, "_next/static/"))
}

// hasDir reports whether dir is in path at the begin of a segment.
func hasDir(path, dir string) bool {
	for i := 0; ; i++ {
		n := strings.Index(path[i:], dir)
		if n < 0 {
			return false
		}
		if i += n; i == 0 || path[i-1] == '/' {
			return true
		}
	}
}

// isStamped reports whether the file's name has a fingerprint of its content in
// it, as bundlers write them, so that other content has another name:
// app.3f9c2a1b.js, index-DiwrgTda.js, main.a1b2c3d4.chunk.css. It is a guess. What
// it takes for a fingerprint by mistake is stale for a year; what it misses costs a
// question. So it rather misses some.
func isStamped(name string) bool {
	dir, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i+1], name[i+1:]
	}
	if stampedDir(dir) {
		return true
	}
	end := strings.LastIndexByte(base, '.')
	if end < 0 || hasUUID(base[:end]) {
		return false
	}
	first := true
	for part := range strings.SplitSeq(base[:end], ".") {
		dash := strings.LastIndexByte(part, '-')
		if (dash > 0 || !first) && isFingerprint(part[dash+1:]) {
			return true
		}
		first = false
	}
	return false
}

// hasUUID reports whether s ends with a UUID. Those name things, whose content may
// change.
func hasUUID(s string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) < len(form) {
		return false
	}
	s = s[len(s)-len(form):]
	for i := range len(form) {
		if dash := form[i] == '-'; dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

const (
	leastFingerprint = 8 // characters, as vite has them
	mostFingerprint  = 64
)

// A class is a kind of character.
type class uint8

const (
	foreign class = iota
	digit
	lower
	upper
	under
)

func classOf(c byte) class {
	switch {
	case '0' <= c && c <= '9':
		return digit
	case 'a' <= c && c <= 'z':
		return lower
	case 'A' <= c && c <= 'Z':
		return upper
	case c == '_':
		return under
	}
	return foreign
}

// isFingerprint reports whether s is a digest in hexadecimal or base 62, and not
// a word, a date or a size.
func isFingerprint(s string) bool {
	if len(s) < leastFingerprint || len(s) > mostFingerprint {
		return false
	}
	var has [under + 1]int
	hex := true
	for i := 0; i < len(s); i++ {
		has[classOf(s[i])]++
		hex = hex && isHex(s[i])
	}
	letters := has[lower] + has[upper]
	switch {
	case has[foreign] > 0 || letters == 0:
		return false
	case has[under] > 0 && len(s) != leastFingerprint: // words joined; vite's have 8, of base64url
		return false
	case hex && has[digit] > 0 && (has[lower] == 0 || has[upper] == 0):
		return !isDated(s)
	case has[digit] > 0:
		return !isExplained(s)
	}
	// A quarter of all digests of 8 characters have no digit. Only those that no
	// one could pronounce are told from HomePage.
	return len(s) == leastFingerprint && has[lower] > 0 && has[upper] > 0 && !isWord(s)
}

// isDated reports whether s begins as a date of eight digits does.
func isDated(s string) bool {
	for i := range 8 {
		if classOf(s[i]) != digit {
			return false
		}
	}
	return (s[:2] == "19" || s[:2] == "20") && s[4:6] <= "12" && s[6:8] <= "31"
}

// isExplained reports whether s is words and numbers: 1024x768, 2024final,
// windows10x64. One odd letter or two may be between them.
func isExplained(s string) bool {
	odd := 0
	for i := 0; i < len(s); {
		start, letters := i, classOf(s[i]) == lower || classOf(s[i]) == upper
		for i < len(s) && letters == (classOf(s[i]) == lower || classOf(s[i]) == upper) {
			i++
		}
		switch run := s[start:i]; {
		case !letters || len(run) > 2 && isWord(run):
		case len(run) > 2:
			return false
		default:
			odd++
		}
	}
	return odd <= 1
}

// isWord reports whether the letters of s follow each other as in English: most
// pairs do in words, and a third of those in digests. A capital behind a small
// letter begins another word.
func isWord(s string) bool {
	pairs, usual := 0, 0
	for i := 1; i < len(s); i++ {
		a, b := classOf(s[i-1]), classOf(s[i])
		if b == upper && a == lower || a == under || b == under {
			continue
		}
		pairs++
		if follows[s[i-1]|0x20-'a']&(1<<(s[i]|0x20-'a')) != 0 {
			usual++
		}
	}
	return pairs > 0 && usual*4 >= pairs*3
}

// follows has the letters that often follow each letter in English.
var follows = func() (t [26]uint32) {
	for i, after := range [26]string{
		"bcdfgiklmnprstuvwy", "aeilorsuy", "acehikloqrtuy", "adegilorsuvy", "acdefgilmnopqrstuvwxy", "aefilortu", "aeghilnorsu",
		"aeiortuy", "acdefglmnoprstvz", "aeou", "aeinsy", "adefiklmopstuvy", "abeimopsuy", "acdefgiknostuvy", "abcdefgijklmnoprstuvwy",
		"aehiloprstu", "u", "acdegiklmnorstuvy", "acehiklmopqrstuwy", "acehilorstuwy", "abcdegilmnprst", "aeio", "aehinors", "aceipt", "aelmnopst", "aeioz",
	} {
		for _, c := range after {
			t[i] |= 1 << (c - 'a')
		}
	}
	return t
}()
