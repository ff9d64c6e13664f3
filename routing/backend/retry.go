package backend

import "github.com/fairlead/fairlead/label"

type retryOptions struct{ Further int }

// defaultRetry: a service that is scaled down by two loses both at once.
const defaultRetry = 2

var _ = registerForward(forward[retryOptions]{
	Kind: label.Kind{
		Name: "retry", Section: label.SectionLoad, Level: label.PerRoute, Inherit: label.AsTarget,
		Doc: "Requests are tried on other containers.",
	},
	Labels: []label.Def[retryOptions]{{
		Value:   label.Int(func(o *retryOptions) *int { return &o.Further }, 0, 10),
		Default: "2", Doc: "How many further containers a request is tried on, 0 to 10: always after a failed connect; after a broken connection, or an answer 502, 503 or 504, only if its method is idempotent and its body can be sent again. What was sent is sent again for at most a fifth of the requests.", Example: "1", Nginx: "proxy_next_upstream, proxy_next_upstream_tries",
	}},
	Apply: func(p *Proxy, o retryOptions) { p.Further = o.Further },
})
