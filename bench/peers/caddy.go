package peers

import (
	"fmt"
	"strings"
)

func caddy() *Peer {
	return &Peer{
		Name: "caddy", Binary: "caddy", Version: []string{"version"},
		Prepare: func(c Config) error { return c.write(map[string]string{"Caddyfile": caddyfile(c)}) },
		Args: func(c Config) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", c.path("Caddyfile")}
		},
		Env: func(c Config) []string {
			return []string{"HOME=" + c.Dir, "XDG_DATA_HOME=" + c.Dir, "XDG_CONFIG_HOME=" + c.Dir}
		},
		Metrics: "/metrics", ServesFiles: true,
		Mallocs: prometheusMallocs("/metrics"),
	}
}

// caddyfile names the hosts one by one: each is a site of its own, as the
// others have them. Their access logs go to the default log: Caddy 2.6 looks for
// the log of a site by host and port, and a request for another than the default
// port that names none has none.
func caddyfile(c Config) string {
	var b strings.Builder
	to, log := "stderr", ""
	if c.AccessLog {
		to, log = fmt.Sprintf("file %s {\n\t\t\troll_disabled\n\t\t}", c.LogFile()), "log"
	}
	fmt.Fprintf(&b, `{
	admin %s
	auto_https off
	default_bind %s
	servers {
		protocols h1 h2
		metrics
	}
	log {
		output %s
		level INFO
	}
}
(site) {
	%s
	reverse_proxy %s {
		header_up X-Real-IP {remote_host}
		transport http {
			keepalive_idle_conns_per_host 128
			compression off
		}
	}
}
`, c.Admin, c.Plain.Addr(), to, log, c.Origin)
	fmt.Fprintf(&b, "http://%s:%d {\n\t%s\n\troot * %s\n\tfile_server\n}\n", FilesHost, c.Plain.Port(), log, c.Site)
	for _, host := range c.Hosts {
		fmt.Fprintf(&b, "http://%s:%d {\n\timport site\n}\n", host, c.Plain.Port())
		if !c.TLS.IsValid() {
			continue
		}
		fmt.Fprintf(&b, "https://%s:%d {\n\ttls %s %s\n\timport site\n}\n", host, c.TLS.Port(), c.Cert, c.Key)
	}
	return b.String()
}
