package peers

import (
	"fmt"
	"strings"
)

// traefik comes by a path: distributions do not have it.
func traefik() *Peer {
	return &Peer{
		Name: "traefik", Binary: "traefik", Version: []string{"version"},
		Prepare: func(c Config) error {
			return c.write(map[string]string{"traefik.yaml": traefikStatic(c), "dynamic.yaml": traefikDynamic(c)})
		},
		Args:    func(c Config) []string { return []string{"--configFile=" + c.path("traefik.yaml")} },
		Metrics: "/metrics",
		Mallocs: prometheusMallocs("/metrics"),
	}
}

func traefikStatic(c Config) string {
	log := ""
	if c.AccessLog {
		log = fmt.Sprintf("accessLog: {filePath: %s, bufferingSize: 1000}\n", c.LogFile())
	}
	secure := ""
	if c.TLS.IsValid() {
		secure = fmt.Sprintf("  websecure: {address: %q}\n", c.TLS)
	}
	return fmt.Sprintf(`global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
entryPoints:
  web: {address: "%s"}
%s  metrics: {address: "%s"}
metrics: {prometheus: {entryPoint: metrics}}
providers: {file: {filename: %s}}
%s`, c.Plain, secure, c.Admin, c.path("dynamic.yaml"), log)
}

// traefikDynamic leaves the headers alone: Traefik sets all four by itself.
func traefikDynamic(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tls: {stores: {default: {defaultCertificate: {certFile: %s, keyFile: %s}}}}\nhttp:\n  services:\n", c.Cert, c.Key)
	for i := range c.Hosts {
		fmt.Fprintf(&b, "    s%d: {loadBalancer: {servers: [{url: \"http://%s\"}]}}\n", i, c.Origin)
	}
	b.WriteString("  routers:\n")
	for i, host := range c.Hosts {
		fmt.Fprintf(&b, "    p%[1]d: {rule: \"Host(`%[2]s`)\", service: s%[1]d, entryPoints: [web]}\n", i, host)
		if c.TLS.IsValid() {
			fmt.Fprintf(&b, "    t%[1]d: {rule: \"Host(`%[2]s`)\", service: s%[1]d, entryPoints: [websecure], tls: {}}\n", i, host)
		}
	}
	return b.String()
}
