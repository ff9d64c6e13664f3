package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/spec"
)

// ErrEngineAway is what Confirm returns (wrapped, if it likes) when the engine
// does not answer because it is not there: then nobody can hand out addresses,
// and those that are known stay valid.
var ErrEngineAway = errors.New("engine is away")

// Unavailable says that no endpoint of a pool may be asked. Nothing was sent.
type Unavailable struct {
	Pool   string
	Reason string // which container cannot take requests, and why
}

func (e *Unavailable) Error() string { return "no endpoint of " + e.Pool + ": " + e.Reason }

// ConnectError says that no connection to an endpoint came about. Nothing was
// sent.
type ConnectError struct {
	Container, Endpoint string
	Reason              string // for people
	Err                 error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("connect to %s at %s: %s", e.Container, e.Endpoint, e.Reason)
}

func (e *ConnectError) Unwrap() error { return e.Err }

// Phase is the part of an exchange that took too long.
type Phase string

const (
	Connecting Phase = "connect"
	Sending    Phase = "send"     // the endpoint stopped taking the request
	Responding Phase = "response" // no answer came
	Idling     Phase = "idle"     // the answer stopped half-way
	Requesting Phase = "request"  // the whole exchange
)

// TimeoutError says which limit of exchange.Timeouts ran out.
type TimeoutError struct {
	Container, Endpoint string
	Phase               Phase
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s at %s: %s", e.Container, e.Endpoint, e.Phase.ranOut())
}

// ranOut says which limit was too short, if it was not the app that took too
// long.
func (p Phase) ranOut() string {
	limit := p
	if p == Sending {
		limit = Idling // it is what bounds a write as well
	}
	return fmt.Sprintf("%s timeout (the label fairlead.timeout.%s is the limit)", p, limit)
}

// Timeout makes a TimeoutError a net.Error of that kind.
func (e *TimeoutError) Timeout() bool { return true }

// BrokenError says that an endpoint took a request and gave no proper answer:
// it closed the connection, or what it sent is not HTTP.
type BrokenError struct {
	Container, Endpoint string
	Err                 error
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("%s at %s: %v", e.Container, e.Endpoint, e.Err)
}

func (e *BrokenError) Unwrap() error { return e.Err }

// RequestError says that the request itself cannot be forwarded: its body
// could not be read to the end, or its head has no HTTP/1.1 form.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return "request: " + e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

// Causes of an aborted connection.
var (
	errLeft       = errors.New("the endpoint left the pool") // before anything was sent
	errVanished   = errors.New("its address is gone: it was disconnected from the network")
	errDied       = errors.New("it stopped before it had answered")
	errDrained    = errors.New("its container was told to stop, and the time that requests have to finish (label drain) was up")
	errPaused     = errors.New("its container was paused before it had answered")
	errEarlyClose = errors.New("it closed the connection without an answer")
)

// explain puts a failed connect into words a person can act on.
func explain(err error, e *spec.Endpoint) string {
	var (
		dns  *net.DNSError
		auth x509.UnknownAuthorityError
		name x509.HostnameError
		cert *tls.CertificateVerificationError
		rec  tls.RecordHeaderError
	)
	where := e.Container
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) && e.Socket != "":
		return fmt.Sprintf("connection refused: nothing listens on socket %s of %s", e.Socket, where)
	case errors.Is(err, syscall.ECONNREFUSED) && e.ID == "" && local(e):
		return fmt.Sprintf("connection refused: nothing listens at %s, which is the proxy itself: in a container that is the container; write the machine's address, or run the proxy with  network_mode: host", address(e))
	case errors.Is(err, syscall.ECONNREFUSED) && e.Addr.IsValid():
		return fmt.Sprintf("connection refused: nothing listens on port %d in %s; if that stays so, set fairlead.port to the port that the app listens on, or have it listen on 0.0.0.0 instead of 127.0.0.1", e.Addr.Port(), where)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens at " + address(e)
	case errors.Is(err, os.ErrNotExist) && e.Socket != "":
		return fmt.Sprintf("socket %s of %s does not exist yet", e.Socket, where)
	case errors.Is(err, os.ErrPermission) && e.Socket != "":
		return fmt.Sprintf("socket %s of %s may not be opened by the proxy's user", e.Socket, where)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("no route to %s: the proxy shares no working network with %s", address(e), where)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s does not resolve", dns.Name)
	case errors.As(err, &rec):
		return fmt.Sprintf("%s does not speak TLS on that port: remove fairlead.scheme (it is for what the app speaks), or set fairlead.port to the port that does", where)
	case errors.As(err, &name):
		return "its certificate is for another name: " + name.Error() + `; set fairlead.upstream-tls.server-name to the name it has, or, if the app made the certificate itself, fairlead.upstream-tls.verify: "false"`
	case errors.As(err, &auth):
		return `its certificate is signed by an unknown authority: give that with fairlead.upstream-tls.ca, or do without with fairlead.upstream-tls.verify: "false"`
	case errors.As(err, &cert):
		return "its certificate is not valid: " + cert.Err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Sprintf("%s did not accept a connection in time", address(e))
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("%s closed the connection in the TLS handshake", where)
	}
	return err.Error()
}

// local reports whether e is named by an address of loopback.
func local(e *spec.Endpoint) bool {
	return e.Addr.Addr().IsLoopback() || e.Host == "localhost" || strings.HasPrefix(e.Host, "localhost:")
}

// address returns where e is dialled, as people write it.
func address(e *spec.Endpoint) string {
	switch {
	case e.Socket != "":
		return "unix:" + e.Socket
	case e.Addr.IsValid():
		return e.Addr.String()
	}
	return e.Host
}
