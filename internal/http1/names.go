package http1

import (
	"net/textproto"
	"strings"
)

// Canonical returns the canonical form of a valid field name, without
// allocating for the usual ones.
func Canonical(name string) string {
	if name == "" {
		return name
	}
	for i := mix(name) % slots; ; i = (i + 1) % slots {
		switch u := &usual[i]; {
		case u.canonical == "":
			return textproto.CanonicalMIMEHeaderKey(name)
		case u.canonical == name, u.lower == name:
			return u.canonical
		}
	}
}

// mix is a hash of a name, whatever its case, that costs next to nothing.
func mix(name string) uint {
	n := len(name)
	return uint(n)*37 + uint(name[0]|0x20)*11 + uint(name[n/2]|0x20)*5 + uint(name[n-1]|0x20)
}

// usual are the names that are usual, each in the first free slot from its hash on.
const slots = 512

var usual = func() (table [slots]struct{ canonical, lower string }) {
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Request-Headers",
		"Access-Control-Request-Method", "Age", "Allow", "Alt-Svc", "Authorization", "Cache-Control", "Connection", "Content-Disposition",
		"Content-Encoding", "Content-Language", "Content-Length", "Content-Range", "Content-Security-Policy", "Content-Type", "Cookie",
		"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "Dnt", "Etag", "Expect", "Expires", "Forwarded", "Host",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Last-Modified", "Link", "Location",
		"Origin", "Permissions-Policy", "Pragma", "Priority", "Proxy-Authorization", "Proxy-Connection", "Range", "Referer", "Referrer-Policy",
		"Retry-After", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
		"Sec-Fetch-User", "Sec-Gpc", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Key", "Sec-Websocket-Protocol",
		"Sec-Websocket-Version", "Server", "Server-Timing", "Set-Cookie", "Strict-Transport-Security", "Te", "Traceparent", "Tracestate",
		"Trailer", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "Vary", "Via", "Www-Authenticate",
		"X-Content-Type-Options", "X-Csrf-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
		"X-Frame-Options", "X-Powered-By", "X-Real-Ip", "X-Request-Id", "X-Requested-With", "X-Xss-Protection",
	} {
		i := mix(name) % slots
		for table[i].canonical != "" {
			i = (i + 1) % slots
		}
		table[i].canonical, table[i].lower = name, strings.ToLower(name)
	}
	return table
}()
