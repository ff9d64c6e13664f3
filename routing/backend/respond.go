package backend

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

type respondOptions struct {
	Status int
	Text   string
}

var _ = registerTerminal(terminal[respondOptions]{
	Kind: label.Kind{
		Name: "respond", Section: label.SectionURL, Inherit: label.Own,
		Doc: "Answers without an app.",
	},
	Labels: []label.Def[respondOptions]{{
		Value: label.Value[respondOptions]{Type: "status and text", Form: label.Form{Pattern: `\+?0*[2-5][0-9][0-9](?: [\s\S]*)?`}, Set: func(o *respondOptions, _, text string) error {
			code, body, _ := strings.Cut(text, " ")
			n, err := strconv.Atoi(code)
			if err != nil || n < 200 || n > 599 {
				return &label.ValueError{Msg: "does not begin with a status from 200 to 599"}
			}
			if body != "" && bodiless(n) {
				return &label.ValueError{Msg: "has a text, and " + code + " answers have none"}
			}
			o.Status, o.Text = n, body
			return nil
		}},
		Doc: "Answers with this status and text. The Content-Type is guessed, or set by header.response.Content-Type.", Example: "200 healthy", Nginx: "return 200",
	}},
	Build: func(_ *build.Build, o respondOptions) (http.Handler, error) {
		kind := []string{guessType(o.Text)}
		length := []string{strconv.Itoa(len(o.Text))}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			if !bodiless(o.Status) {
				h["Content-Type"], h["Content-Length"] = kind, length
			}
			w.WriteHeader(o.Status)
			if o.Text != "" && r.Method != http.MethodHead {
				w.Write([]byte(o.Text))
			}
		}), nil
	},
})

// bodiless reports whether answers with this status have no body (RFC 9110 15.3.5,
// 15.3.6, 15.4.5).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

func guessType(text string) string {
	switch {
	case strings.HasPrefix(text, "<"):
		return "text/html; charset=utf-8"
	case text != "" && strings.ContainsRune("{[", rune(text[0])) && json.Valid([]byte(text)):
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}
