package h1

import (
	"net/http"
	"strconv"
)

// A refusal answers a head that was not understood. It is the last answer of its
// connection, and says nothing of what was sent.
type refusal struct {
	status int
	why    string
}

var (
	badRequest     = refusal{http.StatusBadRequest, "malformed request"}
	targetTooLong  = refusal{http.StatusRequestURITooLong, "the target is too long"}
	headTooLarge   = refusal{http.StatusRequestHeaderFieldsTooLarge, "the head is too large"}
	badExpectation = refusal{http.StatusExpectationFailed, "unknown expectation"}
	badCoding      = refusal{http.StatusNotImplemented, "unsupported transfer encoding"}
	badVersion     = refusal{http.StatusHTTPVersionNotSupported, "unsupported version of HTTP"}
)

// refuse answers with r.
func (c *conn) refuse(r *refusal) {
	t := &c.engine.tally
	switch r.status {
	case http.StatusBadRequest:
		t.malformed.Add(1)
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		t.tooLarge.Add(1)
	default:
		t.unsupported.Add(1)
	}
	if !c.enter(busy) {
		return
	}
	status := strconv.Itoa(r.status) + " " + http.StatusText(r.status)
	body := status + ": " + r.why + "\n"
	_, err := c.nc.Write([]byte("HTTP/1.1 " + status + "\r\nDate: " + *c.engine.date.Load() + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nConnection: close\r\n\r\n" + body))
	c.over = err != nil
	c.linger = true
}
