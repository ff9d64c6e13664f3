package middleware

import (
	"net/http"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
)

type addPrefixOptions struct{ Prefix string }

var _ = Register(Kind[addPrefixOptions]{
	Kind: label.Kind{
		Name: "add-prefix", Section: label.SectionURL, Order: OrderRewrite + 10, Inherit: label.Own,
		Doc: "Puts a path in front before the request goes on.",
	},
	Labels: []label.Def[addPrefixOptions]{{
		Value: label.Text(func(o *addPrefixOptions) *string { return &o.Prefix }, func(text string) error {
			if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "?#* ") || strings.Contains(text, "..") {
				return &label.ValueError{Msg: "is not a path such as /app"}
			}
			return nil
		}),
		Doc: "A path put in front of the request's, after `strip`.", Example: "/app", Nginx: "proxy_pass with a URI",
	}},
	Build: func(_ *build.Build, o addPrefixOptions, next http.Handler) (http.Handler, error) {
		prefix := strings.TrimRight(o.Prefix, "/")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, exchange.Rewrite(r, prefix+exchange.Path(r)))
		}), nil
	},
})
