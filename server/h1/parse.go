package h1

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/fairlead/fairlead/internal/http1"
)

// parse makes the head at the front of the buffer, end bytes long, the request
// in hand. What can be read in two ways is refused (RFC 9112, 11.2): somebody
// behind this engine may read it in the other.
func (d *desk) parse(end int) *refusal {
	if d.poisoned {
		d.cure()
	}
	d.used = true
	head := d.in[d.from : d.from+end]
	fields := bytes.Count(head, crlf[1:]) - 2
	if fields > d.c.engine.cfg.MaxFields {
		return &headTooLarge
	}
	d.large = fields > manyFields
	s := string(head) // the one allocation; all that is parsed points into it
	r := d.req
	line := strings.Index(s, "\r\n")
	if no := d.parseLine(s[:line]); no != nil {
		return no
	}
	if err := d.fields.Parse(s[line+2:]); err != nil {
		if errors.Is(err, http1.ErrTooManyFields) {
			return &headTooLarge
		}
		return &badRequest
	}
	r.Header = d.fields.Header
	if no := d.parseHost(); no != nil {
		return no
	}
	if no := d.parseTarget(); no != nil {
		return no
	}
	d.from += end
	if no := d.parseFraming(); no != nil {
		d.from -= end
		return no
	}
	r.RemoteAddr, r.TLS = d.c.remote, d.c.tls
	d.method, d.minor = r.Method, r.ProtoMinor
	d.parsed = true
	return nil
}

// parseLine parses the request line (RFC 9112, 3).
func (d *desk) parseLine(line string) *refusal {
	r := d.req
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	switch {
	case !ok || !http1.IsToken(method) || target == "" || !http1.IsTarget(target):
		return &badRequest
	case version == "HTTP/1.1":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	case version == "HTTP/1.0":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
	case isVersion(version):
		return &badVersion
	default:
		return &badRequest
	}
	r.Method, r.RequestURI = method, target
	return nil
}

// isVersion knows an HTTP-version (RFC 9112, 2.3).
func isVersion(s string) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return len(s) == len("HTTP/1.1") && s[:5] == "HTTP/" && digit(s[5]) && s[6] == '.' && digit(s[7])
}

// parseHost takes the Host field, of which there has to be one in 1.1
// (RFC 9112, 3.2).
func (d *desk) parseHost() *refusal {
	r := d.req
	hosts := r.Header["Host"]
	switch {
	case len(hosts) == 1 && httpguts.ValidHostHeader(hosts[0]):
		r.Host = hosts[0]
		delete(r.Header, "Host")
	case len(hosts) > 0 || r.ProtoMinor > 0:
		return &badRequest
	}
	return nil
}

// plainPath are the bytes of a path that stand for themselves and are written so.
var plainPath = func() (plain [256]bool) {
	for c := range 256 {
		s := "/" + string(rune(c))
		u, err := url.ParseRequestURI(s)
		plain[c] = c < 0x80 && err == nil && c != '?' && c != '#' && u.Path == s && u.RawPath == ""
	}
	return plain
}()

// parseTarget makes r.URL of the target. That of an absolute-form target names
// the host (RFC 9112, 3.2.2).
func (d *desk) parseTarget() *refusal {
	r := d.req
	target := r.RequestURI
	i := 0
	for i < len(target) && plainPath[target[i]] {
		i++
	}
	query := ""
	if i < len(target) && target[i] == '?' {
		query = target[i+1:]
	}
	switch {
	case strings.IndexByte(target, '#') >= 0:
		return &badRequest
	case target[0] == '/' && i == len(target):
		d.url.Path = target
		r.URL = &d.url
		return nil
	case target[0] == '/' && query != "":
		d.url.Path, d.url.RawQuery = target[:i], query
		r.URL = &d.url
		return nil
	}
	return d.parseURL(target)
}

// parseURL parses targets that are not plain paths.
func (d *desk) parseURL(target string) *refusal {
	r := d.req
	authority := r.Method == http.MethodConnect && target[0] != '/'
	if authority {
		target = "http://" + target
	}
	u, err := url.ParseRequestURI(target)
	switch {
	case err != nil:
		return &badRequest
	case target[0] == '/' || target == "*":
	case u.Scheme != "http" && u.Scheme != "https" || !httpguts.ValidHostHeader(u.Host):
		return &badRequest
	case u.Host != "":
		r.Host = u.Host
	}
	if authority {
		u.Scheme = ""
	}
	r.URL = u
	return nil
}

// parseFraming finds out where the request ends (RFC 9112, 6.3), whether it is
// the last of its connection, and what else decides how it is served.
func (d *desk) parseFraming() *refusal {
	r := d.req
	h := r.Header
	length, no := contentLength(h)
	if no != nil {
		return no
	}
	chunked := false
	if codings, ok := h["Transfer-Encoding"]; ok {
		switch {
		case length >= 0 || r.ProtoMinor == 0:
			return &badRequest
		case len(codings) != 1 || !http1.Is(codings[0], "chunked"):
			return &badCoding
		}
		chunked = true
		delete(h, "Transfer-Encoding")
		d.coding[0] = "chunked"
		r.TransferEncoding = d.coding[:]
	}
	r.Close = lastOf(h["Connection"], r.ProtoMinor)
	d.last = r.Close || d.isEnough()
	d.waits = len(h["Upgrade"]) > 0 || r.Method == http.MethodConnect
	r.Body = http.NoBody
	if chunked {
		if no := d.parseTrailer(); no != nil {
			return no
		}
		r.ContentLength = -1
		d.openBody(0, true)
	} else if length > 0 {
		r.ContentLength = length
		d.openBody(length, false)
	}
	return d.parseExpect()
}

// isEnough reports whether the request is the last that a connection may ask.
func (d *desk) isEnough() bool {
	most := d.c.engine.cfg.MaxRequests
	return most > 0 && d.c.served.Load()+1 >= uint64(most)
}

// contentLength returns -1 if there is none. Several that agree are one.
func contentLength(h http.Header) (int64, *refusal) {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, &badRequest
		}
	}
	n, ok := http1.ParseLength(values[0])
	if !ok {
		return 0, &badRequest
	}
	if len(values) > 1 {
		h["Content-Length"] = values[:1:1]
	}
	return n, nil
}

func lastOf(connection []string, minor int) bool {
	if len(connection) == 0 {
		return minor == 0
	}
	return http1.HasToken(connection, "close") || minor == 0 && !http1.HasToken(connection, "keep-alive")
}

// parseTrailer makes the announced trailers keys of r.Trailer. Fields that frame
// the message must not come behind it (RFC 9110, 6.5.1).
func (d *desk) parseTrailer() *refusal {
	lists, ok := d.req.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(d.req.Header, "Trailer")
	trailer := make(http.Header)
	for name := range listed(lists) {
		switch name {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return &badRequest
		}
		trailer[name] = nil
	}
	if len(trailer) > 0 {
		d.req.Trailer = trailer
	}
	return nil
}

// parseExpect knows the one expectation there is (RFC 9110, 10.1.1). In 1.0 there
// is none.
func (d *desk) parseExpect() *refusal {
	expect := d.req.Header["Expect"]
	switch {
	case len(expect) == 0:
		return nil
	case !http1.HasToken(expect, "100-continue"):
		return &badExpectation
	}
	if d.body != nil && d.req.ProtoMinor > 0 {
		d.waits = true
		d.body.expects = true
	}
	return nil
}
