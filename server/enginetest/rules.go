package enginetest

import (
	"regexp"
	"slices"
	"strings"
)

// A rule is a difference to net/http that is meant: its name, and whether a
// request is of that kind.
type rule struct {
	name  string
	match func(p piece) bool
}

var (
	wellChunked   = regexp.MustCompile(`^[0-9A-Fa-f]{1,15}(;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n$`)
	wellSpelled   = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\\x00-\\x08\\x0a-\\x1f\\x7f]*\r\n$")
	wellVersioned = regexp.MustCompile(` HTTP/1\.[01]\r\n$`)
	wellAimed     = regexp.MustCompile(`^(/|\*$|[Hh][Tt][Tt][Pp][Ss]?://[^/?])[^\x00-\x20#\x7f]*$`)
)

// maxFields is how many fields an engine has to take in a head.
const maxFields = 1000

// stricter are the kinds of requests that ours may refuse and net/http accepts.
var stricter = []rule{
	{"a line ends in a bare LF", func(p piece) bool {
		return slices.ContainsFunc(slices.Concat([]string{p.line}, p.fields, p.chunks, p.trailer), func(line string) bool { return !strings.HasSuffix(line, "\r\n") })
	}},
	{"a folded line", func(p piece) bool {
		return slices.ContainsFunc(slices.Concat(p.fields, p.trailer), func(line string) bool { return line[0] == ' ' || line[0] == '\t' })
	}},
	{"a malformed trailer", func(p piece) bool {
		return slices.ContainsFunc(p.trailer, func(line string) bool { return !wellSpelled.MatchString(line) })
	}},
	{"a version other than 1.0 and 1.1", func(p piece) bool { return !wellVersioned.MatchString(p.line) }},
	{"a target that is neither a path nor a URL of http, or has a fragment", func(p piece) bool { return !wellAimed.MatchString(p.target()) }},
	{"CONNECT without Host", func(p piece) bool { return strings.HasPrefix(p.line, "CONNECT ") && len(p.values("Host")) == 0 }},
	{"Content-Length beside Transfer-Encoding", func(p piece) bool {
		return len(p.values("Content-Length")) > 0 && len(p.values("Transfer-Encoding")) > 0
	}},
	{"Transfer-Encoding in 1.0", func(p piece) bool {
		return strings.HasSuffix(p.line, " HTTP/1.0\r\n") && len(p.values("Transfer-Encoding")) > 0
	}},
	{"a length of more than 18 digits", func(p piece) bool {
		return slices.ContainsFunc(p.values("Content-Length"), func(v string) bool { return len(v) > 18 })
	}},
	{"a malformed line of a chunk", func(p piece) bool {
		return slices.ContainsFunc(p.chunks, func(line string) bool { return !wellChunked.MatchString(line) })
	}},
	{"too many fields", func(p piece) bool { return len(p.fields) > maxFields || len(p.trailer) > maxFields }},
	// Limits are near these; what counts towards them is an engine's own affair.
	{"a head of 64 KiB", func(p piece) bool { return p.size() > 64<<10-1<<10 }},
}

// looser are the kinds of requests that ours may accept and net/http refuses.
var looser = []rule{
	// Which looks for their end in a buffer of 4 KiB.
	{"trailers of 4 KiB", func(p piece) bool { return len(strings.Join(p.trailer, "")) > 4<<10-1<<10 }},
}

// explain returns the name of the first rule that p is of the kind of, "" if
// there is none.
func explain(rules []rule, p piece) string {
	for _, r := range rules {
		if r.match(p) {
			return r.name
		}
	}
	return ""
}
