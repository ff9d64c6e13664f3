package spec

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// PathKind says how a Path is compared, most specific first.
type PathKind uint8

const (
	ExactPath PathKind = iota
	PathPrefix
	PathRegexp
)

// A Path is a pattern for the path of a request, compared byte for byte.
type Path struct {
	Kind PathKind
	// Text is the path, or the expression. A prefix without trailing slash
	// matches itself and what is below it; one with a trailing slash matches
	// what is below it, and without the slash is answered 308.
	Text string
}

// Root matches every path.
var Root = Path{PathPrefix, "/"}

// String returns p as a label writes it.
func (p Path) String() string { return [...]string{"=", "", "~"}[p.Kind] + p.Text }

// Separate returns p for use behind a host: "" for the root.
func (p Path) Separate() string {
	if p == Root {
		return ""
	}
	return p.String()
}

type pathOptions struct{ Paths []Path }

var _ = register(label.Declare(label.Kind{
	Name: "path", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Own, FailClosed: true,
	Doc: "The paths a route answers for.",
}, nil, label.Def[pathOptions]{
	Value:   label.List(func(o *pathOptions) *[]Path { return &o.Paths }, parsePath),
	Default: "/",
	Doc:     "Paths: `/api` matches `/api` and `/api/…`, never `/apiary`; `/app/` matches `/app/…` and answers `/app` with 308; `=/x` only `/x`; `~regex` the whole path.",
	Example: "/api, /v2", Nginx: "location",
}))

func parsePath(text string) (Path, error) {
	if re, ok := strings.CutPrefix(text, "~"); ok {
		return Path{PathRegexp, re}, label.CheckRegexp(re)
	}
	kind, sign := PathPrefix, ""
	if rest, ok := strings.CutPrefix(text, "="); ok {
		kind, sign, text = ExactPath, "=", rest
	}
	switch {
	case strings.HasPrefix(text, "^") && isRegexp(text):
		return Path{}, &label.ValueError{Msg: "does not begin with /: a regular expression begins with ~", Suggest: "~" + text}
	case strings.ContainsAny(text, "*"):
		return Path{}, &label.ValueError{Msg: "has a *: a path matches all that is below it", Suggest: "/" + strings.Trim(text, "*/")}
	case !strings.HasPrefix(text, "/"):
		return Path{}, &label.ValueError{Msg: "does not begin with /", Suggest: sign + "/" + text}
	case strings.ContainsAny(text, "?# \\;\t"):
		return Path{}, &label.ValueError{Msg: "has one of ? # ; \\ or a blank: a path ends before the query"}
	case strings.Contains(text, "//"):
		return Path{}, &label.ValueError{Msg: "has an empty segment"}
	}
	for seg := range strings.SplitSeq(text, "/") {
		if seg == "." || seg == ".." {
			return Path{}, &label.ValueError{Msg: "has a dot segment"}
		}
	}
	return Path{kind, escapeNonASCII(text)}, nil
}

// escapeNonASCII writes bytes beyond ASCII as clients send them.
func escapeNonASCII(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < 0x80 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}
