package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/http1"
	"github.com/fairlead/fairlead/routing/upstream/transporttest"
)

// stricter are the rules by which answers are refused that net/http takes: what
// our error says, and what must be seen in the bytes then, of which there must be
// so many.
var stricter = []struct {
	says string
	seen *regexp.Regexp
	size int
}{
	{"a line that does not end in CRLF", regexp.MustCompile(`(^|[^\r])\n`), 0},
	// A blank in it or before its colon, no colon, a folded line.
	{"a malformed field name", regexp.MustCompile("\n([^:\r\n]*[^!#$%&'*+.^_`|~0-9A-Za-z:\r\n-][^\r\n]*|:[^\r\n]*|[^:\r\n]+)\r\n"), 0},
	{"control bytes in field", regexp.MustCompile(`:[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]`), 0},
	{"does not begin with HTTP/1.1", regexp.MustCompile(`(^|\n)(HTTP/[^1]|HTTP/1[^.]|HTTP/1\.[^01])`), 0},
	{"status line is malformed", regexp.MustCompile(`HTTP/1\.[01] (0[0-9]{2}|[^0-9\r][^\r]*|[0-9]{1,2}[^0-9][^\r]*|[0-9]{3}[^ \r][^\r]*|[^\r]*[\x00-\x08\x0a-\x1f\x7f][^\r]*)`), 0},
	// net/http overlooks these two in answers without a body, and a coding in 1.0.
	{"Transfer-Encoding is not chunked", regexp.MustCompile(`(?i)\ntransfer-encoding:`), 0},
	{"Content-Length is malformed", regexp.MustCompile(`(?i)\ncontent-length:`), 0},
	{"Content-Length with Transfer-Encoding", regexp.MustCompile(`(?is)(\ntransfer-encoding:.*\ncontent-length:|\ncontent-length:.*\ntransfer-encoding:)`), 0},
	{"the head of its answer is too large", regexp.MustCompile(`(\n.*){1000}`), 0},
	{"the head of its answer is too large", regexp.MustCompile(``), maxHead},
	{"switched protocols", regexp.MustCompile(`HTTP/1\.. 101`), 0},
	{"too many 1xx", regexp.MustCompile(`(?s)(HTTP/1\.. 1.*){100}`), 0},
	// A blank or a control byte behind its size, a size with too many digits, more
	// framing than data.
	{"a malformed chunk", regexp.MustCompile(`(?s)\r\n\r\n.*([0-9a-fA-F][ \t]|;[^\n]*[\x00-\x08\x0b-\x1f\x7f]|[0-9a-fA-F]{16})`), 0},
	{"a malformed chunk", regexp.MustCompile(``), http1.MaxChunkLine},
	{"more bytes than are allowed", regexp.MustCompile(``), http1.MaxTrailer},
}

// pieces is the end of a connection on which an answer comes in pieces.
type pieces struct {
	canned
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.answer)
	p.answer = p.answer[n:]
	return n, nil
}

// outlook is what somebody makes of an answer.
type outlook struct {
	err     error // nothing is passed on
	status  int
	header  http.Header
	body    string
	cut     error // the body is not complete
	trailer http.Header
	kept    bool // the connection may be used again
}

func (o outlook) String() string {
	return fmt.Sprintf("%v; %d %v %q, cut: %v, trailer %v, kept: %v", o.err, o.status, o.header, o.body, o.cut, o.trailer, o.kept)
}

// ours has the transport read answer in pieces of that size.
func ours(t *testing.T, method string, answer []byte, size int) (o outlook) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		return &pieces{canned{answer: answer}, size}, nil
	}
	p := poolOf(t, Config{Dial: dial}, endpoint4("web", "10.0.0.1:80"))
	defer p.Close()
	r, x := request(t, method, "/", nil)
	x.Timeouts = &exchange.Timeouts{Response: time.Minute, Idle: time.Minute}
	resp, err := p.RoundTrip(r)
	if err != nil {
		return outlook{err: err}
	}
	o.status, o.header = resp.StatusCode, resp.Header.Clone()
	b, err := io.ReadAll(resp.Body)
	o.body, o.cut, o.trailer = string(b), err, resp.Trailer
	resp.Body.Close()
	o.kept = len(p.all[0].transport.idle) == 1
	return o
}

// theirs is what net/http makes of it.
func theirs(method string, answer []byte) (o outlook) {
	br := bufio.NewReader(bytes.NewReader(answer))
	for range maxInform + 1 {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return outlook{err: err}
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		o.status, o.header = resp.StatusCode, resp.Header
		b, err := io.ReadAll(resp.Body)
		o.body, o.cut, o.trailer = string(b), err, resp.Trailer
		o.kept = !resp.Close && br.Buffered() == 0 && err == nil
		return o
	}
	return outlook{err: errors.New("too many 1xx")}
}

// FuzzAnswer holds what the transport makes of an answer against what net/http
// makes of it: the same, but for what is refused by one of the rules above, and
// whatever pieces it comes in.
func FuzzAnswer(f *testing.F) {
	for _, s := range transporttest.Samples() {
		if len(s) < 4096 {
			f.Add([]byte(s), uint16(1<<10), false)
		}
	}
	f.Add([]byte(hello), uint16(1), true)
	f.Fuzz(func(t *testing.T, answer []byte, size uint16, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		got, pieced := ours(t, method, answer, 1<<20), ours(t, method, answer, max(1, int(size)))
		pieced.kept = got.kept // it cannot know of what is still to come
		if got.String() != pieced.String() {
			t.Fatalf("%q:\nin pieces of %d: %v\nin one: %v", answer, size, pieced, got)
		}
		compare(t, answer, got, theirs(method, answer))
	})
}

func compare(t *testing.T, answer []byte, got, want outlook) {
	if err := errors.Join(got.err, got.cut); err != nil {
		if want.err == nil && want.cut == nil && !refusedByRule(err, answer) {
			t.Errorf("%q: ours refuses it by no rule that is named: %v", answer, err)
		}
		return
	}
	switch {
	case want.err != nil || want.cut != nil:
		t.Errorf("%q: ours lets it through, net/http says %v %v", answer, want.err, want.cut)
	case got.status != want.status || got.body != want.body:
		t.Errorf("%q: got %d %q, net/http says %d %q", answer, got.status, got.body, want.status, want.body)
	case got.kept && !want.kept && len(answer) < bufferSize: // else there may be more that was not read yet
		t.Errorf("%q: the connection is kept, but for net/http it ends, or there is more", answer)
	}
	for name, values := range want.header {
		if !slices.Contains(otherwise, name) && fmt.Sprint(got.header[name]) != fmt.Sprint(values) {
			t.Errorf("%q: %s is %q, net/http says %q", answer, name, got.header[name], values)
		}
	}
	for name, values := range got.trailer {
		if len(values) > 0 && fmt.Sprint(want.trailer[name]) != fmt.Sprint(values) {
			t.Errorf("%q: trailer %s is %q, net/http says %q", answer, name, values, want.trailer[name])
		}
	}
}

// otherwise are fields that net/http treats as its own.
var otherwise = []string{"Connection", "Content-Length", "Trailer", "Pragma", "Cache-Control"}

func refusedByRule(err error, answer []byte) bool {
	for _, rule := range stricter {
		if strings.Contains(err.Error(), rule.says) && len(answer) >= rule.size && rule.seen.Match(answer) {
			return true
		}
	}
	return false
}
