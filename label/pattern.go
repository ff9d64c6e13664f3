package label

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// Limits of one expression. The second bounds what it compiles to: in a few
// bytes, (\w{500}){2} asks for a thousand states.
const (
	maxExpr   = 1000 // bytes
	maxStates = 5000
)

// CheckRegexp reports what is wrong with re as an expression that has to match
// the whole of something. A *Hint says that it is anchored half-way.
func CheckRegexp(re string) error {
	if len(re) > maxExpr {
		return &ValueError{Code: "out-of-range", Msg: "is a regular expression of more than 1000 bytes"}
	}
	if re == "" || strings.ContainsAny(re, "\n") {
		return &ValueError{Msg: "is a regular expression that is empty or has several lines: it goes to the end of the value, so it is the last item"}
	}
	tree, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return &ValueError{Msg: "is not a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	if _, err := syntax.Parse(whole(re), syntax.Perl); err != nil {
		return &ValueError{Msg: `is not a whole regular expression: it leaves something open, as \Q without \E does`}
	}
	if states(tree) > maxStates {
		return &ValueError{Code: "out-of-range", Msg: "is a regular expression with too many repetitions"}
	}
	if strings.HasPrefix(re, "^") && !strings.HasSuffix(re, "$") && !strings.HasSuffix(re, ".*") {
		return &Hint{Msg: "matches the whole value, not its beginning: end it with .* if that was meant"}
	}
	return nil
}

// states estimates how many instructions re compiles to.
func states(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	if re.Op == syntax.OpCharClass {
		n = 1
	}
	for _, sub := range re.Sub {
		n += states(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxStates+1)
}

// Whole compiles re so that it matches only the whole of a text.
func Whole(re string) (*regexp.Regexp, error) { return regexp.Compile(whole(re)) }

func whole(re string) string { return `\A(?:` + re + `)\z` }
