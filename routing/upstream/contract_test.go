package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/routing/upstream/transporttest"
)

// contractual makes requests those of a server, and holds errors against what
// RoundTrip documents.
type contractual struct {
	t    *testing.T
	pool *Pool
	transporttest.Limits
}

func (c contractual) RoundTrip(r *http.Request) (*http.Response, error) { return c.send(r, nil) }

func (c contractual) send(r *http.Request, inform Informer) (*http.Response, error) {
	x, _, r := exchange.Begin(nil, r)
	x.Timeouts = &exchange.Timeouts{Response: c.Response, Idle: c.Idle}
	resp, err := c.pool.RoundTripInform(r, inform)
	known := err == nil || errors.Is(err, context.Cause(r.Context())) || errors.As(err, new(*ConnectError)) ||
		errors.As(err, new(*TimeoutError)) || errors.As(err, new(*BrokenError)) || errors.As(err, new(*RequestError))
	if !known {
		c.t.Errorf("RoundTrip returned a %T, which it does not document: %v", err, err)
	}
	return resp, err
}

func TestContract(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, addr string, l transporttest.Limits) transporttest.Transport {
		c := contractual{t, poolOf(t, Config{}, endpoint4("web", addr)), l}
		t.Cleanup(func() {
			if n := c.pool.Endpoints()[0].InFlight; n != 0 {
				t.Errorf("in flight at the end: got %d, want 0", n)
			}
		})
		return transporttest.Transport{RoundTripper: c, Informed: func(r *http.Request, f func(int, http.Header)) (*http.Response, error) {
			return c.send(r, informed(f))
		}}
	})
}

// What net/http does otherwise is what the transport is there for.
func TestContractOfNetHTTP(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, addr string, l transporttest.Limits) transporttest.Transport {
		tr := &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			},
			DisableCompression: true, MaxResponseHeaderBytes: maxHead, ResponseHeaderTimeout: l.Response,
		}
		t.Cleanup(tr.CloseIdleConnections)
		return transporttest.Transport{RoundTripper: tr, Informed: func(r *http.Request, f func(int, http.Header)) (*http.Response, error) {
			trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				f(code, http.Header(h))
				return nil
			}}
			return tr.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		}}
	},
		"refused: HTTP/1.2", "refused: HTTP/2.0", "refused: bare LF", "refused: one bare LF", "refused: folded", "refused: blank before colon",
		"refused: status signed", "refused: status below 100", "refused: length and coding", "refused: coding in 1.0", "refused: unasked 101",
		"refused: too many fields", // it counts bytes only
		"cut: size with blanks behind", "cut: extension with control", "cut: malformed trailer",
		"HEAD", "HEAD chunked", "1.0 keep-alive", "ntlm", "negotiate", // after which it uses the connection again
		"bytes behind an answer end its connection", "what came behind an answer is nobody's", // it may be too late to see them
		"no more of the answer in time", // it has no such limit
	)
}
