package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// saysOnce answers whatever comes with text, and hangs up.
func saysOnce(t *testing.T, text string) net.Listener {
	return serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		r.Peek(1)
		r.Discard(r.Buffered())
		io.WriteString(c, text)
	})
}

// Who speaks something else than HTTP is named, and the label to change.
func TestWhatIsNoHTTPIsNamed(t *testing.T) {
	for _, tt := range []struct{ name, says, want, fix string }{
		{"TLS alert", "\x15\x03\x01\x00\x02\x02\x46", "but is TLS", "fairlead.scheme: https"},
		{"TLS handshake", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76", "but is TLS", "fairlead.scheme: https"},
		{"HTTP/2", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", "but is HTTP/2", "fairlead.port"},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6", "fairlead.port"},
		{"mail", "220 mail.example.com ESMTP\r\n", "220 mail.example.com", "fairlead.port"},
		{"a line of a database", "-ERR wrong number of arguments\r\n", "-ERR wrong number", "fairlead.port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := poolOf(t, Config{}, endpointAt("web", saysOnce(t, tt.says)))
			_, _, err := get(t, p, "/")
			if !errors.As(err, new(*BrokenError)) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.fix) {
				t.Errorf("got %v, want a BrokenError with %q and %q", err, tt.want, tt.fix)
			}
			if got := p.Endpoints()[0]; !strings.Contains(got.Reason, tt.want) {
				t.Errorf("the endpoint is %s (%s), want the reason to say %q", got.State, got.Reason, tt.want)
			}
		})
	}
}

// An answer of 400 that asks for TLS is passed on, and said once.
func TestAnAnswerThatAsksForTLSIsNoted(t *testing.T) {
	for _, body := range []string{"Client sent an HTTP request to an HTTPS server.\n", "<center>The plain HTTP request was sent to HTTPS port</center>"} {
		var log bytes.Buffer
		p := poolOf(t, Config{Log: zerolog.New(&log)}, endpointAt("web", saysOnce(t, "HTTP/1.0 400 Bad Request\r\n\r\n"+body)))
		for range 2 {
			if status, got, err := get(t, p, "/"); status != 400 || got != body || err != nil {
				t.Errorf("got %d %q %v, want the answer as it was", status, got, err)
			}
		}
		if n := strings.Count(log.String(), "fairlead.scheme: https"); n != 1 {
			t.Errorf("the log says %d times what to do, want once:\n%s", n, &log)
		}
		if got := p.Endpoints()[0]; got.State != "ready" || !strings.Contains(got.Reason, "speaks TLS on that port") {
			t.Errorf("the endpoint is %s (%s), want ready, and the reason", got.State, got.Reason)
		}
	}
}

// Another 400 is the app's own business.
func TestAnotherBadRequestIsNotNoted(t *testing.T) {
	p := poolOf(t, Config{}, endpointAt("web", saysOnce(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nname")))
	if status, _, err := get(t, p, "/"); status != 400 || err != nil {
		t.Fatalf("got %d %v, want 400", status, err)
	}
	if got := p.Endpoints()[0]; got.Reason != "" {
		t.Errorf("the reason is %q, want none", got.Reason)
	}
}

// A port without TLS does not get it while a request waits.
func TestAPortWithoutTLSIsNotWaitedFor(t *testing.T) {
	e := endpointAt("web", saysOnce(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
	e.Scheme = "https"
	p := poolOf(t, Config{TLS: spec.UpstreamTLS{NoVerify: true}, Prober: runProber(t, &Prober{})}, e)
	eventually(t, "it listens", p.Ready)
	r, x := request(t, "GET", "/", nil)
	_, _, err := do(t, p, withTimeouts(r, x, exchange.Timeouts{Hold: time.Hour}))
	if !errors.As(err, new(tls.RecordHeaderError)) || !strings.Contains(err.Error(), "fairlead.scheme") {
		t.Errorf("got %v, want that it does not speak TLS, and the label", err)
	}
}
