package backend

import (
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
)

var defaultTimeouts = exchange.Timeouts{Connect: 5 * time.Second, Response: 5 * time.Minute, Idle: time.Hour, Hold: defaultHold}

var _ = registerForward(forward[exchange.Timeouts]{
	Kind: label.Kind{
		Name: "timeout", Section: label.SectionLoad, Level: label.PerPool, Inherit: label.AsTarget,
		Doc: "How long the parts of an exchange with the app may take.",
	},
	Labels: []label.Def[exchange.Timeouts]{
		{
			Name: "connect", Value: label.Duration(func(t *exchange.Timeouts) *time.Duration { return &t.Connect }, time.Millisecond, time.Minute),
			Default: "5s", Doc: "To open a connection to the app, 1ms to 1m.", Example: "2s", Nginx: "proxy_connect_timeout",
		},
		{
			Name: "response", Value: label.Duration(func(t *exchange.Timeouts) *time.Duration { return &t.Response }, 0, 365*24*time.Hour),
			Default: "5m", Doc: "From the end of the request to the first byte of the answer; 0 waits for ever. Not for upgrades.", Example: "90s", Nginx: "proxy_read_timeout",
		},
		{
			Name: "idle", Value: label.Duration(func(t *exchange.Timeouts) *time.Duration { return &t.Idle }, 0, 365*24*time.Hour),
			Default: "1h", Doc: "Between two bytes once the app answers, or the connection was upgraded; 0 for no limit.", Example: "10m", Nginx: "proxy_read_timeout",
		},
		{
			Name: "request", Value: label.Duration(func(t *exchange.Timeouts) *time.Duration { return &t.Request }, 0, 365*24*time.Hour),
			Doc: "The whole exchange; no limit without it.", Example: "2m",
		},
	},
	Apply: func(p *Proxy, t exchange.Timeouts) {
		t.Hold = p.Timeouts.Hold // which has a label of its own
		p.Timeouts = t
	},
})
