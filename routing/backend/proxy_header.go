package backend

import (
	"net/http"
	"strings"

	"github.com/fairlead/fairlead/internal/http1"
)

// keepUpgrade takes the protocol that r asks to switch to out of its header,
// unless it is websocket, and returns it: "" or "websocket". No other upgrade goes
// further: an endpoint that agreed to, say, h2c would be talked to behind the
// proxy's back.
func keepUpgrade(r *http.Request) (upgrade string) {
	up, asks := r.Header["Upgrade"]
	switch {
	case !asks:
		return ""
	case r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength == 0 &&
		len(up) == 1 && strings.EqualFold(up[0], "websocket") && http1.HasToken(r.Header["Connection"], "upgrade"): // RFC 6455 4.1
		r.Header["Upgrade"] = []string{"websocket"}
		return "websocket"
	}
	delete(r.Header, "Upgrade")
	return ""
}

// stripFields removes what belongs to the endpoint's connection from the
// header of an answer, including the fields its Connection names.
func stripFields(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); !endToEnd(name) {
				delete(h, name)
			}
		}
	}
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
}

// endToEnd reports whether a field must reach the client whatever Connection
// says: without it the answer would mean something else.
func endToEnd(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Cache-Control", "Set-Cookie", "Location", "Vary":
		return true
	}
	return false
}
