package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/http1"
)

// send writes the head of call, with a body that was read already, and begins
// the upload of one that was not.
func (c *conn) send(call *call) (*upload, error) {
	out, err := c.t.appendHead(c.out[:0], call)
	if err != nil {
		return nil, &RequestError{err}
	}
	if call.probe != nil {
		c.noteSent(call, out)
	}
	if call.small != nil {
		out = append(out, call.small[:call.smallLen]...)
	}
	c.out = out[:0]
	if cap(out) > bufferSize {
		c.out = nil
	}
	c.served++
	if call.stream {
		return c.sendStream(call, out)
	}
	if idempotent(call.r.Method) && !call.read {
		c.stage.Store(int32(unanswered))
	}
	c.waiting = true
	if d := call.answerIn(); d > 0 {
		c.awaitFrom(c.began, forAnswer, d)
	}
	if c.direct == nil || c.secure {
		n, err := c.nc.Write(out)
		call.wrote = n > 0
		return nil, err
	}
	if err := c.makeRoom(bufferSize); err != nil {
		return nil, err
	}
	wrote, read, err := c.direct.Ask(out, c.in[c.w:])
	c.w += read
	call.wrote = wrote > 0
	return nil, err
}

// sendStream begins the upload of the body behind head. The wait for the answer
// begins at the end of that.
func (c *conn) sendStream(call *call, head []byte) (*upload, error) {
	c.mu.Lock()
	c.waiting = true
	c.mu.Unlock()
	if len(head) > headRoom || !call.begun() {
		c.await(forRoom, call.limits.Idle)
		n, err := c.nc.Write(head)
		c.came(forRoom)
		call.wrote = n > 0
		if err != nil {
			return nil, err
		}
		head = nil
	}
	call.wrote, call.read = true, true
	c.upload.begin(call, head)
	go c.upload.run()
	return &c.upload, nil
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
	if !http1.IsToken(r.Method) || !http1.IsTarget(target) || !http1.IsTarget(host) {
		return b, fmt.Errorf("malformed method, target or host: %.40q %.80q %.80q", r.Method, target, host)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = http1.AppendField(b, "Host", host)
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", // said in our own words
			"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings", // of the client's connection
			"Proxy-Authenticate", "Proxy-Authorization",
			"Proxy": // CGI turns it into HTTP_PROXY, which programs obey (CVE-2016-5385)
			continue
		case "Te":
			if !http1.HasToken(values, "trailers") {
				continue
			}
			values = []string{"trailers"}
		}
		if !http1.IsToken(name) {
			return b, fmt.Errorf("malformed field name %.40q", name)
		}
		for _, v := range values {
			if !http1.IsValue(v) {
				return b, fmt.Errorf("field %s has control bytes", name)
			}
			b = http1.AppendField(b, name, v)
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
		if !http1.IsValue(call.upgrade) {
			return b, errors.New("field Upgrade has control bytes")
		}
		b = append(b, "Connection: Upgrade\r\n"...)
		b = http1.AppendField(b, "Upgrade", call.upgrade)
	}
	switch {
	case call.small != nil || call.stream && r.ContentLength > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	case call.stream:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if len(r.Trailer) > 0 {
			b = http1.AppendField(b, "Trailer", strings.Join(trailerNames(r.Trailer), ", "))
		}
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch || len(r.Header["Content-Length"]) > 0:
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...), nil
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
	return http1.IsToken(name) && !exchange.Reserved(name)
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
