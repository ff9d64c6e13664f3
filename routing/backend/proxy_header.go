package backend

import (
	"net/http"
	"strings"
)

// stripRequest removes what belongs to the client's connection from the header
// of r (RFC 9110 7.6.1), and returns the protocol it asks to switch to: ""
// or "websocket". No other upgrade goes further: an endpoint that agreed to,
// say, h2c would be talked to behind the proxy's back.
func stripRequest(r *http.Request) (upgrade string) {
	h := r.Header
	if wantsWebsocket(r) {
		upgrade = "websocket"
	}
	trailers := hasToken(h["Te"], "trailers")
	for _, name := range [...]string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Proxy", // CGI turns it into HTTP_PROXY, which programs obey (CVE-2016-5385)
	} {
		delete(h, name)
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if upgrade != "" {
		h["Upgrade"] = []string{upgrade}
		h["Connection"] = []string{"Upgrade"}
	}
	return upgrade
}

// wantsWebsocket reports whether r is the handshake of RFC 6455 4.1.
func wantsWebsocket(r *http.Request) bool {
	up := r.Header["Upgrade"]
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength == 0 &&
		len(up) == 1 && strings.EqualFold(up[0], "websocket") && hasToken(r.Header["Connection"], "upgrade")
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

// hasToken reports whether one of the comma separated lists has token.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}
