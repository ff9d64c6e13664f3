package files

import (
	"net/http"
	"strings"
	"time"
)

// A verdict is what the conditions of a request make of it.
type verdict uint8

const (
	send        verdict = iota
	notModified         // 304
	failed              // 412
)

// judge evaluates the conditions of a request for a in the order of RFC 9110,
// 13.2.2. Range and If-Range come after it.
func (a *answer) judge(h http.Header) verdict {
	if tags := h["If-Match"]; tags != nil {
		if !a.matches(tags, true) {
			return failed
		}
	} else if since, ok := dateOf(h["If-Unmodified-Since"]); ok && a.modified != nil && a.since.After(since) {
		return failed
	}
	if tags := h["If-None-Match"]; tags != nil {
		if a.matches(tags, false) {
			return notModified
		}
	} else if text := h["If-Modified-Since"]; text != nil && a.modified != nil {
		if len(text) == 1 && text[0] == a.modified[0] {
			return notModified
		}
		if since, ok := dateOf(text); ok && !a.since.After(since) {
			return notModified
		}
	}
	return send
}

// dateOf reads a field that is one date. Anything else does not count (RFC 9110,
// 13.1.3).
func dateOf(values []string) (time.Time, bool) {
	if len(values) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(values[0])
	return t, err == nil
}

// matches reports whether one of the tags in lists is that of a. strong: weak ones
// match none (RFC 9110, 8.8.3.2).
func (a *answer) matches(lists []string, strong bool) bool {
	if len(lists) == 1 && a.tag != nil && lists[0] == a.tag[0] {
		return !strong || !a.young // as it mostly is
	}
	for _, list := range lists {
		for rest := strings.Trim(list, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			if rest == "*" {
				return true
			}
			weak, opaque, after, ok := cutTag(rest)
			if !ok {
				break
			}
			rest = after
			if a.tag != nil && opaque == strings.TrimPrefix(a.tag[0], "W/") && (!strong || !weak && !a.young) {
				return true
			}
		}
	}
	return false
}

// cutTag cuts the entity tag off that s begins with. opaque is with its quotes.
func cutTag(s string) (weak bool, opaque, rest string, ok bool) {
	if s, weak = strings.CutPrefix(s, "W/"); s == "" || s[0] != '"' {
		return false, "", "", false
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 {
		return false, "", "", false
	}
	return weak, s[:end+2], s[end+2:], true
}

// wantsPart reports whether Range counts: the client has parts of the version that
// is here, or says nothing of that (RFC 9110, 13.1.5).
func (a *answer) wantsPart(h http.Header) bool {
	have, given := h["If-Range"]
	switch {
	case !given:
		return true
	case len(have) != 1 || a.weak():
		return false
	case strings.HasPrefix(have[0], `"`):
		return have[0] == a.tag[0]
	}
	t, ok := dateOf(have)
	return ok && a.modified != nil && t.Equal(a.since)
}
