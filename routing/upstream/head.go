package upstream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/internal/http1"
)

const (
	maxHead   = 64 << 10 // bytes of one response head, status line included
	maxInform = 100      // 1xx answers before the final one
)

var errHeadSize = errors.New("the head of its answer is too large")

// head is a parsed response head, in memory that is used again.
type head struct {
	fields  http1.Fields
	whole   string // as it came
	status  int
	text    string // "200 OK"
	http10  bool
	length  int64 // Content-Length, -1 if there is none
	chunked bool
	close   bool // Connection: close
}

// inHead says of an error of http1 that it is in the head of an answer.
func inHead(err error) error {
	if errors.As(err, new(*http1.SyntaxError)) {
		return fmt.Errorf("its head has %w", err)
	}
	return errHeadSize
}

// parse parses a complete response head (RFC 9112 4, 5, 6.3). What two readers
// could take for two different things is refused. Strings of h are parts of s.
func (h *head) parse(s string) error {
	*h = head{fields: h.fields, whole: s}
	line, rest, _ := strings.Cut(s, "\r\n")
	if err := h.parseStatus(line); err != nil {
		return err
	}
	if err := h.fields.Parse(rest); err != nil {
		return inHead(err)
	}
	return h.frame()
}

func (h *head) parseStatus(line string) error {
	const prefix = len("HTTP/1.1 ")
	if len(line) < prefix+3 || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return notHTTP([]byte(line))
	}
	for _, c := range []byte(line[prefix : prefix+3]) {
		if c < '0' || c > '9' {
			return fmt.Errorf("its status line is malformed: %.40q", line)
		}
		h.status = h.status*10 + int(c-'0')
	}
	reason := line[prefix+3:]
	if h.status < 100 || reason != "" && reason[0] != ' ' || !http1.IsValue(reason) {
		return fmt.Errorf("its status line is malformed: %.40q", line)
	}
	h.http10 = line[7] == '0'
	h.text = line[prefix:]
	return nil
}

// frame reads the fields that say how long the body is, and takes
// Transfer-Encoding, which is the connection's own, out of the header.
func (h *head) frame() error {
	h.length = -1
	header := h.fields.Header
	if coding, ok := header["Transfer-Encoding"]; ok {
		if h.http10 || len(coding) != 1 || !strings.EqualFold(coding[0], "chunked") {
			return fmt.Errorf("its Transfer-Encoding is not chunked: %.40q", coding)
		}
		h.chunked = true
		delete(header, "Transfer-Encoding")
	}
	if lengths, ok := header["Content-Length"]; ok {
		if h.chunked {
			return errors.New("it sent Content-Length with Transfer-Encoding")
		}
		for _, v := range lengths {
			n, ok := http1.ParseLength(v)
			if !ok || h.length >= 0 && n != h.length {
				return fmt.Errorf("its Content-Length is malformed: %.40q", lengths)
			}
			h.length = n
		}
		if len(lengths) > 1 {
			header["Content-Length"] = lengths[:1]
		}
	}
	h.close = h.http10 || http1.HasToken(header["Connection"], "close")
	return nil
}
