package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"

	"github.com/fairlead/fairlead/spec"
)

// loadTLS reads the files o names, once: a file that is missing or broken
// refuses the route when it is built, not the first request.
func loadTLS(o spec.UpstreamTLS, secret func(ref string) ([]byte, error)) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.NoVerify,
		ServerName:         o.ServerName,
		NextProtos:         []string{"http/1.1"},
	}
	if o.CA != "" {
		pem, err := secret(o.CA)
		if err != nil {
			return nil, fmt.Errorf("read upstream CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read upstream CA: %s holds no certificate", o.CA)
		}
	}
	if o.Cert != "" || o.Key != "" {
		cert, err := secret(o.Cert)
		if err != nil {
			return nil, fmt.Errorf("read client certificate for upstream: %w", err)
		}
		key, err := secret(o.Key)
		if err != nil {
			return nil, fmt.Errorf("read client key for upstream: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate for upstream: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// serverName returns the name an https endpoint has to prove for r: the
// option's, else the name of a target that has one, else the Host sent.
func (t *transport) serverName(r *http.Request) string {
	switch {
	case t.tls == nil:
		return ""
	case t.tls.ServerName != "":
		return t.tls.ServerName
	case t.host != "":
		return hostname(t.host)
	}
	return hostname(t.hostFor(r))
}

// hostname returns host without a port and without the brackets of IPv6.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}
