package peers

import (
	"fmt"
	"strings"
)

// nginx has its access log buffered, as its manual advises for busy servers, and
// bodies passed on as they come, as the others do. Its buffers are as it comes.
func nginx() *Peer { return nginxWith("nginx", "") }

// nginxTuned has buffers into which the bodies of the benchmark fit better: for a
// client it holds up to half a megabyte instead of 40 KiB. Files go out by sendfile,
// as in the configuration that Debian has, and stay open.
func nginxTuned() *Peer {
	return nginxWith("nginx-tuned", "sendfile on; tcp_nopush on; open_file_cache max=1000; open_file_cache_valid 1s; client_body_buffer_size 128k; proxy_buffers 16 32k; proxy_busy_buffers_size 64k;")
}

func nginxWith(name, more string) *Peer {
	return &Peer{
		Name: name, Binary: "nginx", Version: []string{"-v"},
		Prepare: func(c Config) error { return c.write(map[string]string{"nginx.conf": nginxConf(c, more)}) },
		Args:    func(c Config) []string { return []string{"-p", c.Dir, "-c", c.path("nginx.conf"), "-e", "error.log"} },
		Metrics: "/status", ServesFiles: true,
	}
}

func nginxConf(c Config, more string) string {
	var b strings.Builder
	log := "off"
	if c.AccessLog {
		log = c.LogFile() + " combined buffer=64k flush=1s"
	}
	fmt.Fprintf(&b, `daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log error.log;
events { worker_connections 8192; }
http {
	access_log %s;
	default_type text/plain;
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
	server_names_hash_max_size 65536;
	server_names_hash_bucket_size 128;
	keepalive_requests 1000000000;
	keepalive_timeout 75s;
	client_max_body_size 0;
	ssl_certificate %s;
	ssl_certificate_key %s;
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
	proxy_http_version 1.1;
	proxy_request_buffering off;
	proxy_max_temp_file_size 0;
	%s
	proxy_set_header Connection "";
	proxy_set_header Host $host;
	proxy_set_header X-Real-IP $remote_addr;
	proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
	proxy_set_header X-Forwarded-Proto $scheme;
	proxy_set_header X-Forwarded-Host $host;
	server { listen %s; location /status { stub_status; } }
`, log, c.Cert, c.Key, more, c.Admin)
	listen := "listen " + c.Plain.String() + ";"
	if c.TLS.IsValid() {
		listen += " listen " + c.TLS.String() + " ssl http2;"
	}
	for i, host := range c.Hosts {
		fmt.Fprintf(&b, `	upstream u%[1]d { server %[2]s; keepalive 128; keepalive_requests 1000000000; }
	server { %[3]s server_name %[4]s; location / { proxy_pass http://u%[1]d; } }
`, i, c.Origin, listen, host)
	}
	fmt.Fprintf(&b, "	server { listen %s; server_name %s; root %s; types { text/javascript js; } }\n}\n", c.Plain, FilesHost, c.Site)
	return b.String()
}
