package public

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/certs/localca"
	"github.com/fairlead/fairlead/label"
)

const (
	checkTime = 10 * time.Second // for one address
	maxAddrs  = 8
)

// A Checker finds out, before anything is ordered, whether an authority could
// reach this machine under a name: it asks itself what the authority would ask.
// An order that fails counts against the host; a check does not.
type Checker struct {
	Answers *acme.Answers
	// Resolve returns the addresses of host; nil asks the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// HTTPPort and HTTPSPort are where authorities come; "" is 80 and 443 (RFC
	// 8555, 8.3; RFC 8737, 3).
	HTTPPort, HTTPSPort string
	// Plain and TLS say whether there is an entry point behind them at all.
	Plain, TLS bool
}

// Check returns the challenge by which host can be validated: HTTP-01 if every
// address of host answers over port 80, else TLS-ALPN-01 if every one does over
// port 443. Its error is an *acme.Fault; it comes with the challenge that is left
// if there is one only.
func (c *Checker) Check(ctx context.Context, host string) (acme.Challenge, error) {
	addrs, err := c.resolve(ctx, host)
	if err != nil {
		return "", err
	}
	var plain error
	if c.Plain {
		if plain = c.every(ctx, host, addrs, c.overHTTP); plain == nil {
			return acme.HTTP01, nil
		}
	}
	if !c.Plain && !c.TLS {
		return "", &acme.Fault{Message: "no listener is open by which an authority could reach " + host, Fix: "open --http or --https"}
	}
	if c.TLS {
		if err := c.every(ctx, host, addrs, c.overTLS); err == nil || plain == nil {
			return acme.TLSALPN01, err
		}
	}
	return "", plain
}

func (c *Checker) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	resolve := c.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host+".") // without the search domains
		}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	addrs, err := resolve(ctx, host)
	var dns *net.DNSError
	switch {
	case err == nil && len(addrs) > 0:
		return addrs[:min(len(addrs), maxAddrs)], nil
	case err == nil, errors.As(err, &dns) && dns.IsNotFound:
		return nil, &acme.Fault{Err: err, Message: host + " does not resolve to any address", Fix: "create an A or AAAA record of " + host + " that leads to this machine"}
	}
	return nil, &acme.Fault{Err: err, Message: host + " could not be resolved: " + label.Shown(err.Error()), Fix: "check the DNS of this machine"}
}

// every asks all addresses: the authority may choose any. The first that does
// not answer as it should is the error.
func (c *Checker) every(ctx context.Context, host string, addrs []netip.Addr, ask func(ctx context.Context, host string, addr netip.Addr) error) error {
	failed := 0
	var first error
	var at netip.Addr
	for _, addr := range addrs {
		one, cancel := context.WithTimeout(ctx, checkTime)
		err := ask(one, host, addr.Unmap())
		cancel()
		if err != nil {
			if failed++; first == nil {
				first, at = err, addr.Unmap()
			}
		}
	}
	fault, ok := errors.AsType[*acme.Fault](first)
	if ok && failed < len(addrs) && at.Is6() {
		fault.Fix = "remove the AAAA record of " + host + ", or let IPv6 lead to this machine as IPv4 does"
	}
	return first
}

// overHTTP fetches a token of ours from addr.
func (c *Checker) overHTTP(ctx context.Context, host string, addr netip.Addr) error {
	nonce := rand.Text()
	defer c.Answers.PutToken(host, nonce, nonce)()
	port := orDefault(c.HTTPPort, "80")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/.well-known/acme-challenge/"+nonce, nil)
	if err != nil {
		return &acme.Fault{Message: err.Error(), Err: err}
	}
	r.Header.Set("User-Agent", "fairlead pre-flight")
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
		},
		DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
	}
	res, err := t.RoundTrip(r) // follows no redirects
	if err != nil {
		return unreached(host, addr, port, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return unreached(host, addr, port, err)
	}
	if res.StatusCode != http.StatusOK || string(body) != nonce {
		what := fmt.Sprintf(" (status %d", res.StatusCode)
		if server := res.Header.Get("Server"); server != "" {
			what += ", Server: " + label.Shown(server)
		}
		return strange(host, addr, port, what+")")
	}
	return nil
}

// overTLS makes a handshake with addr that only we would answer so.
func (c *Checker) overTLS(ctx context.Context, host string, addr netip.Addr) error {
	cert, err := localca.StopGap(time.Now())
	if err != nil {
		return &acme.Fault{Message: err.Error(), Err: err}
	}
	defer c.Answers.PutCertificate(host, cert)()
	port := orDefault(c.HTTPSPort, "443")
	d := tls.Dialer{Config: &tls.Config{
		ServerName: host, NextProtos: []string{acme.ALPNProto},
		InsecureSkipVerify: true, // what is compared is the certificate itself
	}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
	if answered(err) {
		return strange(host, addr, port, "")
	}
	if err != nil {
		return unreached(host, addr, port, err)
	}
	defer conn.Close()
	if !conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Equal(cert.Leaf) {
		return strange(host, addr, port, "")
	}
	return nil
}

// answered reports whether a handshake failed because of what came back.
func answered(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	return ok && op.Op == "remote error" || noTLS // which crypto/tls calls an alert
}

// strange words an answer that is not ours.
func strange(host string, addr netip.Addr, port, what string) *acme.Fault {
	return &acme.Fault{
		Message: fmt.Sprintf("%s resolves to %s, where something else than this proxy answers port %s%s", host, addr, port, what),
		Fix:     "let " + host + " resolve to this machine, or forward port " + port + " of that address to it",
	}
}

// unreached words a connection that did not come about.
func unreached(host string, addr netip.Addr, port string, err error) *acme.Fault {
	f := &acme.Fault{Err: err, Fix: "forward port " + port + " of " + addr.String() + " to this machine, and open it in the firewall"}
	var timeout net.Error
	switch at := fmt.Sprintf("%s resolves to %s, whose port %s", host, addr, port); {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Message = at + " refuses connections"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f.Message = at + " does not answer"
		f.Fix += "; if it is open and only this machine cannot reach its own public address (no hairpin NAT), run: fairlead certs retry " + host
	default:
		f.Message = at + " cannot be reached: " + label.Shown(err.Error())
	}
	return f
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
