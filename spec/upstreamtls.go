package spec

import (
	"strings"

	"github.com/fairlead/fairlead/label"
)

var _ = register(label.Declare(label.Kind{
	Name: "upstream-tls", Section: label.SectionTarget, Slot: label.Target, Level: label.PerPool, Inherit: label.AsTarget,
	Doc: "How https targets are verified.",
}, func(o *UpstreamTLS) error {
	if (o.Cert == "") != (o.Key == "") {
		return &label.ValueError{Msg: "a client certificate needs both upstream-tls.cert and upstream-tls.key"}
	}
	return nil
},
	label.Def[UpstreamTLS]{
		Name: "verify", Value: verify(), Default: "true",
		Doc: "Whether the certificate of an `https` target is checked.", Example: "false", Nginx: "proxy_ssl_verify",
	},
	label.Def[UpstreamTLS]{
		Name: "ca", Value: label.Text(func(o *UpstreamTLS) *string { return &o.CA }, checkSecret),
		Doc: "Authorities to check it against (PEM), instead of the system's: `file:` below `--secrets-dir`, or `env:FAIRLEAD_SECRET_…`.", Example: "file:/run/secrets/nas-ca.pem", Nginx: "proxy_ssl_trusted_certificate",
	},
	label.Def[UpstreamTLS]{
		Name: "server-name", Value: label.Text(func(o *UpstreamTLS) *string { return &o.ServerName }, func(s string) error { _, err := canonicalName(s); return err }),
		Doc: "The name to expect in it, instead of the host.", Example: "nas.internal", Nginx: "proxy_ssl_name",
	},
	label.Def[UpstreamTLS]{
		Name: "cert", Value: label.Text(func(o *UpstreamTLS) *string { return &o.Cert }, checkSecret),
		Doc: "Client certificate (PEM).", Example: "file:/run/secrets/client.pem", Nginx: "proxy_ssl_certificate",
	},
	label.Def[UpstreamTLS]{
		Name: "key", Value: label.Text(func(o *UpstreamTLS) *string { return &o.Key }, checkSecret),
		Doc: "Its private key (PEM).", Example: "file:/run/secrets/client.key", Nginx: "proxy_ssl_certificate_key",
	},
))

func verify() label.Value[UpstreamTLS] {
	v := label.Bool(func(o *UpstreamTLS) *bool { return &o.NoVerify })
	read := v.Set
	v.Set = func(o *UpstreamTLS, arg, text string) error {
		err := read(o, arg, text)
		o.NoVerify = err == nil && !o.NoVerify
		return err
	}
	return v
}

// SecretEnv is what the name of an environment variable must begin with for a
// label to be allowed to name it.
const SecretEnv = "FAIRLEAD_SECRET_"

func checkSecret(text string) error {
	if strings.HasPrefix(text, "file:/") || strings.HasPrefix(text, "env:"+SecretEnv) {
		return nil
	}
	name, env := strings.CutPrefix(text, "env:")
	name = name[strings.LastIndexAny(name, "/:")+1:]
	where := "file:/run/secrets/"
	if env {
		where = "env:" + SecretEnv
	}
	return &label.ValueError{Msg: "is neither file:/… in the proxy nor env:" + SecretEnv + "…", Suggest: where + name}
}
