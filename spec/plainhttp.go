package spec

import "github.com/fairlead/fairlead/label"

// What Route.PlainHTTP may be.
const (
	PlainDefault  = "" // redirect where a certificate that clients trust is to be expected, else serve
	PlainRedirect = "redirect"
	PlainServe    = "serve"
	PlainRefuse   = "refuse"
)

type plainOptions struct{ Policy string }

var _ = register(label.Declare(label.Kind{
	Name: "http", Section: label.SectionURL, Slot: label.TLS, Inherit: label.AsPolicy, FailClosed: true,
	Doc: "What requests over plain HTTP get.",
}, nil, label.Def[plainOptions]{
	Value:   label.Choice(func(o *plainOptions) *string { return &o.Policy }, []string{PlainRedirect, PlainServe, PlainRefuse}),
	Doc:     "`redirect`: sent to HTTPS, with 307 until a trusted certificate is served and 308 from then on; the default for public names and for hosts with a certificate of their own. `serve`: served; the default for names of the internal authority and with `tls=off`, not together with `tls.client-ca`. `refuse`: 403. Where no HTTPS listener is open, `redirect` serves.",
	Example: "serve", Nginx: "return 308 https://$host$request_uri",
}))

// withoutRedirect takes an inherited redirect to HTTPS from a route that says
// itself that it has none.
func withoutRedirect(opts label.Options, own map[string]label.Setting) {
	tls, _ := label.Get[TLSPolicy](opts, "tls")
	plain, _ := label.Get[plainOptions](opts, "http")
	if tls.Mode == TLSOff && own["tls"].Counts() && plain.Policy == PlainRedirect && !own["http"].Counts() {
		delete(opts, "http")
	}
}
