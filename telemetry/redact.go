package telemetry

import (
	"net/url"
	"strings"
)

const redacted = "REDACTED"

// secretNames are query parameters whose values let the reader of a log act for
// somebody, folded: lower case, letters and digits only.
var secretNames = map[string]bool{
	"key": true, "code": true, "state": true, "sig": true, "auth": true, "pass": true, "otp": true, "sid": true,
	"ticket": true, "nonce": true, "samlresponse": true, "samlrequest": true, "assertion": true, "hmac": true,
}

// secretParts make a parameter secret wherever they are in its name.
var secretParts = []string{"token", "secret", "passw", "passphrase", "pwd", "signature", "credential", "session", "authorization", "jwt", "apikey", "accesskey", "privatekey"}

// redact replaces the values of secret parameters in a request target.
func redact(target string) string {
	target = withoutUser(target)
	at := strings.IndexByte(target, '?')
	if at < 0 {
		return target
	}
	var out strings.Builder
	done := 0
	for pos := at + 1; pos < len(target); {
		end := pos + strings.IndexAny(target[pos:], "&;") // apps differ in what separates parameters
		if end < pos {
			end = len(target)
		}
		if eq := strings.IndexByte(target[pos:end], '='); eq >= 0 && pos+eq+1 < end && isSecret(target[pos:pos+eq]) {
			out.WriteString(target[done : pos+eq+1])
			out.WriteString(redacted)
			done = end
		}
		pos = end + 1
	}
	if done == 0 {
		return target
	}
	out.WriteString(target[done:])
	return out.String()
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
	if secretNames[string(folded)] {
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
	if i := strings.IndexAny(ref, "?#"); i >= 0 {
		ref = ref[:i]
	}
	return withoutUser(ref)
}

// withoutUser takes "user:password@" out of a URL that has it.
func withoutUser(s string) string {
	if strings.HasPrefix(s, "/") {
		return s
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
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
