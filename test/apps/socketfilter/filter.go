package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
)

type filterConfig struct {
	Network, Address string // of the engine
	Archive          bool
}

// These patterns are matched against the undecoded target, and nothing else is
// allowed in it: an escape or a ".." that the engine would read differently
// than we do does not get that far. Container names begin with a letter or
// digit, so "." and ".." are none.
var (
	readable = regexp.MustCompile(`^(/v1\.[0-9]{1,3})?/(_ping|version|info|events|networks|services|containers/json|containers/[a-zA-Z0-9][a-zA-Z0-9_.-]*/json)$`)
	archived = regexp.MustCompile(`^(/v1\.[0-9]{1,3})?/containers/[a-zA-Z0-9][a-zA-Z0-9_.-]*/archive$`)
)

type filter struct {
	cfg   filterConfig
	proxy *httputil.ReverseProxy
}

func newFilter(cfg filterConfig) *filter {
	var d net.Dialer
	return &filter{cfg: cfg, proxy: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, cfg.Network, cfg.Address)
			},
			DisableCompression: true,
		},
		FlushInterval: -1, // every event at once
	}}
}

func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := f.refuses(r); why != "" {
		log.Printf("refused %s %q: %s", r.Method, r.URL.Path, why)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "{\"message\":%q}\n", "socketfilter: "+why)
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// refuses says why a request may not pass, "" if it may.
func (f *filter) refuses(r *http.Request) string {
	path := r.URL.EscapedPath()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "only GET and HEAD pass"
	case r.ContentLength != 0:
		return "a request with a body does not pass"
	case r.Header.Get("Upgrade") != "":
		return "an upgrade does not pass"
	case readable.MatchString(path), f.cfg.Archive && archived.MatchString(path):
		return ""
	}
	return "this path does not pass"
}
