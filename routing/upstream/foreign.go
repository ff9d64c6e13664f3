package upstream

import (
	"bytes"
	"fmt"
	"net/http"
)

// notHTTP says of an answer that begins with b, and not with HTTP/1.1, what it is
// instead, and which line to change.
func notHTTP(b []byte) error {
	const begin = "its answer does not begin with HTTP/1.1"
	switch {
	// A record of TLS: type 21 (alert) or 22 (handshake), version 3.x (RFC 8446 5.1).
	case len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3:
		return fmt.Errorf("%s but is TLS: %s", begin, speakTLS)
	// HTTP/2 begins with a frame of type 4 (SETTINGS) on stream 0 (RFC 9113 3.4).
	case len(b) >= 9 && b[0] == 0 && b[3] == 4 && bytes.Equal(b[5:9], make([]byte, 4)):
		return fmt.Errorf("%s but is HTTP/2, as of gRPC servers, which is not spoken without TLS yet: set fairlead.port to a port that speaks HTTP/1.1", begin)
	}
	return fmt.Errorf("%s: %.40q; set fairlead.port to the port that speaks HTTP", begin, b)
}

const speakTLS = `add the label fairlead.scheme: https, and fairlead.upstream-tls.verify: "false" if its certificate is of its own making`

// What servers answer with, by 400, who expect TLS and get a plain request: Go,
// nginx, Apache, Tomcat.
var wantsTLS = [][]byte{
	[]byte("HTTP request to an HTTPS server"), []byte("HTTP request was sent to HTTPS port"),
	[]byte("plain HTTP to an SSL-enabled server port"), []byte("of host and port requires TLS"),
}

// noteTLS notes of e what resp, its answer to a plain request, says: that TLS is
// spoken on its port. The answer is passed on all the same, for it might be the
// app's own.
func (e *endpoint) noteTLS(resp *http.Response) {
	b, ok := resp.Body.(*body)
	if !ok || e.spec.Scheme == "https" || resp.StatusCode != http.StatusBadRequest {
		return
	}
	text := b.peek()
	for _, says := range wantsTLS {
		if bytes.Contains(text, says) {
			e.tell("it answered that it speaks TLS on that port: " + speakTLS)
			return
		}
	}
}

// tell notes reason and logs it, once as long as nothing else goes wrong.
func (e *endpoint) tell(reason string) {
	if f := e.failed.Load(); f == nil || f.text != reason {
		e.pool.log.Warn().Str("container", e.spec.Container).Str("endpoint", address(&e.spec)).Msg(e.spec.Container + ": " + reason)
	}
	e.note(reason)
}
