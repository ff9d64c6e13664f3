package telemetry

import (
	"net/url"
	"strings"
)

const redacted = "REDACTED"

// secretParts make a query parameter secret wherever they are in its name, folded:
// lower case, letters and digits only. The values of such parameters let the
// reader of a log act for somebody.
var secretParts = [...]string{"token", "secret", "passw", "passphrase", "pwd", "signature", "credential", "session", "authorization", "jwt", "apikey", "accesskey", "privatekey"}

// redact emits the parts of a request target, in which REDACTED stands for the
// values of secret parameters. What is behind the first limit bytes of them is
// not looked at, and must not be shown.
func redact(target string, limit int, emit func(part string)) {
	target = withoutUser(target)
	sent, done := 0, 0 // bytes of parts; of target
	for pos := strings.IndexByte(target, '?') + 1; pos > 0 && pos < len(target) && sent+pos-done <= limit; {
		end, eq := pos, -1
		for end < len(target) && target[end] != '&' && target[end] != ';' { // apps differ in what separates parameters
			if target[end] == '=' && eq < 0 {
				eq = end
			}
			end++
		}
		if eq >= 0 && eq+1 < end && isSecret(target[pos:eq]) {
			emit(target[done : eq+1])
			emit(redacted)
			sent += eq + 1 - done + len(redacted)
			done = end
		}
		pos = end + 1
	}
	emit(target[done:])
}

// isSecret looks at the name as an app will: percent signs undone.
func isSecret(name string) bool {
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	var buf [64]byte
	folded := buf[:0]
	for i := 0; i < len(name) && len(folded) < len(buf); i++ {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			folded = append(folded, c|0x20)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			folded = append(folded, c)
		}
	}
	if len(folded) < 3 {
		return false // no secret has so short a name
	}
	switch string(folded) {
	case "key", "code", "state", "sig", "auth", "pass", "otp", "sid", "ticket", "nonce", "samlresponse", "samlrequest", "assertion", "hmac":
		return true
	}
	for _, part := range secretParts {
		if strings.Contains(string(folded), part) {
			return true
		}
	}
	return false
}

// redactReferer leaves of a URL what says where a client came from: no
// userinfo, no query, no fragment.
func redactReferer(ref string) string {
	ref, _, _ = strings.Cut(ref, "?")
	ref, _, _ = strings.Cut(ref, "#")
	return withoutUser(ref)
}

// withoutUser takes "user:password@" out of a URL that has it.
func withoutUser(s string) string {
	if strings.HasPrefix(s, "/") || strings.IndexByte(s, '@') < 0 {
		return s
	}
	scheme, rest := "", s
	if i := strings.Index(s, "://"); i >= 0 {
		scheme, rest = s[:i+3], s[i+3:]
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
		return scheme + rest[at+1:]
	}
	return s
}
