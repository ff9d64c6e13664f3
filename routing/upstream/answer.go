package upstream

import (
	"io"
	"net/http"
	"strings"
	"unsafe"

	"github.com/fairlead/fairlead/internal/http1"
)

// answer is what a caller gets of one response: the response itself, its Body,
// and the text of its head, into which all its strings point. They are made anew
// for every response, in one piece of memory, so that whoever holds one too long
// does not meet the next one in it.
type answer struct {
	resp http.Response
	body body
}

// Room for heads, so that the whole is one of the allocator's sizes. It puts 8
// bytes of its own before what is larger than 512.
type (
	answer320  = answerWith[[320 - unsafe.Sizeof(answer{})]byte]
	answer512  = answerWith[[512 - unsafe.Sizeof(answer{})]byte]
	answer1024 = answerWith[[1024 - 8 - unsafe.Sizeof(answer{})]byte]
	answer2048 = answerWith[[2048 - 8 - unsafe.Sizeof(answer{})]byte]
)

type answerWith[room any] struct {
	answer
	text room
}

// newAnswer returns an answer with the text of head.
func newAnswer(head []byte) (*answer, string) {
	switch n := uintptr(len(head)); {
	case n <= unsafe.Sizeof(answer320{}.text):
		a := new(answer320)
		return &a.answer, place(a.text[:], head)
	case n <= unsafe.Sizeof(answer512{}.text):
		a := new(answer512)
		return &a.answer, place(a.text[:], head)
	case n <= unsafe.Sizeof(answer1024{}.text):
		a := new(answer1024)
		return &a.answer, place(a.text[:], head)
	case n <= unsafe.Sizeof(answer2048{}.text):
		a := new(answer2048)
		return &a.answer, place(a.text[:], head)
	}
	return new(answer), string(head)
}

// place returns b as a string in memory that nobody writes to again.
func place(room, b []byte) string {
	n := copy(room, b)
	return unsafe.String(unsafe.SliceData(room), n)
}

// answer fills in the response of the final head, which is c.head.
func (c *conn) answer(call *call, a *answer, up *upload) *http.Response {
	h, resp := &c.head, &a.resp
	resp.Status, resp.StatusCode = h.text, h.status
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.1", 1, 1
	if h.http10 {
		resp.Proto, resp.ProtoMinor = "HTTP/1.0", 0
	}
	resp.Header, resp.ContentLength, resp.Request = h.fields.Header, h.length, call.r
	c.reply = resp
	c.body = reader{c: c, up: up, idle: call.limits.Idle}
	a.body.of.Store(&c.body)
	if h.status == http.StatusSwitchingProtocols {
		resp.ContentLength = 0
		resp.Body = newTunnel(c, &a.body)
		return resp
	}
	resp.Body = &a.body
	c.frame(call)
	if up != nil && !up.complete.Load() && (h.status >= 300 || h.close) {
		up.cease()
	}
	return resp
}

// frame says how the body ends (RFC 9112 6.3), and whether the connection can
// serve another request after it.
func (c *conn) frame(call *call) {
	h, b := &c.head, &c.body
	b.keep = !h.close && !bound(call.r.Header, h)
	b.left = h.length
	c.wary = false
	switch {
	case call.r.Method == http.MethodHead:
		// One that sends the body after all may do so when the connection is
		// in other hands: not worth the handful of HEAD requests.
		b.keep = false
		b.left, b.err = 0, io.EOF
	case h.status == http.StatusNoContent || h.status == http.StatusNotModified:
		b.keep = b.keep && !h.chunked && h.length <= 0
		c.wary = true
		b.left, b.err = 0, io.EOF
		c.reply.ContentLength = 0
		if h.status == http.StatusNoContent {
			delete(c.reply.Header, "Content-Length") // RFC 9110 8.6
		}
	case h.chunked:
		b.left = 0
		b.chunked = true
		announce(c.reply)
	case h.length == 0:
		b.err = io.EOF
	case h.length < 0:
		b.keep = false
	}
}

// announce moves the names of trailers from Header to Trailer.
func announce(resp *http.Response) {
	lists, ok := resp.Header["Trailer"]
	if !ok {
		return
	}
	delete(resp.Header, "Trailer")
	resp.Trailer = make(http.Header)
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = http1.Canonical(strings.Trim(name, " \t")); mayTrail(name) {
				resp.Trailer[name] = nil
			}
		}
	}
}
