package backend

import (
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
)

type hostHeaderOptions struct{ Value string }

var _ = registerForward(forward[hostHeaderOptions]{
	Kind: label.Kind{
		Name: "host-header", Section: label.SectionTarget, Level: label.PerRoute, Inherit: label.AsTarget,
		Doc: "The Host sent to the app.",
	},
	Labels: []label.Def[hostHeaderOptions]{{
		Value: label.Text(func(o *hostHeaderOptions) *string { return &o.Value }, func(text string) error {
			if _, _, ok := exchange.ParseHost(text); !ok {
				return &label.ValueError{Msg: "is neither client, upstream nor a host such as app.internal or app.internal:8080"}
			}
			return nil
		}),
		Default: "client", Doc: "`client` sends the Host the client used, `upstream` the address of the container or the host of `url`, anything else is sent as it is.", Example: "upstream", Nginx: "proxy_set_header Host",
	}},
	Apply: func(p *Proxy, o hostHeaderOptions) { p.HostHeader = o.Value },
})
