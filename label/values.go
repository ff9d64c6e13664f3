package label

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bool reads true, on, yes, 1 and false, off, no, 0 in any case: YAML loaders
// turn off into False.
func Bool[T any](f func(*T) *bool) Value[T] {
	return Value[T]{Type: "bool", Off: true, Form: Form{Words: []string{"true", "false"}, Pattern: BoolPattern}, Set: func(o *T, _, text string) error {
		v, ok := ParseBool(text)
		if !ok {
			return &ValueError{Msg: "is not a bool: write true or false", Suggest: Nearest(text, slices.Values([]string{"true", "false"}))}
		}
		*f(o) = v
		return nil
	}}
}

// ParseBool reads the spellings of Bool.
func ParseBool(text string) (v, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "on", "yes", "1":
		return true, true
	case "false", "off", "no", "0":
		return false, true
	}
	return false, false
}

// Int reads a whole number from lo to hi.
func Int[T any](f func(*T) *int, lo, hi int) Value[T] {
	form := Form{Whole: true, Min: lo, Max: hi, Range: fmt.Sprintf("%d to %d", lo, hi)}
	return Value[T]{Type: "number", Form: form, Set: func(o *T, _, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil {
			return &ValueError{Msg: fmt.Sprintf("is not a number from %d to %d", lo, hi)}
		}
		if n < lo || n > hi {
			return &ValueError{Code: "out-of-range", Msg: fmt.Sprintf("is outside %d to %d", lo, hi)}
		}
		*f(o) = n
		return nil
	}}
}

// Duration reads 250ms, 30s, 1h30m, 7d, 2w, 1y, from lo to hi.
func Duration[T any](f func(*T) *time.Duration, lo, hi time.Duration) Value[T] {
	form := Form{Pattern: DurationPattern, Range: brief(lo) + " to " + brief(hi)}
	return Value[T]{Type: "duration", Form: form, Set: func(o *T, _, text string) error {
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		if d < lo || d > hi {
			return &ValueError{Code: "out-of-range", Msg: "is outside " + form.Range}
		}
		*f(o) = d
		return nil
	}}
}

// brief writes 5m for 5m0s, and 90d for 2160h0m0s.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0"
	case d > day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Text reads any one line that check, if given, accepts.
func Text[T any](f func(*T) *string, check func(string) error) Value[T] {
	return Value[T]{Type: "text", Set: func(o *T, _, text string) error {
		if strings.Contains(text, "\n") {
			return &ValueError{Msg: "is more than one line"}
		}
		if check != nil {
			if err := check(text); err != nil {
				return err
			}
		}
		*f(o) = text
		return nil
	}}
}

// Choice reads one of the words of now; those of later are known and not built yet.
func Choice[T any](f func(*T) *string, now []string, later ...string) Value[T] {
	form := Form{Words: slices.Clone(now), Later: later}
	return Value[T]{Type: strings.Join(append(slices.Clone(now), later...), " | "), Form: form, Set: func(o *T, _, text string) error {
		switch {
		case slices.Contains(now, text):
			*f(o) = text
			return nil
		case slices.Contains(later, text):
			return &ValueError{Code: "not-yet", Msg: "is planned and does not work yet"}
		}
		return &ValueError{Msg: "is not one of " + strings.Join(now, ", "), Suggest: Nearest(text, slices.Values(now))}
	}}
}

// maxItems bounds a list.
const maxItems = 1000

// List reads items separated by commas or lines, each with parse. A *Hint of
// parse keeps its item. The field gets the good items even if others are bad.
func List[T, E any](f func(*T) *[]E, parse func(string) (E, error)) Value[T] {
	return Value[T]{Type: "list", Set: func(o *T, _, text string) error {
		var out []E
		var hint, wrong error
		items := SplitList(text)
		if len(items) == 0 {
			return &ValueError{Msg: "is an empty list"}
		}
		if len(items) > maxItems {
			return &ValueError{Code: "out-of-range", Msg: fmt.Sprintf("has more than %d items", maxItems)}
		}
		for _, item := range items {
			e, err := parse(item)
			switch {
			case err == nil:
				out = append(out, e)
			case isHint(err):
				out, hint = append(out, e), err
			case wrong == nil:
				wrong = named(err, item, len(items))
			}
		}
		*f(o) = out
		if wrong != nil {
			return wrong
		}
		return hint
	}}
}

// named says which of several items err is about.
func named(err error, item string, of int) error {
	var ve *ValueError
	if of == 1 || !errors.As(err, &ve) {
		return err
	}
	return &ValueError{Code: ve.Code, Msg: fmt.Sprintf("item %q %s", Shown(item), ve.Msg), Suggest: ve.Suggest}
}

// SplitList splits at commas and line feeds and trims blanks. An item that
// begins with ~ is a regular expression and goes to the end of the text.
func SplitList(text string) (items []string) {
	for text != "" {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "~") {
			return append(items, text)
		}
		end := strings.IndexAny(text, ",\n")
		if end < 0 {
			end = len(text)
		}
		if item := strings.TrimSpace(text[:end]); item != "" {
			items = append(items, item)
		}
		text = text[min(end+1, len(text)):]
	}
	return items
}
