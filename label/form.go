package label

import (
	"regexp"
	"slices"
	"strings"
)

// A Form is what the values of a label look like, for editors, which know JSON
// Schema and nothing of us. It may let through what Value.Set refuses, never the
// other way round.
type Form struct {
	Pattern string   // a regular expression of the whole value, in what RE2 and ECMAScript share; "" for any text
	Choices []string // to complete by; nil if there are none
	Lo, Hi  int      // of a whole number, if they differ
}

var (
	boolForm     = Form{Pattern: anyCase("true", "on", "yes", "1", "false", "off", "no", "0"), Choices: []string{"true", "false"}}
	durationForm = Form{Pattern: `0|(?:(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w|y))+`}
)

func numberForm(lo, hi int) Form { return Form{Pattern: `[+-]?[0-9]+`, Lo: lo, Hi: hi} }

func choiceForm(words []string) Form {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, regexp.QuoteMeta(w))
	}
	return Form{Pattern: strings.Join(quoted, "|"), Choices: slices.Clone(words)}
}

// anyCase returns an expression of words in any case: ECMAScript has no (?i).
func anyCase(words ...string) string {
	var out []string
	for _, w := range words {
		expr := ""
		for _, r := range w {
			if low, up := strings.ToLower(string(r)), strings.ToUpper(string(r)); low != up {
				expr += "[" + up + low + "]"
			} else {
				expr += string(r)
			}
		}
		out = append(out, expr)
	}
	return strings.Join(out, "|")
}
