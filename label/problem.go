package label

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Problem is something wrong with what a user wrote, worded for that user. It
// is data, not an error: problems are collected and nothing stops for them.
type Problem struct {
	Code      string `json:"code"`                // stable: "unknown-label"
	Container string `json:"container,omitempty"` // or the entry of the routes file
	Route     string `json:"route,omitempty"`     // id of the route concerned, "" for the whole container
	Label     string `json:"label,omitempty"`     // as written
	Value     string `json:"value,omitempty"`     // as written, cut at 120 bytes
	Message   string `json:"message"`
	Suggest   string `json:"suggest,omitempty"` // the nearest valid name or value
	Fix       string `json:"fix,omitempty"`     // the line to write
	Effect    Effect `json:"effect"`
	// Kind is the label's, or that of the label it was most likely meant to be.
	Kind string `json:"-"`
}

// Effect is what a problem costs.
type Effect string

const (
	Ignored          Effect = "label ignored"
	Refused          Effect = "route refused"
	ContainerRefused Effect = "container refused"
	Unrouted         Effect = "no endpoint"   // the route stays and answers 503 for this container
	FileRefused      Effect = "file refused"  // Compose does not read it
	Changed          Effect = "value changed" // the container gets another value than its file says
	Hinted           Effect = "hint"          // nothing: it works, and probably not as meant
)

// maxShown bounds what of a user's value is shown again, in bytes.
const maxShown = 120

// Shown returns text as a message may repeat it: bounded, valid UTF-8, and
// without control characters, which could forge a line of a log or command a
// terminal. Line feeds and tabs become blanks.
func Shown(text string) string {
	if len(text) > maxShown {
		end := maxShown
		for end > maxShown-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Container)
	if p.Label != "" {
		b.WriteString(": " + p.Label)
		if p.Value != "" {
			b.WriteString("=" + strconv.Quote(p.Value))
		}
	}
	b.WriteString(": " + p.Message)
	if p.Suggest != "" {
		b.WriteString("; did you mean " + strconv.Quote(p.Suggest) + "?")
	}
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String() + " [" + p.Code + ", " + string(p.Effect) + "]"
}

// A ValueError says what is wrong with a value.
type ValueError struct {
	Code    string // "wrong-value" if empty
	Msg     string
	Suggest string
}

func (e *ValueError) Error() string { return e.Msg }

// A Hint is no error: the value counts, and is probably not what was meant.
type Hint struct{ Msg string }

func (h *Hint) Error() string { return h.Msg }

// explain turns err into p's code, message and suggestion, and reports whether
// the value counts nevertheless.
func (p *Problem) explain(err error) (usable bool) {
	p.Code, p.Message = "wrong-value", err.Error()
	var ve *ValueError
	var hint *Hint
	switch {
	case errors.As(err, &hint):
		p.Code, p.Effect = "hint", Hinted
		return true
	case errors.As(err, &ve):
		p.Suggest = ve.Suggest
		if ve.Code != "" {
			p.Code = ve.Code
		}
	}
	return false
}

// validText reports whether s is UTF-8 without control characters other than
// tab and line feed.
func validText(s string) bool {
	return utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) < 0
}

func isHint(err error) bool {
	var hint *Hint
	return errors.As(err, &hint)
}
