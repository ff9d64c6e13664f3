package peers

import (
	"fmt"
	"os"
	"strings"
)

// haproxy writes its access log to standard output, which is a file: it has no
// buffered log file.
func haproxy() *Peer {
	return &Peer{
		Name: "haproxy", Binary: "haproxy", Version: []string{"-v"},
		Prepare: func(c Config) error {
			pem, err := both(c.Cert, c.Key)
			if err != nil {
				return err
			}
			return c.write(map[string]string{"haproxy.cfg": haproxyConf(c), "hosts.map": haproxyHosts(c), "cert.pem": pem})
		},
		Args:         func(c Config) []string { return []string{"-db", "-f", c.path("haproxy.cfg")} },
		LogsToStdout: true,
		Metrics:      "/metrics",
	}
}

func both(cert, key string) (string, error) {
	c, err := os.ReadFile(cert)
	if err != nil {
		return "", err
	}
	k, err := os.ReadFile(key)
	return string(c) + string(k), err
}

func haproxyConf(c Config) string {
	var b strings.Builder
	log := "option dontlog-normal"
	if c.AccessLog {
		log = "log stdout format raw local0 info\n	option httplog"
	}
	secure := ""
	if c.TLS.IsValid() {
		secure = fmt.Sprintf("bind %s ssl crt %s alpn h2,http/1.1", c.TLS, c.path("cert.pem"))
	}
	fmt.Fprintf(&b, `global
	nbthread 1
	maxconn 8192
	ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
	mode http
	timeout connect 5s
	timeout client 75s
	timeout server 75s
	timeout http-request 10s
	http-reuse always
	option forwardfor
frontend metrics
	bind %[1]s
	http-request use-service prometheus-exporter if { path /metrics }
frontend web
	%[2]s
	bind %[3]s
	%[4]s
	http-request set-header X-Forwarded-Proto https if { ssl_fc }
	http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
	http-request set-header X-Forwarded-Host %%[req.hdr(host)]
	http-request set-header X-Real-IP %%[src]
	use_backend %%[req.hdr(host),host_only,lower,map(%[5]s)]
`, c.Admin, log, c.Plain, secure, c.path("hosts.map"))
	for i := range c.Hosts {
		fmt.Fprintf(&b, "backend b%d\n\tserver o %s\n", i, c.Origin)
	}
	return b.String()
}

func haproxyHosts(c Config) string {
	var b strings.Builder
	for i, host := range c.Hosts {
		fmt.Fprintf(&b, "%s b%d\n", host, i)
	}
	return b.String()
}
