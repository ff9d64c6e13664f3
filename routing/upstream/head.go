package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

const (
	maxHead   = 64 << 10 // bytes of one response head, status line included
	maxFields = 1000     // of one head or trailer
	maxInform = 100      // 1xx answers before the final one
)

var errHeadSize = errors.New("the head of its answer is too large")

// head is a parsed response head.
type head struct {
	status  int
	text    string // "200 OK"
	http10  bool
	header  http.Header
	length  int64 // Content-Length, -1 if there is none
	chunked bool
	close   bool // Connection: close
}

// Byte classes of RFC 9110 5.6.2 (token) and 5.5 (field value).
var isToken, isValue [256]bool

func init() {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		isToken[c] = true
	}
	for i := range isValue {
		isValue[i] = i == '\t' || i >= ' ' && i != 0x7f
	}
}

// endOfHead returns the length of the head at the front of b including its
// blank line, or 0 if more bytes are needed; then scanned is where to go on.
// A line that does not end in CRLF is an error at once, lest one who sends
// bare LFs is waited for in vain.
func endOfHead(b []byte, from int) (end, scanned int, err error) {
	for i := from; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return 0, i, nil
		}
		if i+j == 0 || b[i+j-1] != '\r' {
			return 0, 0, errors.New("its head has a line that does not end in CRLF")
		}
		if j == 1 {
			return i + 2, 0, nil
		}
		i += j + 1
	}
}

// parseHead parses a complete response head (RFC 9112 4, 5, 6.3). What two
// readers could take for two different things is refused. Strings of the
// result share one copy of b.
func parseHead(b []byte) (h head, err error) {
	s := string(b)
	line, rest, _ := strings.Cut(s, "\r\n")
	if err := h.parseStatus(line); err != nil {
		return h, err
	}
	if h.header, err = parseFields(rest); err != nil {
		return h, err
	}
	return h, h.frame()
}

func (h *head) parseStatus(line string) error {
	const prefix = len("HTTP/1.1 ")
	if len(line) < prefix+3 || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return fmt.Errorf("its answer does not begin with HTTP/1.1: %.40q", line)
	}
	for _, c := range []byte(line[prefix : prefix+3]) {
		if c < '0' || c > '9' {
			return fmt.Errorf("its status line is malformed: %.40q", line)
		}
		h.status = h.status*10 + int(c-'0')
	}
	reason := line[prefix+3:]
	if h.status < 100 || reason != "" && reason[0] != ' ' || !valid(reason) {
		return fmt.Errorf("its status line is malformed: %.40q", line)
	}
	h.http10 = line[7] == '0'
	h.text = line[prefix:]
	return nil
}

// parseFields parses field lines up to and including the blank line that ends
// s. The map is the caller's.
func parseFields(s string) (http.Header, error) {
	n := strings.Count(s, "\n") - 1
	if n > maxFields {
		return nil, errHeadSize
	}
	fields := make(http.Header, n)
	values := make([]string, n) // one allocation for all of them
	for i := 0; ; i++ {
		line, rest, ok := strings.Cut(s, "\r\n")
		if !ok {
			return nil, errors.New("its head breaks off")
		}
		if line == "" {
			return fields, nil
		}
		name, value, err := parseField(line)
		if err != nil {
			return nil, err
		}
		if old, ok := fields[name]; ok {
			fields[name] = append(old, value)
		} else {
			values[i] = value
			fields[name] = values[i : i+1 : i+1]
		}
		s = rest
	}
}

// parseField splits one field line. A name is a token with the colon right
// behind it, so folded lines (which begin with a blank) have none.
func parseField(line string) (name, value string, err error) {
	i := 0
	for i < len(line) && isToken[line[i]] {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return "", "", fmt.Errorf("its head has a malformed field name: %.40q", line)
	}
	value = strings.Trim(line[i+1:], " \t")
	if !valid(value) {
		return "", "", fmt.Errorf("field %s of its head has control bytes", line[:i])
	}
	return canonical(line[:i]), value, nil
}

func valid(value string) bool {
	for i := range len(value) {
		if !isValue[value[i]] {
			return false
		}
	}
	return true
}

// frame reads the fields that say how long the body is, and takes
// Transfer-Encoding, which is the connection's own, out of the header.
func (h *head) frame() error {
	h.length = -1
	coding, chunked := h.header["Transfer-Encoding"]
	if chunked {
		if h.http10 || len(coding) != 1 || !strings.EqualFold(coding[0], "chunked") {
			return fmt.Errorf("its Transfer-Encoding is not chunked: %.40q", coding)
		}
		h.chunked = true
		delete(h.header, "Transfer-Encoding")
	}
	if lengths, ok := h.header["Content-Length"]; ok {
		if h.chunked {
			return errors.New("it sent Content-Length with Transfer-Encoding")
		}
		for _, v := range lengths {
			n, err := parseLength(v)
			if err != nil || h.length >= 0 && n != h.length {
				return fmt.Errorf("its Content-Length is malformed: %.40q", lengths)
			}
			h.length = n
		}
		h.header["Content-Length"] = lengths[:1]
	}
	h.close = h.http10 || hasToken(h.header["Connection"], "close")
	return nil
}

// parseLength parses a Content-Length: digits and nothing else.
func parseLength(v string) (n int64, err error) {
	if v == "" || len(v) > 18 {
		return 0, errors.New("not a length")
	}
	for _, c := range []byte(v) {
		if c < '0' || c > '9' {
			return 0, errors.New("not a length")
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
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

// canonical returns the canonical form of a valid field name without
// allocating for the usual ones.
func canonical(name string) string {
	if c, ok := usual[name]; ok {
		return c
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

var usual = func() map[string]string {
	m := make(map[string]string)
	for _, name := range []string{
		"Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Origin", "Age", "Allow", "Alt-Svc",
		"Cache-Control", "Connection", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
		"Content-Range", "Content-Security-Policy", "Content-Type", "Date", "Etag", "Expires", "Keep-Alive", "Last-Modified",
		"Link", "Location", "Pragma", "Referrer-Policy", "Retry-After", "Server", "Set-Cookie", "Strict-Transport-Security",
		"Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options",
		"X-Powered-By", "X-Request-Id", "X-Xss-Protection",
	} {
		m[name], m[strings.ToLower(name)] = name, name
	}
	return m
}()
