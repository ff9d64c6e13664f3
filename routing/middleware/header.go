package middleware

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

// A headerSetting is one header to set, or to delete.
type headerSetting struct {
	Name, Text string
	Delete     bool
}

type headerOptions struct{ Request, Response []headerSetting }

var _ = Register(Kind[headerOptions]{
	Kind: label.Kind{
		Name: "header", Section: label.SectionPolicy, Order: OrderHeader, Inherit: label.AsPolicy,
		Doc: "Sets and deletes headers.",
	},
	Labels: []label.Def[headerOptions]{
		{
			Name: "request.*", Key: "X-Client", Value: headerValue(func(o *headerOptions) *[]headerSetting { return &o.Request }),
			Doc: "A header sent to the app instead of the client's; `off` deletes it. Placeholders: {client-ip} {host} {scheme} {port} {request-id}.", Example: "{client-ip}", Nginx: "proxy_set_header",
		},
		{
			Name: "response.*", Key: "X-Frame-Options", Value: headerValue(func(o *headerOptions) *[]headerSetting { return &o.Response }),
			Doc: "A header of the answer, instead of the app's; `off` deletes it. The same placeholders.", Example: "DENY", Nginx: "add_header, proxy_hide_header",
		},
	},
	Build: buildHeader,
})

// framing are fields that say where a message ends or who holds the
// connection: setting one would make a message with two readings.
var framing = []string{"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func headerValue(f func(*headerOptions) *[]headerSetting) label.Value[headerOptions] {
	return label.Value[headerOptions]{Type: "text, or off", Off: true, Set: func(o *headerOptions, name, text string) error {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name):
			return &label.ValueError{Msg: "does not name a header"}
		case slices.Contains(framing, canonical):
			return &label.ValueError{Msg: canonical + " belongs to the connection and cannot be set"}
		case canonical == "Host":
			return &label.ValueError{Msg: "the Host sent upstream is set with host-header"}
		case strings.ContainsAny(text, "\r\n\x00"):
			return &label.ValueError{Msg: "is more than one line"}
		}
		list := f(o)
		off := strings.EqualFold(text, "off") || strings.EqualFold(text, "false")
		*list = append(*list, headerSetting{Name: canonical, Text: text, Delete: off})
		return nil
	}}
}

// isToken reports whether s is a token of RFC 9110 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func buildHeader(_ *build.Build, o headerOptions, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.Of(r)
		for _, s := range o.Request {
			s.apply(r.Header, x)
		}
		if len(o.Response) > 0 {
			x.OnHeader(func(_ int, h http.Header) { answer(h, o.Response, x) })
		}
		next.ServeHTTP(w, r)
	}), nil
}

// answer applies settings to the header of an answer. A page of the proxy's own,
// which stands for the app's answer, says itself what it consists of.
func answer(h http.Header, settings []headerSetting, x *exchange.Exchange) {
	for _, s := range settings {
		if x.Code != "" && slices.Contains(content, s.Name) {
			continue
		}
		s.apply(h, x)
	}
}

// content are fields that describe a body.
var content = []string{"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type"}

func (s *headerSetting) apply(h http.Header, x *exchange.Exchange) {
	if s.Delete {
		h[s.Name] = nil // present and empty, so that net/http adds no Date or Content-Type of its own
		return
	}
	h[s.Name] = []string{x.Expand(s.Text)}
}
