package upstream

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
)

type stickyOptions struct {
	On     bool
	Cookie string // "" for one named after the pool
}

var cookieName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$") // RFC 6265 4.1.1

var _ = register(label.Kind{
	Name: "sticky", Level: label.PerPool,
	Doc: "Keeps a client on one container.",
}, nil, label.Def[stickyOptions]{
	Value: label.Value[stickyOptions]{Type: "bool or cookie name", Off: true, Form: label.Form{Words: []string{"true", "false"}, Pattern: "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}"}, Set: func(o *stickyOptions, _, text string) error {
		if on, ok := label.ParseBool(text); ok {
			*o = stickyOptions{On: on}
			return nil
		}
		if !cookieName.MatchString(text) {
			return &label.ValueError{Msg: "is neither a bool nor the name of a cookie"}
		}
		*o = stickyOptions{true, text}
		return nil
	}},
	Default: "off", Doc: "Sends a client where its first request went, by a signed cookie that says nothing about the container: HttpOnly, SameSite=Lax, and Secure over HTTPS. A client whose container is gone is sent to another.", Example: "true", Nginx: "sticky cookie",
})

// sticky is the stickiness of one view.
type sticky struct {
	cookie string
	by     map[string]*endpoint // by token: those of the best tier
}

// newSticky returns the stickiness that o asks for among eps, nil for none.
func newSticky(o stickyOptions, p *Pool, eps []*endpoint) *sticky {
	if !o.On {
		return nil
	}
	s := &sticky{cookie: o.Cookie, by: make(map[string]*endpoint, len(eps))}
	if s.cookie == "" {
		// Two pools below one host have a cookie each.
		sum := sha256.Sum256([]byte(p.key))
		s.cookie = "fairlead_" + hex.EncodeToString(sum[:4])
	}
	for _, e := range eps {
		s.by[e.token] = e
	}
	return s
}

// tokenOf is what a cookie holds for an endpoint: nobody without the key can
// make one, or read from it which container is meant.
func tokenOf(key []byte, pool, endpoint string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(pool + "\x00" + endpoint))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// of returns the endpoint that r's cookie names, nil without a valid one.
func (s *sticky) of(r *http.Request) *endpoint {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.TrimLeft(pair, " "), "=")
			if name == s.cookie {
				if e := s.by[value]; e != nil {
					return e
				}
			}
		}
	}
	return nil
}

// keep has the client of r come back to e.
func (s *sticky) keep(r *http.Request, resp *http.Response, e *endpoint) {
	if s.of(r) == e || s.by[e.token] != e {
		return
	}
	c := http.Cookie{Name: s.cookie, Value: e.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if x, ok := exchange.Find(r); ok {
		c.Secure = x.Scheme == "https"
	}
	resp.Header.Add("Set-Cookie", c.String())
}
