package routing

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// lotCookie keeps a client's lot, so that all of a page comes from one version,
// and so that a larger share takes nobody back.
const lotCookie = "fairlead_lot"

// noLot is the lot of a client that has none.
const noLot = -1

// drawLot returns one of the lots, 0 to spec.Lots-1.
func drawLot() int { return rand.IntN(spec.Lots) }

// lot returns the lot of q's client: that of its cookie, else the one drawn for
// this request, noLot if none is drawn.
func (q *Query) lot() int {
	if q.drawn > 0 {
		return q.drawn - 1
	}
	for _, c := range cookies(q.Header, lotCookie) {
		if n, err := strconv.ParseUint(c.Value, 10, 16); err == nil && n < spec.Lots {
			return int(n)
		}
	}
	if q.Draw == nil {
		return noLot
	}
	q.drawn = q.Draw() + 1
	return q.drawn - 1
}

func cookies(h http.Header, name string) []*http.Cookie {
	return (&http.Request{Header: h}).CookiesNamed(name)
}

// keepLot has the client keep the lot that was drawn for q, if one was. An answer
// that is declared fit for shared caches stays so: a cache that stores cookies too
// would deal the same lot to everybody.
func (q *Query) keepLot(x *exchange.Exchange) {
	if q.drawn == 0 {
		return
	}
	c := http.Cookie{Name: lotCookie, Value: strconv.Itoa(q.drawn - 1), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: x.Scheme == "https"}
	x.OnHeader(func(_ int, h http.Header) {
		if !forSharedCaches(h) {
			h.Add("Set-Cookie", c.String())
		}
	})
}

// forSharedCaches reports whether h has a Cache-Control of public or s-maxage
// (RFC 9111, 5.2.2.9 and 5.2.2.10).
func forSharedCaches(h http.Header) bool {
	for _, list := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(list, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(directive), "=")
			if strings.EqualFold(name, "public") || strings.EqualFold(name, "s-maxage") {
				return true
			}
		}
	}
	return false
}
