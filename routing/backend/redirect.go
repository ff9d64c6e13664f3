package backend

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/spec"
)

type redirectOptions struct {
	Status int
	Target string
}

var _ = registerTerminal(terminal[redirectOptions]{
	Kind: label.Kind{
		Name: "redirect", Section: label.SectionURL, Inherit: label.Own,
		Doc: "Sends the client elsewhere.",
	},
	Labels: []label.Def[redirectOptions]{{
		Value: label.Value[redirectOptions]{Type: "[status] URL or path", Form: label.Form{Pattern: `(?:30[12378] \s*)?(?:\/|https?:\/\/|\{uri\}|\{path\})\S*`}, Set: parseRedirect},
		Doc:   "Redirects, with 308 unless another of 301, 302, 303, 307 is given. Placeholders: {host} {path} {query} {uri}, and {1} … of a ~regex path. The query is kept unless {query}, {uri} or a ? is named.",
		// The example keeps path and query, as most people want.
		Example: "301 https://new.example.com{uri}", Nginx: "return 301",
	}},
	Build: func(b *build.Build, o redirectOptions) (http.Handler, error) {
		h := &redirect{redirectOptions: o}
		for _, m := range b.Route.Matches {
			if m.Path.Kind == spec.PathRegexp {
				re, err := label.Whole(m.Path.Text)
				if err != nil {
					return nil, err
				}
				h.paths = append(h.paths, re)
			}
		}
		return h, nil
	},
})

func parseRedirect(o *redirectOptions, _, text string) error {
	o.Status, o.Target = http.StatusPermanentRedirect, text
	if code, rest, ok := strings.Cut(text, " "); ok {
		n, err := strconv.Atoi(code)
		if err != nil || !strings.Contains(" 301 302 303 307 308 ", " "+code+" ") {
			return &label.ValueError{Msg: "does not begin with one of 301, 302, 303, 307, 308 and a blank"}
		}
		o.Status, o.Target = n, strings.TrimSpace(rest)
	}
	if m := groupEndsHost.FindStringSubmatch(o.Target); m != nil {
		return &label.ValueError{Msg: m[2] + " right behind the host could make it another host", Suggest: m[1] + "/" + strings.TrimPrefix(o.Target, m[1])}
	}
	for _, begin := range []string{"/", "http://", "https://", "{uri}", "{path}"} {
		if strings.HasPrefix(o.Target, begin) && !strings.ContainsAny(o.Target, " \n\t\\") {
			return nil
		}
	}
	return &label.ValueError{Msg: "does not lead to a path or to http://… or https://…", Suggest: "https://" + strings.TrimLeft(o.Target, "/ ")}
}

// groupEndsHost matches a target whose host, as written, goes on with what the
// client wrote: https://example.com{1} leads to example.com.evil.test.
var groupEndsHost = regexp.MustCompile(`^(https?://[^/?#{]+)(\{\d+\})([/?#{]|$)`)

type redirect struct {
	redirectOptions
	paths []*regexp.Regexp
}

func (h *redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", h.location(r))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(h.Status)
}

func (h *redirect) location(r *http.Request) string {
	x := exchange.Of(r)
	path, query, _ := strings.Cut(r.RequestURI, "?")
	pairs := []string{"{host}", x.Host, "{path}", path, "{query}", query, "{uri}", r.RequestURI}
	for _, re := range h.paths {
		if m := re.FindStringSubmatch(path); m != nil {
			for i, group := range m[1:] {
				pairs = append(pairs, "{"+strconv.Itoa(i+1)+"}", group)
			}
			break
		}
	}
	to := strings.NewReplacer(pairs...).Replace(h.Target)
	if query != "" && !strings.ContainsAny(h.Target, "?") && !strings.Contains(h.Target, "{query}") && !strings.Contains(h.Target, "{uri}") {
		before, fragment, found := strings.Cut(to, "#")
		if to = before + "?" + query; found {
			to += "#" + fragment
		}
	}
	switch own := strings.HasPrefix(h.Target, "//"); {
	case own:
		return x.Scheme + ":" + withPort(to, x.Scheme, x.Port)
	case strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`):
		// A path of the client's that begins with // would name another host.
		return "/" + strings.TrimLeft(to, `/\`)
	}
	return to
}

// withPort adds the port the client used to //host/… unless it is the scheme's.
func withPort(to, scheme, port string) string {
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return to
	}
	host, rest, found := strings.Cut(to[2:], "/")
	if strings.Contains(host, ":") && !strings.HasSuffix(host, "]") {
		return to
	}
	if found {
		rest = "/" + rest
	}
	return "//" + host + ":" + port + rest
}
