package h1

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/fairlead/fairlead/internal/http1"
)

// WriteHeader writes the head from Header. An answer of 1xx is sent at once and
// leaves the final one open. It panics if status has not three digits.
func (w *writer) WriteHeader(status int) {
	switch {
	case w.usable() != nil || w.status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status)
		return
	}
	w.status = status
	w.takeBuffer()
	w.appendStatus(status)
	dated := w.appendFields(w.Header(), status)
	w.lent = nil
	if !dated {
		w.out = http1.AppendField(w.out, "Date", *w.d.c.engine.date.Load())
	}
	w.headEnd = len(w.out)
	if hasNoBody(status) {
		w.length = -1
	}
	if w.length >= 0 || w.trailing || hasNoBody(status) {
		w.decide(false)
	}
}

// hasNoBody knows the statuses without a body (RFC 9112, 6.3). What follows a
// 101 is another protocol.
func hasNoBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified || status == http.StatusSwitchingProtocols
}

// inform sends an answer of 1xx. 1.0 knows none (RFC 9110, 15.2).
func (w *writer) inform(status int) {
	if status == http.StatusContinue {
		w.settleContinue()
	}
	if w.d.minor > 0 {
		w.takeBuffer()
		w.appendStatus(status)
		w.appendFields(w.Header(), status)
		w.out = append(w.out, crlf...)
		w.flush()
	}
	w.length, w.trailing, w.trailers = -1, false, w.trailers[:0]
	w.lent = nil
}

func (w *writer) appendStatus(status int) {
	switch {
	case w.d.minor == 0:
		w.out = append(w.out, "HTTP/1.0 "...)
	case status == http.StatusOK:
		w.out = append(w.out, "HTTP/1.1 200 OK\r\n"...)
		return
	default:
		w.out = append(w.out, "HTTP/1.1 "...)
	}
	w.out = strconv.AppendInt(w.out, int64(status), 10)
	w.out = append(w.out, ' ')
	w.out = append(w.out, http.StatusText(status)...)
	w.out = append(w.out, crlf...)
}

// appendFields appends the fields of h but those that say where the answer ends,
// which it notes, and reports whether there is a Date.
func (w *writer) appendFields(h http.Header, status int) (dated bool) {
	for name, values := range h {
		switch name {
		case "Content-Length":
			w.declare(values)
			continue
		case "Transfer-Encoding": // ours to say, the handler's to wish
			w.trailing = w.trailing || http1.HasToken(values, "chunked")
			continue
		case "Date":
			dated = true
		case "Connection":
			if http1.HasToken(values, "close") {
				w.d.last = w.d.last || status >= 200
				continue
			}
		case "Trailer":
			w.announce(values)
		}
		if !http1.IsToken(name) {
			w.trailing = w.trailing || strings.HasPrefix(name, http.TrailerPrefix)
			continue
		}
		for _, v := range values {
			w.out = appendField(w.out, name, v)
		}
	}
	return dated
}

// appendField appends a field line. Control bytes would let who can choose a value
// write lines of his own, so they become blanks.
func appendField(b []byte, name, value string) []byte {
	if http1.IsValue(value) {
		return http1.AppendField(b, name, value)
	}
	clean := []byte(value)
	for i := range clean {
		if !http1.IsValue(value[i : i+1]) {
			clean[i] = ' '
		}
	}
	return http1.AppendField(b, name, string(clean))
}

// declare notes the length that the handler says the body has.
func (w *writer) declare(values []string) {
	if len(values) != 1 {
		return
	}
	if n, ok := http1.ParseLength(values[0]); ok {
		w.length = n
	}
}

// announce notes the names of trailers.
func (w *writer) announce(lists []string) {
	for name := range listed(lists) {
		if httpguts.ValidTrailerHeader(name) {
			w.trailers = append(w.trailers, name)
			w.trailing = true
		}
	}
}

// listed iterates over the field names in comma-separated lists, in canonical
// form.
func listed(lists []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range lists {
			for name := range strings.SplitSeq(list, ",") {
				name = strings.Trim(name, " \t")
				if name != "" && !yield(http1.Canonical(name)) {
					return
				}
			}
		}
	}
}

// decide completes the head with the lines that tell where the answer ends, and
// whether another may follow. all means that the handler has returned, so that
// what was gathered is the whole body.
func (w *writer) decide(all bool) {
	w.decided = true
	d := w.d
	if all && !d.last && !d.body.skip() {
		d.last = true // nobody knows where the next request begins
	}
	if w.settleContinue() {
		d.last = true // it may send the body nevertheless, or not
	}
	if d.c.engine.leaving.Load() || w.status == http.StatusSwitchingProtocols {
		d.last = true
	}
	var lines [128]byte
	b := w.appendFraming(lines[:0], all)
	switch {
	case d.last && d.minor > 0:
		b = http1.AppendField(b, "Connection", "close")
	case !d.last && d.minor == 0:
		b = http1.AppendField(b, "Connection", "keep-alive")
	}
	b = append(b, crlf...)
	if body := len(w.out) - w.headEnd; body > 0 {
		w.insert(b, body)
		return
	}
	w.out = append(w.out, b...)
}

// insert puts b, the end of the head, before the body that was gathered.
func (w *writer) insert(b []byte, body int) {
	if w.framing == chunked {
		b = appendHex(b, body)
	}
	w.out = append(w.out, b...) // makes room
	copy(w.out[w.headEnd+len(b):], w.out[w.headEnd:w.headEnd+body])
	copy(w.out[w.headEnd:], b)
	if w.framing == chunked {
		w.out = append(w.out, crlf...)
	}
}

// appendFraming decides how the end of the body is told, and appends the line
// that says so.
func (w *writer) appendFraming(b []byte, all bool) []byte {
	head, bare := w.d.method == http.MethodHead, hasNoBody(w.status)
	if all && w.length < 0 && !bare && !w.hasTrailers() && (!head || w.written > 0) {
		w.length = w.written
	}
	switch {
	case head || bare:
		w.framing = bodiless
	case w.length >= 0:
		w.framing = sized
	case w.d.minor == 0:
		w.framing = closing
		w.d.last = true
	default:
		w.framing = chunked
		return append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if w.length < 0 {
		return b
	}
	b = append(b, "Content-Length: "...)
	return append(strconv.AppendInt(b, w.length, 10), crlf...)
}

// hasTrailers reports whether there are or may be trailers.
func (w *writer) hasTrailers() bool {
	if w.trailing || len(w.own) == 0 {
		return w.trailing
	}
	for name := range w.own {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// trail ends a chunked body: with those announced trailers that there are, and
// those that were not announced.
func (w *writer) trail() {
	w.out = append(w.out, "0\r\n"...)
	for _, name := range w.trailers {
		for _, v := range w.own[name] {
			w.out = appendField(w.out, name, v)
		}
	}
	for key, values := range w.own {
		name, ok := strings.CutPrefix(key, http.TrailerPrefix)
		name = strings.Trim(name, " ")
		if !ok || !http1.IsToken(name) || !httpguts.ValidTrailerHeader(http1.Canonical(name)) {
			continue
		}
		for _, v := range values {
			w.out = appendField(w.out, name, v)
		}
	}
	w.out = append(w.out, crlf...)
}

// appendHex appends n as the size of a chunk with its line end.
func appendHex(b []byte, n int) []byte {
	return append(strconv.AppendInt(b, int64(n), 16), crlf...)
}
