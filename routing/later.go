package routing

import "github.com/fairlead/fairlead/label"

// laterKinds are labels of the contract that are not built yet. Using one is
// Problem "not-yet", and refuses the route where the label would protect it.
// Whoever builds one removes it here.
func laterKinds() []label.Kind {
	var kinds []label.Kind
	add := func(section string, closed bool, inherit label.Inherit, name, doc string, below ...string) {
		k := label.Kind{Name: name, Section: section, FailClosed: closed, Inherit: inherit, Doc: doc}
		rows := []label.Row{{Type: "–", Doc: doc, Nginx: laterNginx[name]}}
		for _, b := range below {
			rows = append(rows, label.Row{Path: b, Type: "–", Doc: doc, Nginx: laterNginx[name+"."+b]})
		}
		kinds = append(kinds, label.DeclareLater(k, rows...))
	}
	const open, closed = false, true

	add(label.SectionTarget, open, label.Own, "socket", "A unix socket on a volume shared with the app.")
	add(label.SectionTarget, open, label.Own, "index-script", "The front controller of a FastCGI app.")
	add(label.SectionTarget, open, label.AsTarget, "fastcgi", "Further parameters for FastCGI.", "param.*")

	add(label.SectionLoad, open, label.AsTarget, "idle-stop", "Stops a container nobody uses.")

	add(label.SectionURL, open, label.Own, "rewrite", "Rewrites the path by a regular expression.")

	add(label.SectionPolicy, open, label.AsPolicy, "security-headers", "A set of protective answer headers.")
	add(label.SectionPolicy, open, label.AsPolicy, "hsts", "Strict-Transport-Security.")
	add(label.SectionPolicy, open, label.AsPolicy, "cors", "Cross-origin requests.", "methods", "headers", "credentials", "max-age")
	add(label.SectionPolicy, closed, label.AsPolicy, "allow", "Clients that may come in.")
	add(label.SectionPolicy, closed, label.AsPolicy, "deny", "Clients that may not.")
	add(label.SectionPolicy, closed, label.AsPolicy, "rate-limit", "Requests per second and client.")
	add(label.SectionPolicy, closed, label.AsPolicy, "max-in-flight", "Requests at once.")
	add(label.SectionPolicy, closed, label.AsPolicy, "max-body", "The largest request body.")
	add(label.SectionPolicy, open, label.AsPolicy, "buffer", "Spools bodies for slow clients.", "request", "response")
	add(label.SectionPolicy, closed, label.AsPolicy, "auth", "Passwords and forward authentication.", "basic", "forward", "except", "except-from", "oidc")
	add(label.SectionPolicy, open, label.AsPolicy, "compress", "Compresses answers.", "min", "level", "types")
	add(label.SectionPolicy, open, label.AsPolicy, "cache", "Keeps answers (RFC 9111).", "valid", "stale", "lock", "bypass", "key", "max-object")
	add(label.SectionPolicy, open, label.AsPolicy, "error-pages", "Own pages for errors.")
	add(label.SectionPolicy, closed, label.AsPolicy, "waf", "A web application firewall.")

	add(label.SectionTCP, closed, label.Own, "tcp", "TCP ports and TLS passthrough.", "proxy-protocol", "tls")
	for _, word := range []string{"udp", "use", "preset", "mirror", "accel", "encoded-path"} {
		add(label.SectionTCP, open, label.Own, word, "Reserved.")
	}
	return kinds
}

// laterNginx is what nginx calls them, so that one finds by its word there that
// a label is not built yet.
var laterNginx = map[string]string{
	"index-script": "fastcgi_index", "fastcgi.param.*": "fastcgi_param",
	"rewrite": "rewrite", "error-pages": "error_page, proxy_intercept_errors", "mirror": "mirror",
	"allow": "allow", "deny": "deny", "rate-limit": "limit_req, limit_req_zone", "max-in-flight": "limit_conn, limit_conn_zone", "max-body": "client_max_body_size",
	"buffer": "proxy_buffering, proxy_request_buffering", "buffer.request": "proxy_request_buffering", "buffer.response": "proxy_buffering",
	"auth.basic": "auth_basic, auth_basic_user_file", "auth.forward": "auth_request", "auth.except-from": "satisfy",
	"compress": "gzip", "compress.min": "gzip_min_length", "compress.level": "gzip_comp_level", "compress.types": "gzip_types",
	"cache": "proxy_cache, proxy_cache_path", "cache.valid": "proxy_cache_valid", "cache.stale": "proxy_cache_use_stale", "cache.lock": "proxy_cache_lock",
	"cache.bypass": "proxy_cache_bypass, proxy_no_cache", "cache.key": "proxy_cache_key",
	"tcp": "stream", "tcp.proxy-protocol": "proxy_protocol", "tcp.tls": "ssl_preread",
}
