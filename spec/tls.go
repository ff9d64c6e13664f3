package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// What TLSPolicy.Mode may be.
const (
	TLSAuto     = ""         // a covering file, else whoever vouches for such names
	TLSInternal = "internal" // the internal authority
	TLSOff      = "off"      // not served over TLS at all
	TLSFile     = "file"     // Cert and Key
)

// TLSPolicy is what a host asks of TLS. The zero value is the default policy.
type TLSPolicy struct {
	Mode       string // one of TLSAuto, TLSInternal, TLSOff, TLSFile
	Cert, Key  string // with TLSFile: references to secrets, "file:/run/secrets/app.pem" or "env:FAIRLEAD_SECRET_CERT"
	MinVersion string // "1.3"; "" is 1.2
	ClientCA   string // reference to a secret: who must have signed client certificates; "" asks for none
}

// Connection returns the part of p that a connection is held to. Hosts in which
// it differs never share a connection or a session; which certificate is shown
// is no part of it.
func (p TLSPolicy) Connection() TLSPolicy {
	return TLSPolicy{MinVersion: p.MinVersion, ClientCA: p.ClientCA}
}

// A TLSHost is a host pattern that routes serve, and what it asks of TLS.
type TLSHost struct {
	Host             Host
	Policy           TLSPolicy
	Route, Container string // whose policy it is
	Refused          bool   // every route of it is refused: nothing is ordered for it
}

// Standing is what is to be expected of HTTPS for a host.
type Standing uint8

const (
	Untrusted Standing = iota // a certificate of the internal authority, or none
	Expected                  // one that clients trust is on its way
	Trusted                   // one that clients trust, without having installed anything, is served
)

var _ = register(label.Declare(label.Kind{
	Name: "tls", Section: label.SectionTLS, Slot: label.TLS, Inherit: label.AsPolicy, FailClosed: true,
	Doc: "Where the certificate comes from, and what is asked of clients.",
}, checkTLS,
	label.Def[TLSPolicy]{
		Value:   label.Value[TLSPolicy]{Type: "auto | internal | off | file:CERT,KEY", Off: true, Form: label.Form{Words: []string{"auto", TLSInternal, TLSOff}, Pattern: `(?:file|env):.*`}, Set: parseTLS},
		Default: "auto", Example: "file:/run/secrets/app.pem,/run/secrets/app.key", Nginx: "ssl_certificate",
		Doc: "`auto`: a file of another route that covers the host, else an ACME authority for public names and the internal one for private addresses, `localhost`, and names below `localhost`, `local`, `internal`, `home.arpa`, `test`, `--internal-names` and a `--domain` that is not public. `internal`: the internal authority. `off`: no HTTPS, and on a named route none of the main route's `tls.*`. `file:`: a certificate (PEM, with its chain) and its key below `--secrets-dir`, read again when they change; `env:FAIRLEAD_SECRET_…` for either.",
	},
	label.Def[TLSPolicy]{
		Name: "min-version", Value: label.Value[TLSPolicy]{Type: "1.2 | 1.3", Form: label.Form{Words: []string{"1.2", "1.3"}}, Set: parseMinVersion},
		Default: "1.2", Doc: "The oldest version of TLS spoken.", Example: "1.3", Nginx: "ssl_protocols",
	},
	label.Def[TLSPolicy]{
		Name: "client-ca", Value: label.Text(func(p *TLSPolicy) *string { return &p.ClientCA }, checkSecret),
		Doc: "Mutual TLS: only clients with a certificate that one of these authorities (PEM) signed are served. Over plain HTTP nothing is served then: it is redirected, or answered 403.", Example: "file:/run/secrets/clients-ca.pem", Nginx: "ssl_client_certificate",
	},
	label.Def[TLSPolicy]{Name: "dns", Later: true, Value: label.Value[TLSPolicy]{Type: "provider"}, Doc: "Certificates by DNS-01, for wildcards."},
	label.Def[TLSPolicy]{Name: "export", Later: true, Value: label.Value[TLSPolicy]{Type: "–"}, Doc: "Reserved."},
))

func parseTLS(p *TLSPolicy, _, text string) error {
	p.Mode, p.Cert, p.Key = text, "", ""
	switch {
	case strings.HasPrefix(text, "file:"), strings.HasPrefix(text, "env:"):
		return p.files(text)
	case text == "auto":
		p.Mode = TLSAuto
	case strings.EqualFold(text, TLSOff), strings.EqualFold(text, "false"): // which YAML loaders make of off
		p.Mode = TLSOff
	case text != TLSInternal:
		return &label.ValueError{Msg: "is not one of auto, internal, off, file:CERT,KEY", Suggest: nearestTLS(text)}
	}
	return nil
}

func nearestTLS(text string) string {
	switch on, ok := label.ParseBool(text); {
	case strings.HasPrefix(text, "/"):
		return withKey("file:" + text)
	case ok && on:
		return "auto"
	case ok:
		return TLSOff
	}
	return label.Nearest(text, slices.Values([]string{"auto", TLSInternal, TLSOff}))
}

// withKey adds to a certificate the key that is most likely beside it.
func withKey(cert string) string {
	stem := strings.TrimPrefix(cert, "file:")
	return cert + "," + strings.TrimSuffix(strings.TrimSuffix(stem, ".pem"), ".crt") + ".key"
}

// files reads a certificate and its key, which needs no file: in front.
func (p *TLSPolicy) files(text string) error {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	switch {
	case len(parts) == 1 || len(parts) == 2 && parts[1] == "":
		return &label.ValueError{Msg: "names no key: write the certificate and its key, separated by a comma", Suggest: withKey(parts[0])}
	case len(parts) > 2:
		return &label.ValueError{Msg: "names more than a certificate and its key: put the chain behind the certificate, into the same file"}
	}
	cert, key := parts[0], parts[1]
	if !strings.HasPrefix(key, "file:") && !strings.HasPrefix(key, "env:") {
		key = "file:" + key
	}
	for _, ref := range []string{cert, key} {
		if err := checkSecret(ref); err != nil {
			return &label.ValueError{Msg: fmt.Sprintf("item %q %v", label.Shown(ref), err), Suggest: nearestSecret(cert) + "," + nearestSecret(key)}
		}
	}
	p.Mode, p.Cert, p.Key = TLSFile, cert, key
	return nil
}

// nearestSecret returns ref if it is right, else what it may have been meant to be.
func nearestSecret(ref string) string {
	var wrong *label.ValueError
	if errors.As(checkSecret(ref), &wrong) {
		return wrong.Suggest
	}
	return ref
}

func parseMinVersion(p *TLSPolicy, _, text string) error {
	switch text {
	case "1.2":
		p.MinVersion = ""
	case "1.3":
		p.MinVersion = text
	default:
		number := strings.TrimLeft(strings.ToLower(text), "tlsv ") // as other programs write it: TLSv1.3
		return &label.ValueError{Msg: "is not one of 1.2, 1.3", Suggest: label.Nearest(number, slices.Values([]string{"1.2", "1.3"}))}
	}
	return nil
}

func checkTLS(p *TLSPolicy) error {
	asks := "client-ca"
	switch {
	case p.Mode != TLSOff || p.Connection() == (TLSPolicy{}):
		return nil
	case p.ClientCA == "":
		asks = "min-version"
	}
	return &label.ValueError{Code: "exclusive", Msg: "tls=off and tls." + asks + " exclude each other: no connection is left to ask that of"}
}

// tlsFaults returns what is wrong with what d asks of TLS, for its hosts and
// together with what it says of plain HTTP.
func (p *Parser) tlsFaults(d *draft) (all []Problem) {
	tls, _ := label.Get[TLSPolicy](d.opts, "tls")
	plain, _ := label.Get[plainOptions](d.opts, "http")
	switch {
	case tls.ClientCA != "" && plain.Policy == PlainServe:
		all = append(all, Problem{Code: "exclusive", Kind: "http", Message: "http=serve and tls.client-ca exclude each other: over plain HTTP no client shows a certificate", Fix: "set http to redirect or refuse"})
	case tls.Mode == TLSOff && plain.Policy == PlainRedirect:
		all = append(all, Problem{Code: "exclusive", Kind: "http", Message: "http=redirect and tls=off exclude each other: there is no HTTPS to be sent to", Fix: "remove http, or set it to serve or refuse"})
	}
	if tls.Mode != TLSInternal {
		return all
	}
	var unsigned []Host
	for _, m := range slices.Concat(d.matches, d.fallback) {
		if !p.cfg.Names.MaySign(m.Host) && !slices.Contains(unsigned, m.Host) {
			unsigned = append(unsigned, m.Host)
		}
	}
	if len(unsigned) > 0 {
		all = append(all, p.cfg.Names.unsigned(unsigned))
	}
	return all
}
