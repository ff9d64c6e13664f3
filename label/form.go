package label

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A Form is what a value looks like: what an editor can tell of it without
// reading it. It may let pass what Set refuses, never the other way round. The
// zero Form is any text.
type Form struct {
	// Words are values to be offered, without "off" where that means the default.
	// Unless there is a Pattern or Whole, they are all.
	Words []string
	// Later are words that are known and not built yet.
	Later []string
	// Pattern is what else the value can be, without blanks around it, as an
	// expression that RE2 and ECMA 262 read alike.
	Pattern string
	// Whole says that the value is a whole number from Min to Max.
	Whole    bool
	Min, Max int
	// Range is which values count, for people: "1ms to 1m". It is "" if all do.
	Range string
}

// Patterns for a Form.
const (
	DurationPattern = `0|(?:(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w|y))+`
	offPattern      = `[oO][fF][fF]|[fF][aA][lL][sS][eE]` // isOff
)

// BoolPattern matches what ParseBool reads.
var BoolPattern = AnyCase("true") + "|" + AnyCase("on") + "|" + AnyCase("yes") + "|1|" + AnyCase("false") + "|" + AnyCase("off") + "|" + AnyCase("no") + "|0"

// AnyCase returns a pattern of word with each letter in either case. Word has
// no letters that are not meant themselves, and no brackets.
func AnyCase(word string) string {
	var b strings.Builder
	for _, r := range word {
		if low, up := unicode.ToLower(r), unicode.ToUpper(r); low < unicode.MaxASCII && low != up {
			b.WriteString("[" + string(low) + string(up) + "]")
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// open reports whether any text may be right.
func (f Form) open() bool { return len(f.Words) == 0 && f.Pattern == "" && !f.Whole }

// pattern returns the expression of the whole value, "" if any text may be right.
// Any label may be off.
func (f Form) pattern() string {
	if f.open() {
		return ""
	}
	var either []string
	for _, word := range f.Words {
		either = append(either, literal(word))
	}
	if f.Pattern != "" {
		either = append(either, f.Pattern)
	}
	if f.Whole {
		either = append(either, wholePattern(f.Min, f.Max))
	}
	return strings.Join(append(either, offPattern), "|")
}

// literal returns the pattern of text itself. It escapes no more than it must:
// ECMA 262 with the flag u refuses needless escapes.
func literal(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(`\.+*?()|[]{}^$/`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// wholePattern returns the pattern of a whole number from lo to hi, as
// strconv.Atoi reads it.
func wholePattern(lo, hi int) string {
	var either []string
	if hi >= 0 {
		either = append(either, `\+?0*(?:`+digits(max(lo, 0), hi)+`)`)
	}
	if lo <= 0 {
		either = append(either, `-0*(?:`+digits(max(-hi, 0), -lo)+`)`)
	}
	return strings.Join(either, "|")
}

// digits returns the pattern of the numbers from lo, 0 at least, to hi, without
// zeros in front.
func digits(lo, hi int) string {
	var either []string
	for n := len(strconv.Itoa(lo)); n <= len(strconv.Itoa(hi)); n++ {
		first, last := "1"+strings.Repeat("0", n-1), strings.Repeat("9", n)
		if n == 1 {
			first = "0"
		}
		if n == len(strconv.Itoa(lo)) {
			first = strconv.Itoa(lo)
		}
		if n == len(strconv.Itoa(hi)) {
			last = strconv.Itoa(hi)
		}
		either = append(either, between(first, last))
	}
	return strings.Join(either, "|")
}

// between returns the pattern of the numbers from lo to hi, of as many digits.
func between(lo, hi string) string {
	n := len(lo)
	switch {
	case lo == hi:
		return lo
	case strings.Trim(lo, "0") == "" && strings.Trim(hi, "9") == "":
		return strings.Repeat("[0-9]", n)
	case lo[0] == hi[0]:
		return lo[:1] + "(?:" + between(lo[1:], hi[1:]) + ")"
	case n == 1:
		return "[" + lo + "-" + hi + "]"
	}
	from, to := lo[0], hi[0]
	var either []string
	if strings.Trim(lo[1:], "0") != "" {
		either = append(either, lo[:1]+"(?:"+between(lo[1:], strings.Repeat("9", n-1))+")")
		from++
	}
	if strings.Trim(hi[1:], "9") != "" {
		either = append(either, hi[:1]+"(?:"+between(strings.Repeat("0", n-1), hi[1:])+")")
		to--
	}
	if from <= to {
		either = append(either, fmt.Sprintf("[%c-%c]", from, to)+strings.Repeat("[0-9]", n-1))
	}
	slices.Sort(either)
	return strings.Join(either, "|")
}
