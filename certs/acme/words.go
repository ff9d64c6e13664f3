package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/label"
	"golang.org/x/crypto/acme"
)

// A Fault is why there is no certificate.
type Fault struct {
	Scope      Scope
	Validation bool          // the authority tried to validate the host and could not: it counts against the host
	Over       bool          // the order will never be valid; Done is due once that is noted
	RetryAfter time.Duration // what the authority asked for, 0 if nothing
	Message    string        // for people: what happened
	Fix        string        // for people: what to do, "" if nothing
	Err        error
}

func (f *Fault) Error() string { return f.Message }
func (f *Fault) Unwrap() error { return f.Err }

// Scope says whose fault it is, and so who waits.
type Scope uint8

const (
	OfHost      Scope = iota // this host's: others go on
	OfAuthority              // the account's, the authority's or the way's to it: all wait
)

// fault words err for the one who runs the proxy.
func (i *Issuer) fault(host string, err error) *Fault {
	var fault *Fault
	var unproven *acme.AuthorizationError
	var invalid *acme.OrderError
	var refused *acme.Error
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &unproven):
		f := i.unproven(host, unproven)
		f.Err = err
		return f
	case errors.As(err, &invalid) && invalid.Problem != nil:
		f := i.refused(host, invalid.Problem)
		f.Err = err
		return f
	case errors.As(err, &invalid):
		return &Fault{Message: fmt.Sprintf("%s made the order for %s invalid and did not say why", i.name, host), Err: err}
	case errors.As(err, &refused):
		f := i.refused(host, refused)
		f.Err = err
		return f
	case isNetwork(err):
		return i.unreachable(err)
	}
	return &Fault{Message: fmt.Sprintf("the order for %s failed: %s", host, label.Shown(err.Error())), Err: err}
}

// unproven words why the authority does not believe that host is ours.
func (i *Issuer) unproven(host string, err *acme.AuthorizationError) *Fault {
	for _, e := range err.Errors {
		if refused := (*acme.Error)(nil); errors.As(e, &refused) {
			f := i.refused(host, refused)
			f.Scope, f.Validation = OfHost, true
			return f
		}
	}
	return &Fault{Validation: true, Message: fmt.Sprintf("%s could not make sure that %s is ours, and did not say why", i.name, host)}
}

// problem returns the last part of a type such as
// urn:ietf:params:acme:error:rateLimited (RFC 8555, 6.7), in lower case.
func problem(e *acme.Error) string {
	return strings.ToLower(e.ProblemType[strings.LastIndexByte(e.ProblemType, ':')+1:])
}

// refused words a problem that the authority reported.
func (i *Issuer) refused(host string, e *acme.Error) *Fault {
	detail := detailOf(e)
	f := &Fault{RetryAfter: retryAfter(e.Header)}
	say := func(format string, args ...any) { f.Message = fmt.Sprintf(format, args...) + ": " + detail }
	switch problem(e) {
	case "dns":
		say("%s cannot resolve %s", i.name, host)
		f.Fix = "create an A or AAAA record of " + host + " that leads to this machine"
	case "connection":
		say("%s cannot connect to %s", i.name, host)
		f.Fix = "let ports 80 and 443 of the address that " + host + " resolves to lead to this machine"
	case "unauthorized", "incorrectresponse", "tls":
		say("%s reached another server under %s", i.name, host)
		f.Fix = "let " + host + " resolve to this machine, and nothing in front of it answer /.well-known/acme-challenge/"
	case "caa":
		say("a CAA record forbids %s to give %s a certificate", i.name, host)
		f.Fix = `add the DNS record  ` + host + `. CAA 0 issue "` + i.caaName() + `"`
	case "ratelimited":
		f.Scope = limitOf(detail)
		say("%s gives no more certificates for now", i.name)
		f.Fix = "wait; see the authority's rate limits"
	case "rejectedidentifier", "unsupportedidentifier":
		say("%s gives no certificate for %s", i.name, host)
		f.Fix = "check that the host name is right and public; for a local name use the label tls: internal"
	case "externalaccountrequired":
		f.Scope = OfAuthority
		say("%s wants an external account binding", i.name)
		f.Fix = "set --acme-eab-kid and --acme-eab-hmac to what the authority shows"
	case "accountdoesnotexist":
		i.forget()
		f.Scope = OfAuthority
		say("%s does not know our account any more; it is made anew", i.name)
	case "useractionrequired":
		f.Scope = OfAuthority
		say("%s wants its terms to be agreed to again", i.name)
		f.Fix = "see " + label.Shown(e.Instance)
	default:
		if e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests {
			f.Scope = OfAuthority
			say("%s cannot help at the moment (%d)", i.name, e.StatusCode)
		} else {
			say("%s refused the order for %s (%s)", i.name, host, label.Shown(problem(e)))
		}
	}
	return f
}

// detailOf is what the authority says in its own words.
func detailOf(e *acme.Error) string {
	detail := e.Detail
	for _, sub := range e.Subproblems {
		detail = strings.TrimSpace(detail + " " + sub.Detail)
	}
	if detail == "" {
		detail = "no reason given"
	}
	return label.Shown(detail)
}

// limitOf reads whose limit was reached. Let's Encrypt names the identifier in
// those of a host (letsencrypt.org/docs/rate-limits): failed validations, and
// certificates for the same names or the same registered domain.
func limitOf(detail string) Scope {
	detail = strings.ToLower(detail)
	for _, part := range []string{"failed authorizations", "failed validations", "exact set", "registered domain", "certificates already issued for"} {
		if strings.Contains(detail, part) {
			return OfHost
		}
	}
	return OfAuthority
}

// caaName is how a CAA record names the authority (RFC 8659, 4.2).
func (i *Issuer) caaName() string {
	if strings.HasSuffix(i.name, "letsencrypt.org") {
		return "letsencrypt.org"
	}
	return i.name
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// ofDirectory words why the directory could not be read.
func (i *Issuer) ofDirectory(err error) error {
	if isNetwork(err) {
		return i.unreachable(err)
	}
	f := &Fault{Scope: OfAuthority, Err: err, Fix: "check --acme-directory"}
	if e := (*acme.Error)(nil); errors.As(err, &e) {
		f.Message = fmt.Sprintf("%s answered %d instead of an ACME directory", i.cfg.Directory, e.StatusCode)
		f.RetryAfter = retryAfter(e.Header)
		return f
	}
	f.Message = i.cfg.Directory + " is no ACME directory: " + label.Shown(err.Error())
	return f
}

// ofAccount words why there is no account.
func (i *Issuer) ofAccount(err error) error {
	e := (*acme.Error)(nil)
	if !errors.As(err, &e) {
		return err
	}
	f := &Fault{Scope: OfAuthority, RetryAfter: retryAfter(e.Header), Err: err, Message: i.name + " gives us no account: " + detailOf(e)}
	kind := problem(e)
	switch {
	case kind == "externalaccountrequired":
		f.Fix = "set --acme-eab-kid and --acme-eab-hmac to what the authority shows"
	case kind == "invalidcontact", kind == "unsupportedcontact":
		f.Fix = "check --acme-email"
	case i.eab != nil && (kind == "unauthorized" || kind == "malformed"):
		f.Fix = "check --acme-eab-kid and --acme-eab-hmac"
	}
	return f
}

func isNetwork(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	return errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		errors.As(err, &timeout) || errors.Is(err, context.DeadlineExceeded) || isCut(err)
}

func isCut(err error) bool {
	text := err.Error()
	return strings.HasSuffix(text, "EOF") || strings.Contains(text, "connection reset") || strings.Contains(text, "server closed")
}

// unreachable words why nothing can be asked of the authority.
func (i *Issuer) unreachable(err error) *Fault {
	f := &Fault{Scope: OfAuthority, Err: err}
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		f.Message, f.Fix = "the name "+i.name+" of the ACME directory does not resolve", "check the DNS of this machine, and --acme-directory"
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		f.Message = i.name + " shows a certificate that is not trusted: " + label.Shown(err.Error())
		f.Fix = "set --acme-ca-bundle to the authority that vouches for it, or check the clock of this machine"
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Message, f.Fix = i.name+" refused the connection", "check --acme-directory, and whether the authority runs"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f.Message, f.Fix = i.name+" did not answer in time", "check that this machine may connect to it"
	default:
		f.Message = "the connection to " + i.name + " broke: " + label.Shown(err.Error())
	}
	return f
}
