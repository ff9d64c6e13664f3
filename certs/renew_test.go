package certs

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/acmetest"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// Certificates of an hour are renewed when a third of it is left, by the
// authority's word and not by ours, and the process that finds them so late need
// not be the one that ordered them.
func TestShortCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ca := acmetest.New(t, acmetest.Options{HTTPPort: port, Validity: time.Hour})
	host, dir := spec.TLSHost{Host: spec.Host{Text: "a.example.com"}}, t.TempDir()
	tokens := make(chan http.Handler, 1)
	srv := &http.Server{Handler: &exchange.Arrival{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := <-tokens
		tokens <- h
		h.ServeHTTP(w, r)
	})}}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })

	// serial runs a process whose clock is later by skew until it has another
	// certificate than before, and returns its serial number.
	serial := func(skew time.Duration, before string) (now string) {
		c, err := New(Config{
			DataDir: dir, ACME: acme.Config{Directory: ca.Directory, CABundle: ca.Bundle()}, HTTPOpen: true, HTTPSOpen: true, Log: zerolog.Nop(),
			Secret: func(string) ([]byte, error) { return nil, context.Canceled },
			Hosts:  func() []spec.TLSHost { return []spec.TLSHost{host} }, Lookup: func(string) (spec.TLSHost, bool) { return host, true },
			Now: func() time.Time { return time.Now().Add(skew) },
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Checker.HTTPPort = strconv.Itoa(port)
		c.Checker.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return ca.Resolver().LookupNetIP(ctx, "ip", host+".")
		}
		tokens <- c.Tokens(http.NotFoundHandler())
		defer func() { <-tokens }()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		defer func() { stop(); <-ended }()
		c.Update()
		deadline := time.After(patience)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			if cert := c.public.Certificate(host.Host.Text); cert != nil {
				if now = cert.Leaf.SerialNumber.String(); now != before {
					return now
				}
			}
			select {
			case <-tick.C:
			case <-deadline:
				return now
			}
		}
	}
	first := serial(0, "")
	if first == "" || ca.Orders("") != 1 {
		t.Fatalf("certificate %q after %d orders, want one of one", first, ca.Orders(""))
	}
	if renewed := serial(45*time.Minute, first); renewed == first || ca.Orders("") != 2 {
		t.Errorf("45 minutes later: certificate %q after %d orders, want another", renewed, ca.Orders(""))
	}
}
