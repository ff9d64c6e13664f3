package routing

import "github.com/fairlead/fairlead/label"

// laterKinds are labels of the contract that are not built yet. Using one is
// Problem "not-yet", and refuses the route where the label would protect it.
// Whoever builds one removes it here.
func laterKinds() []label.Kind {
	var kinds []label.Kind
	add := func(section string, closed bool, inherit label.Inherit, name, doc string, below ...string) {
		k := label.Kind{Name: name, Section: section, FailClosed: closed, Inherit: inherit, Doc: doc}
		rows := []label.Row{{Type: "–", Doc: doc}}
		for _, b := range below {
			rows = append(rows, label.Row{Path: b, Type: "–", Doc: doc})
		}
		kinds = append(kinds, label.DeclareLater(k, rows...))
	}
	const open, closed = false, true

	add(label.SectionTarget, open, label.Own, "socket", "A unix socket on a volume shared with the app.")
	add(label.SectionTarget, open, label.Own, "root", "A document root inside the container.")
	add(label.SectionTarget, open, label.Own, "index-script", "The front controller of a FastCGI app.")
	add(label.SectionTarget, open, label.AsTarget, "fastcgi", "Further parameters for FastCGI.", "param.*")

	add(label.SectionLoad, open, label.AsTarget, "balance", "How an endpoint is picked; round robin today.")
	add(label.SectionLoad, open, label.AsTarget, "weight", "An endpoint's share of the load.")
	add(label.SectionLoad, open, label.AsTarget, "backup", "An endpoint used only when no other is ready.")
	add(label.SectionLoad, open, label.AsTarget, "down", "An endpoint that takes no new requests.")
	add(label.SectionLoad, open, label.AsTarget, "sticky", "Keeps a client on one endpoint.")
	add(label.SectionLoad, open, label.AsTarget, "slow-start", "Raises a new endpoint's share slowly.")
	add(label.SectionLoad, open, label.AsTarget, "max-conns", "Requests an endpoint works on at once.")
	add(label.SectionLoad, open, label.AsTarget, "keepalive", "Idle connections kept per endpoint; 64 today.")
	add(label.SectionLoad, open, label.AsTarget, "max-fails", "Failures that take an endpoint out.")
	add(label.SectionLoad, open, label.AsTarget, "fail-timeout", "How long it stays out.")
	add(label.SectionLoad, open, label.AsTarget, "health", "Active health checks.", "path", "interval", "timeout", "status", "rise", "fall", "host", "port")
	add(label.SectionLoad, open, label.AsTarget, "retry", "How many further endpoints are tried; two after a failed connect today.")
	add(label.SectionLoad, open, label.AsTarget, "hold", "How long requests wait for a service that is being replaced; not at all today.")
	add(label.SectionLoad, open, label.AsTarget, "drain", "How long running requests may finish.")
	add(label.SectionLoad, open, label.Own, "canary", "A share of the requests for a newer pool.")
	add(label.SectionLoad, open, label.AsTarget, "idle-stop", "Stops a container nobody uses.")

	add(label.SectionURL, open, label.Own, "rewrite", "Rewrites the path by a regular expression.")

	add(label.SectionStatic, open, label.Own, "static", "Files straight out of the container.", "source", "cache", "fallback", "index", "list", "retain")

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
	add(label.SectionPolicy, closed, label.AsPolicy, "maintenance", "Answers 503 for everything.")
	add(label.SectionPolicy, closed, label.AsPolicy, "waf", "A web application firewall.")

	add(label.SectionTCP, closed, label.Own, "tcp", "TCP ports and TLS passthrough.", "proxy-protocol", "tls")
	for _, word := range []string{"udp", "use", "preset", "mirror", "accel", "encoded-path"} {
		add(label.SectionTCP, open, label.Own, word, "Reserved.")
	}
	return kinds
}
