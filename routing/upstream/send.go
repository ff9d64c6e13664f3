package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
)

// send writes the head of call, with a body that was read already, and begins
// the upload of one that was not.
func (c *conn) send(call *call) (*upload, error) {
	out, err := c.t.appendHead(c.out[:0], call)
	if err != nil {
		return nil, &RequestError{err}
	}
	if call.small != nil {
		out = append(out, call.small[:call.smallLen]...)
	}
	c.out = out[:0]
	if cap(out) > bufferSize {
		c.out = nil
	}
	c.served++
	c.awaitAnswer(call)
	n, err := c.nc.Write(out)
	call.wrote = n > 0
	if err != nil || !call.stream {
		return nil, err
	}
	call.read = true
	up := newUpload(c, call)
	go up.run()
	return up, nil
}

// appendHead appends the head of call to b. What an engine let through was
// checked there; it is checked again, for middlewares write headers too, and a
// line break here would be a request of somebody's own making.
func (t *transport) appendHead(b []byte, call *call) ([]byte, error) {
	r, host := call.r, t.hostFor(call.r)
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	if !token(r.Method) || !printable(target) || !printable(host) {
		return b, fmt.Errorf("malformed method, target or host: %.40q %.80q %.80q", r.Method, target, host)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", host)
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", // said in our own words
			"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade": // of the client's connection
			continue
		case "Te":
			if !hasToken(values, "trailers") {
				continue
			}
			values = []string{"trailers"}
		}
		if !token(name) {
			return b, fmt.Errorf("malformed field name %.40q", name)
		}
		for _, v := range values {
			if !valid(v) {
				return b, fmt.Errorf("field %s has control bytes", name)
			}
			b = appendField(b, name, v)
		}
	}
	return appendFraming(b, call)
}

// hostFor returns the Host to send: that of r, or the endpoint's own address
// if it has none.
func (t *transport) hostFor(r *http.Request) string {
	switch {
	case r.Host != "":
		return r.Host
	case t.network == "unix":
		return "localhost"
	}
	return t.addr
}

func appendFraming(b []byte, call *call) ([]byte, error) {
	r := call.r
	if call.upgrade != "" {
		if !valid(call.upgrade) {
			return b, errors.New("field Upgrade has control bytes")
		}
		b = append(b, "Connection: Upgrade\r\n"...)
		b = appendField(b, "Upgrade", call.upgrade)
	}
	switch {
	case call.small != nil || call.stream && r.ContentLength > 0:
		b = appendField(b, "Content-Length", strconv.FormatInt(r.ContentLength, 10))
	case call.stream:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if len(r.Trailer) > 0 {
			b = appendField(b, "Trailer", strings.Join(trailerNames(r.Trailer), ", "))
		}
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch || len(r.Header["Content-Length"]) > 0:
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

func token(s string) bool {
	for i := range len(s) {
		if !isToken[s[i]] {
			return false
		}
	}
	return s != ""
}

// printable reports whether s has neither blanks nor control bytes.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// mayTrail reports whether a field may come behind a body: none that frames,
// routes or authenticates (RFC 9110 6.5.1).
func mayTrail(name string) bool {
	switch name {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Host", "Connection", "Keep-Alive", "Te", "Upgrade",
		"Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", "Authorization", "Set-Cookie", "Cookie",
		"Content-Encoding", "Content-Type", "Content-Range", "Cache-Control", "Expect", "Max-Forwards", "Location", "Proxy":
		return false
	}
	return token(name) && !exchange.Reserved(name)
}

func trailerNames(t http.Header) []string {
	var names []string
	for name := range t {
		if mayTrail(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
