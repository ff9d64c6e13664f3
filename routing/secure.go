package routing

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// Certificates is what routing asks of the room of certificates. Check is called
// while a table is compiled, the others by requests: they must not block.
type Certificates interface {
	// Check returns why the files that policy names cannot be served by. What
	// was good once stays good: the old content stays in force.
	Check(policy spec.TLSPolicy) error
	// Admits reports whether a connection meets policy: its version, and who
	// signed the client's certificate.
	Admits(policy spec.TLSPolicy, conn *tls.ConnectionState) bool
	// Standing says what is to be expected of HTTPS for the host name, which falls
	// under host.
	Standing(name string, host *spec.TLSHost) spec.Standing
}

// bars answers r if the connection it came by is not what its host and its route
// ask for, and reports whether it did. That comes before anything is said about
// paths: who may not see the host may not find out which ones it has. A refused
// route says itself that it is.
func (t *Table) bars(w http.ResponseWriter, r *http.Request, got *Result) bool {
	if got.tls == nil || got.route != nil && got.route.refusal() != nil {
		return false
	}
	x := exchange.Of(r)
	if r.TLS == nil && x.Scheme == "http" {
		return t.plainHTTP(w, r, got)
	}
	err := t.misdirected(x.Host, got, r.TLS)
	if err == nil {
		return false
	}
	got.note(x)
	exchange.Refuse(w, r, exchange.Refusal{
		Status: http.StatusMisdirectedRequest, Code: "misdirected", Message: "This connection was not made for this host.", Err: err,
		Close: true, // a client that comes back is asked for what is missing
	})
	return true
}

// Why a request is misdirected.
var (
	errNoTLS   = errors.New("the host asks for client certificates, and it is a proxy in front that speaks TLS")
	errTLSOff  = errors.New("the host is not served over TLS")
	errDemands = errors.New("the connection does not meet what the host asks of TLS")
)

// misdirected returns why a request for host must not be served on conn, which
// is nil where a trusted proxy in front spoke TLS. A connection made for one host
// may carry requests for another (RFC 9113, 9.1.1), or outlive a change of labels,
// so that what was asked in its handshake is no guide (docs/threats.md 23 to 25).
func (t *Table) misdirected(host string, got *Result, conn *tls.ConnectionState) error {
	policy := &got.tls.Policy
	if conn != nil && conn.ServerName != host && t.asked(host, conn.ServerName) != policy.Connection() {
		return fmt.Errorf("the handshake was for %.80q, which asks something else of TLS", conn.ServerName)
	}
	if err := t.unmet(policy, conn); err != nil || got.route == nil {
		return err
	}
	return t.unmet(&got.route.spec.TLS, conn)
}

// asked returns what the handshake for the name sni asked of a connection that
// carries a request for host. Clients send no name with an address: what was
// asked is then not known, and what is met says enough.
func (t *Table) asked(host, sni string) spec.TLSPolicy {
	name, _, _ := exchange.ParseHost(sni) // "" is no host
	if name == "" {
		if _, addr := (spec.Host{Text: host}).Addr(); addr {
			name = host
		}
	}
	policy, _ := t.TLSPolicy(name)
	return policy.Connection()
}

// unmet returns why a connection is not what policy asks for, nil if it is.
func (t *Table) unmet(policy *spec.TLSPolicy, conn *tls.ConnectionState) error {
	switch asks := policy.Connection(); {
	case conn == nil && asks.ClientCA != "":
		return errNoTLS
	case conn == nil:
		return nil
	case policy.Mode == spec.TLSOff:
		return errTLSOff
	case asks != (spec.TLSPolicy{}) && (t.env.Certificates == nil || !t.env.Certificates.Admits(asks, conn)):
		return errDemands
	}
	return nil
}

// plainHTTP answers r, which came over plain HTTP, unless it is to be served so,
// and reports whether it did.
func (t *Table) plainHTTP(w http.ResponseWriter, r *http.Request, got *Result) bool {
	x := exchange.Of(r)
	switch policy, port, standing := t.overPlainHTTP(x.Host, x.Entry, got); policy {
	case spec.PlainRefuse:
		got.note(x)
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusForbidden, Code: "https-only", Message: "This site is served over HTTPS only."})
	case spec.PlainRedirect:
		got.note(x)
		toHTTPS(w, r, port, standing)
	default:
		return false
	}
	return true
}

// overPlainHTTP returns what a request for host on the plain entry point entry
// gets, one of spec.PlainServe, PlainRefuse and PlainRedirect; the last with the
// port to send it to.
func (t *Table) overPlainHTTP(host, entry string, got *Result) (policy, port string, standing spec.Standing) {
	asks, own := &got.tls.Policy, &spec.Route{}
	if got.route != nil {
		own = got.route.spec
	}
	secret := asks.ClientCA != "" || own.TLS.ClientCA != ""
	if !secret && (got.route == nil || own.PlainHTTP == spec.PlainServe) {
		return spec.PlainServe, "", spec.Untrusted
	}
	// Without a host there is nowhere to send to.
	if off := asks.Mode == spec.TLSOff || own.TLS.Mode == spec.TLSOff; !off && host != "" {
		port, standing = t.https(host, entry, own.Listen, got.tls)
	}
	redirect := secret || own.PlainHTTP == spec.PlainRedirect || own.PlainHTTP == spec.PlainDefault && standing != spec.Untrusted
	switch {
	case own.PlainHTTP == spec.PlainRefuse, secret && port == "":
		return spec.PlainRefuse, "", standing
	case redirect && port != "":
		return spec.PlainRedirect, port, standing
	}
	return spec.PlainServe, "", standing
}

// https returns by which port a client of entry reaches name, which falls under
// host, over HTTPS, "" if by none, and what is to be expected there.
func (t *Table) https(name, entry string, listen []string, host *spec.TLSHost) (port string, standing spec.Standing) {
	if t.env.Certificates == nil || t.env.HTTPSPort == nil {
		return "", spec.Untrusted
	}
	return t.env.HTTPSPort(entry, listen), t.env.Certificates.Standing(name, host)
}

// toHTTPS redirects r.
func toHTTPS(w http.ResponseWriter, r *http.Request, port string, standing spec.Standing) {
	h := w.Header()
	h.Set("Location", httpsURL(exchange.Of(r).Host, port)+r.RequestURI)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(redirectStatus(standing))
}

func httpsURL(host, port string) string {
	if port != "443" {
		host += ":" + port
	}
	return "https://" + host
}

// redirectStatus is for good once a trusted certificate is served: before, a
// browser that remembers it would be stuck with one that it does not trust.
func redirectStatus(standing spec.Standing) int {
	if standing == spec.Trusted {
		return http.StatusPermanentRedirect
	}
	return http.StatusTemporaryRedirect
}
