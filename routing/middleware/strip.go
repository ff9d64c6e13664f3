package middleware

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/spec"
)

type stripOptions struct {
	On     bool
	Prefix string // "" for the matched one
}

var _ = Register(Kind[stripOptions]{
	Kind: label.Kind{
		Name: "strip", Section: label.SectionURL, Order: OrderRewrite, Inherit: label.Own,
		Doc: "Removes a leading path before the request goes on.",
	},
	Labels: []label.Def[stripOptions]{{
		Value: label.Value[stripOptions]{Type: "bool or prefix", Off: true, Form: label.Form{Words: []string{"true", "false"}, Pattern: label.BoolPattern + `|/[^?#* \n]*`}, Set: func(o *stripOptions, _, text string) error {
			if on, ok := label.ParseBool(text); ok {
				o.On = on
				return nil
			}
			if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "?#* \n") {
				return &label.ValueError{Msg: "is neither true, false nor a path such as /api"}
			}
			o.On, o.Prefix = true, strings.TrimRight(text, "/")
			return nil
		}},
		Doc:     "Removes the matched prefix (or the one given), sends it as X-Forwarded-Prefix, and puts it back into the answer's Location and cookie paths. Not with a regex path.",
		Example: "true", Nginx: "proxy_pass with a URI",
	}},
	Build: buildStrip,
})

func buildStrip(b *build.Build, o stripOptions, next http.Handler) (http.Handler, error) {
	if !o.On {
		return next, nil
	}
	if slices.ContainsFunc(b.Route.Matches, func(m spec.HostPath) bool { return m.Path.Kind == spec.PathRegexp }) && o.Prefix == "" {
		return nil, &label.ValueError{Code: "exclusive", Msg: "cannot be true with a ~regex path, which has no prefix: use rewrite, or name the prefix"}
	}
	return &strip{prefix: o.Prefix, restore: b.Route.Pool != "", next: next}, nil
}

type strip struct {
	prefix string
	// restore: an app answers, which does not know of the prefix. A redirect of
	// the route itself leads where its label says.
	restore bool
	next    http.Handler
}

func (s *strip) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange.Of(r)
	prefix := s.prefix
	if prefix == "" {
		prefix = strings.TrimRight(x.Matched, "/")
	}
	rest, ok := strings.CutPrefix(exchange.Path(r), prefix)
	if prefix == "" || !ok || rest != "" && rest[0] != '/' {
		s.next.ServeHTTP(w, r)
		return
	}
	if rest == "" {
		rest = "/"
	}
	r2 := exchange.Rewrite(r, rest)
	r2.Header.Set("X-Forwarded-Prefix", r.Header.Get("X-Forwarded-Prefix")+prefix)
	if s.restore {
		x.OnHeader(func(_ int, h http.Header) { restorePrefix(h, prefix, r.Host) })
	}
	s.next.ServeHTTP(w, r2)
}

// restorePrefix puts prefix back where the app, which does not know of it,
// names one of its own paths. What has the prefix already is left alone: some
// apps read X-Forwarded-Prefix.
func restorePrefix(h http.Header, prefix, host string) {
	if loc := h.Get("Location"); loc != "" {
		h.Set("Location", restoreLocation(loc, prefix, host))
	}
	for i, c := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = restoreCookie(c, prefix)
	}
}

// restoreLocation puts prefix into loc if that leads to host. It does not use
// net/url, which would write the rest anew.
func restoreLocation(loc, prefix, host string) string {
	scheme, rest, absolute := strings.Cut(loc, "//")
	switch scheme = strings.ToLower(scheme); {
	case absolute && (scheme == "" || scheme == "http:" || scheme == "https:"):
		at := strings.IndexAny(rest, "/?#")
		if at < 0 {
			at = len(rest)
		}
		if !strings.EqualFold(rest[:at], host) {
			return loc
		}
		return loc[:len(loc)-len(rest)+at] + withPrefix("/"+strings.TrimPrefix(rest[at:], "/"), prefix)
	case strings.HasPrefix(loc, "/"):
		return withPrefix(loc, prefix)
	}
	return loc // relative to where the client is, or somewhere else
}

func withPrefix(path, prefix string) string {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
		return path
	}
	return prefix + path
}

// restoreCookie changes the Path attribute of one Set-Cookie value (RFC 6265
// 4.1.2.4). A __Host- cookie is one for the whole host and would be refused with
// any other path (RFC 6265bis 4.1.3.2).
func restoreCookie(cookie, prefix string) string {
	if len(cookie) > 7 && strings.EqualFold(cookie[:7], "__Host-") {
		return cookie
	}
	parts := strings.Split(cookie, ";")
	for i, part := range parts[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "path") || !strings.HasPrefix(value, "/") {
			continue
		}
		path := withPrefix(value, prefix)
		if value == "/" {
			path = prefix // "/api" is sent for /api and all below it, "/api/" not for /api
		}
		parts[i+1] = " Path=" + path
	}
	return strings.Join(parts, ";")
}
