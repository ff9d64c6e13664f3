package spec

import (
	"math"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// A Canary says which requests a route gets of those that other routes of its
// owner match too. The zero value is no canary.
type Canary struct {
	By   string // one of the By… constants
	Name string // of the header, in canonical form, or of the cookie
	Lots int    // with ByLot: how many of Lots
}

// What Canary.By may be.
const (
	ByLot    = "lot"    // clients draw one of Lots, and keep it
	ByHeader = "header" // requests with a header that says yes
	ByCookie = "cookie" // requests with a cookie that says yes
)

// Lots is how many there are: a share may be as fine as 0.01 %.
const Lots = 10_000

// IsSet reports whether c is a canary.
func (c Canary) IsSet() bool { return c.By != "" }

// String writes c as its label does.
func (c Canary) String() string {
	switch c.By {
	case ByLot:
		return Share(c.Lots)
	case ByHeader, ByCookie:
		return c.By + ":" + c.Name
	}
	return ""
}

// Share writes so many of Lots as a percentage: "0.5%".
func Share(lots int) string {
	return strconv.FormatFloat(float64(lots)*100/Lots, 'f', -1, 64) + "%"
}

var _ = register(label.Declare(label.Kind{
	Name: "canary", Section: label.SectionLoad, Slot: label.Match, Level: label.PerRoute, Inherit: label.Own,
	Doc: "A share of the requests for a newer version.",
}, nil, label.Def[Canary]{
	Value: label.Value[Canary]{Type: "percentage, header:NAME or cookie:NAME", Form: label.Form{Pattern: `[0-9.]+ *%|(?:header|cookie):.+`, Range: "0% to 100%"}, Set: func(c *Canary, _, text string) (err error) {
		*c, err = parseCanary(text)
		return err
	}},
	Doc: "What this route gets of the requests that another route of the same project matches too, by host, path, conditions and priority; that one gets the rest. " +
		"`10%`, in steps of 0.01%: so many clients, told apart by the cookie `fairlead_lot`, so that a browser stays on its side; a client without cookies draws anew for each request, and an answer with `Cache-Control: public` or `s-maxage` sets no cookie. `0%`: nothing, as long as there is another route. " +
		"`header:NAME`, `cookie:NAME`: the requests with this header or cookie, unless it is empty or says `false`, `off`, `no` or `0`; they come before percentages. Who has no ready endpoint is passed over.",
	Example: "10%", Nginx: "split_clients",
}))

func parseCanary(text string) (Canary, error) {
	by, name, named := strings.Cut(text, ":")
	switch {
	case !named:
		return parseShare(text)
	case by != ByHeader && by != ByCookie:
		wrong := &label.ValueError{Msg: "is neither a share such as 10% nor header:NAME or cookie:NAME"}
		if near := label.Nearest(by, slices.Values([]string{ByHeader, ByCookie})); near != "" {
			wrong.Suggest = near + ":" + name
		}
		return Canary{}, wrong
	}
	// A cookie's name is a token too (RFC 6265 4.1.1).
	if !token.MatchString(name) {
		wrong := &label.ValueError{Msg: "does not end with the name of a " + by}
		if before, _, ok := strings.Cut(name, "="); ok && token.MatchString(before) {
			wrong.Msg, wrong.Suggest = "names a "+by+" with a value: any value counts but an empty one and a no", by+":"+before
		}
		return Canary{}, wrong
	}
	if by == ByHeader {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	return Canary{By: by, Name: name}, nil
}

func parseShare(text string) (Canary, error) {
	number, percent := strings.CutSuffix(text, "%")
	digits, negative := strings.CutPrefix(strings.TrimSpace(number), "-")
	share, err := strconv.ParseFloat(digits, 64)
	lots := math.Round(share * Lots / 100)
	switch {
	case err != nil || strings.Trim(digits, "0123456789.") != "":
		return Canary{}, &label.ValueError{Msg: "is neither a share such as 10% nor header:NAME or cookie:NAME"}
	case negative || share > 100:
		return Canary{}, &label.ValueError{Code: "out-of-range", Msg: "is outside 0% to 100%"}
	case !percent:
		return Canary{}, &label.ValueError{Msg: "has no unit", Suggest: digits + "%"}
	case math.Abs(share*Lots/100-lots) > 1e-6:
		return Canary{}, &label.ValueError{Msg: "is finer than 0.01%", Suggest: Share(max(1, int(lots)))}
	}
	return Canary{By: ByLot, Lots: int(lots)}, nil
}
