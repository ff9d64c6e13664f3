package balance

import (
	"net/http"
	"net/textproto"
	"strings"
)

var _ = register(method{
	name: "cookie-hash", arg: "cookie", doc: "takes the same one for the same value of that cookie",
	picker: func(name string, turns *Turns) Picker {
		return &hashed{keyless: turns, key: func(r *http.Request) (uint64, bool) { return textKey(cookieOf(r.Header, name)) }}
	},
})

// cookieOf returns the value of the first cookie called name in h, "" without.
// A value in quotes has them: they belong to it (RFC 6265 4.1.1). net/http's
// Request.Cookie would allocate.
func cookieOf(h http.Header, name string) string {
	for _, line := range h["Cookie"] { // HTTP/2 may send several (RFC 9113 8.2.3)
		for pair, rest := "", line; rest != ""; {
			pair, rest, _ = strings.Cut(rest, ";")
			for pair != "" && (pair[0] == ' ' || pair[0] == '\t') {
				pair = pair[1:]
			}
			if value, ok := strings.CutPrefix(pair, name); ok {
				if value = textproto.TrimString(value); strings.HasPrefix(value, "=") {
					return textproto.TrimString(value[1:])
				}
			}
		}
	}
	return ""
}
