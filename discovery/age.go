package discovery

import (
	"strconv"
	"strings"
	"time"
)

// A span is a duration told in words: at least lo, less than hi. The zero span
// says nothing.
type span struct{ lo, hi time.Duration }

// upFor reads how long a container has been up from a list's status, "Up 5
// minutes (healthy)". The words are those of go-units' HumanDuration.
func upFor(status string) span {
	s, ok := strings.CutPrefix(status, "Up ")
	if !ok {
		return span{}
	}
	s, _, _ = strings.Cut(s, " (")
	switch s {
	case "Less than a second":
		return span{0, time.Second}
	case "About a minute":
		return span{time.Minute, 2 * time.Minute}
	case "About an hour":
		return span{45 * time.Minute, 2 * time.Hour}
	}
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(number)
	step := units[strings.TrimSuffix(unit, "s")]
	if err != nil || step == 0 || n < 0 || n > 1000 {
		return span{}
	}
	// Hours are rounded, the others cut off: half a step more on either side
	// covers both.
	return span{time.Duration(n)*step - step/2, time.Duration(n+1)*step + step/2}
}

var units = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour,
	"day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "year": 365 * 24 * time.Hour,
}

// agrees reports whether age fits the words, give or take slack.
func (s span) agrees(age, slack time.Duration) bool {
	return s == span{} || age >= s.lo-slack && age < s.hi+slack
}
