package files

import (
	"math"
	"strings"
)

// mostParts is how many parts of a file one answer may have. Many tiny or the same
// ones were a way to keep servers busy (CVE-2011-3192).
const mostParts = 16

// A span is a part of a file, in bytes.
type span struct{ start, length int64 }

// readRange reads the value of Range (RFC 9110, 14.2) for a file of size bytes.
// ok is false where none of it can be satisfied. Without spans, all of the file is
// the answer: the unit is not ours, or what is asked for is no less.
func readRange(value string, size int64) (spans []span, ok bool) {
	const unit = "bytes="
	if size == 0 { // some clients always ask for what begins at 0
		return nil, true
	}
	if len(value) < len(unit) || !strings.EqualFold(value[:len(unit)], unit) {
		return nil, true
	}
	var sum int64
	items := 0
	for item := range strings.SplitSeq(value[len(unit):], ",") {
		if item = strings.Trim(item, " \t"); item == "" {
			continue
		}
		if items++; items > mostParts {
			return nil, true
		}
		s, fits, valid := readSpan(item, size)
		switch {
		case !valid:
			return nil, false
		case !fits:
			continue
		}
		spans = append(spans, s)
		sum += s.length
	}
	switch {
	case len(spans) > 0 && sum <= size:
		return spans, true
	case len(spans) > 0:
		return nil, true
	}
	return nil, false
}

// readSpan reads one range. fits is false for one that has nothing of the file.
func readSpan(item string, size int64) (s span, fits, valid bool) {
	from, to, dashed := strings.Cut(item, "-")
	from, to = strings.Trim(from, " \t"), strings.Trim(to, " \t")
	first, hasFirst := number(from)
	last, hasLast := number(to)
	switch {
	case !dashed || from != "" && !hasFirst || to != "" && !hasLast || !hasFirst && !hasLast || hasFirst && hasLast && last < first:
		return s, false, false
	case !hasFirst:
		n := min(last, size)
		return span{size - n, n}, n > 0, true
	case first >= size:
		return s, false, true
	case !hasLast || last >= size:
		last = size - 1
	}
	return span{first, last - first + 1}, true, true
}

// number reads digits. What is too large for anything is as large as can be.
func number(text string) (n int64, ok bool) {
	for i := 0; i < len(text); i++ {
		c := int64(text[i]) - '0'
		switch {
		case c < 0 || c > 9:
			return 0, false
		case n > (math.MaxInt64-c)/10:
			n = math.MaxInt64
		case n < math.MaxInt64:
			n = n*10 + c
		}
	}
	return n, text != ""
}
