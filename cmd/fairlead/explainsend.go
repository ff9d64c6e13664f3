package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/server"
)

// Limits of a request that is really sent.
const (
	sendData  = 32 << 10 // bytes of --data
	sendHead  = 64 << 10 // of the answer's head
	sendBody  = 16 << 20 // of the answer's body that are read
	sendShown = 512      // of it that are shown
	sendMost  = 10 * time.Minute
	// sendSettle is how long the end of the exchange is waited for once its answer is
	// here: the proxy may still be writing what it knows.
	sendSettle = 2 * time.Second
)

// A letter is what the command asks to have sent.
type letter struct {
	Query   url.Values    `json:"query"` // as for explain
	Data    string        `json:"data,omitempty"`
	Timeout time.Duration `json:"timeout"`
}

// sent is what came of it, as both sides of the proxy saw it.
type sent struct {
	URL      string   `json:"url"`
	Entry    string   `json:"entry"`
	Address  string   `json:"address"` // that was connected to
	OK       bool     `json:"ok"`      // an answer came, and its status is below 500
	Err      string   `json:"error,omitempty"`
	TLS      *sentTLS `json:"tls,omitempty"`
	Request  []string `json:"request"`          // head that the proxy got
	Informed []string `json:"1xx,omitempty"`    // status lines before the final one
	Answer   []string `json:"answer,omitempty"` // head that it sent
	Status   int      `json:"status,omitempty"`
	Bytes    int64    `json:"bytes"`          // of the answer's body
	Body     string   `json:"body,omitempty"` // its beginning, if it is text
	More     bool     `json:"more,omitempty"` // there is more of it
	// In milliseconds, since the connection was begun.
	Connected float64 `json:"connected_ms"`
	Secured   float64 `json:"tls_ms,omitempty"`
	First     float64 `json:"first_byte_ms,omitempty"`
	Done      float64 `json:"done_ms"`

	Route    string    `json:"route,omitempty"`
	Pool     string    `json:"pool,omitempty"`
	Held     float64   `json:"held_ms,omitempty"`
	Code     string    `json:"code,omitempty"`  // of an answer that the proxy gave itself
	Cause    string    `json:"cause,omitempty"` // why
	ID       string    `json:"request_id,omitempty"`
	Unseen   bool      `json:"unseen,omitempty"` // another process answered: what follows is not known
	Attempts []sentTry `json:"attempts,omitempty"`
}

// A sentTry is one try to have an endpoint answer. Its times are in milliseconds
// since the proxy had the request.
type sentTry struct {
	Container string   `json:"container,omitempty"`
	Endpoint  string   `json:"endpoint"`
	Kept      bool     `json:"kept,omitempty"` // on a connection that was open already
	Request   []string `json:"request,omitempty"`
	Answer    []string `json:"answer,omitempty"`
	Begun     float64  `json:"begun_ms"`
	Sent      float64  `json:"sent_ms,omitempty"`
	Answered  float64  `json:"answered_ms,omitempty"`
	Err       string   `json:"error,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// send answers the command explain --send.
func (p *process) send(r *http.Request) (func(context.Context, *admin.Session), error) {
	bad := func(err error) error { return admin.Status{Code: http.StatusBadRequest, Err: err} }
	var l letter
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		return nil, bad(err)
	}
	q, err := readEnquiry(l.Query)
	if err != nil {
		return nil, bad(err)
	}
	q.data = l.Data
	point, err := p.entryFor(q)
	switch {
	case err != nil:
		return nil, err
	case point == nil:
		return nil, bad(errors.New("no entry point speaks TLS (--https)"))
	case len(l.Data) > sendData:
		return nil, bad(fmt.Errorf("--data is longer than %d KiB", sendData>>10))
	case l.Timeout <= 0 || l.Timeout > sendMost:
		return nil, bad(fmt.Errorf("--timeout: want more than 0, and at most %s", sendMost))
	}
	return func(ctx context.Context, s *admin.Session) {
		ctx, cancel := context.WithTimeout(ctx, l.Timeout)
		defer cancel()
		out := p.deliver(ctx, q, point)
		s.SetDeadline(time.Now().Add(messageTime))
		s.Send(out)
	}, nil
}

// deliver sends q to the proxy's own entry point, and watches it on its way.
func (p *process) deliver(ctx context.Context, q *enquiry, point *server.EntryPoint) *sent {
	out := &sent{URL: q.url(), Entry: point.Name, Address: reachable(point.Addr)}
	begun := time.Now()
	probe := exchange.NewProbe()
	err := p.converse(ctx, q, out, probe, begun)
	if err != nil {
		out.Err, out.Done = worded(ctx, err), cmp.Or(out.Done, millis(time.Since(begun)))
	}
	settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendSettle)
	defer cancel()
	select {
	case <-probe.Ended():
	case <-settled.Done():
		out.Unseen = len(probe.Attempts()) == 0 && out.Status != 0
	}
	out.inside(probe)
	out.OK = out.Err == "" && out.Status < http.StatusInternalServerError
	return out
}

func worded(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "no complete answer came in time (--timeout)"
	}
	return err.Error()
}

// reachable returns the address by which this machine reaches a listener.
func reachable(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsUnspecified() {
		return addr
	}
	// Linux takes IPv4 at [::] too.
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
}

// converse sends q and reads the answer.
func (p *process) converse(ctx context.Context, q *enquiry, out *sent, probe *exchange.Probe, begun time.Time) error {
	var d net.Dialer
	sock, err := d.DialContext(ctx, "tcp", out.Address)
	if err != nil {
		return fmt.Errorf("connect to the proxy's own entry point %s: %w", out.Entry, err)
	}
	conn := sock
	defer sock.Close()
	defer context.AfterFunc(ctx, func() { sock.Close() })()
	out.Connected = millis(time.Since(begun))
	if local, ok := sock.LocalAddr().(*net.TCPAddr); ok {
		defer p.probes.Watch(local.AddrPort(), probe)()
	}
	if q.secure {
		secure := tls.Client(sock, &tls.Config{ServerName: q.name(), InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // what it shows is told, whatever it is
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		out.Secured = millis(time.Since(begun))
		conn = secure
		// Afterwards: looking at authorities takes its time, which is not the proxy's.
		defer func() { out.TLS = describeTLS(secure.ConnectionState(), q.name()) }()
	}
	head := q.head()
	out.Request = headLines([]byte(head))
	if _, err := io.WriteString(conn, head+q.data); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	err = out.read(bufio.NewReader(conn), q.method, begun)
	out.Done = millis(time.Since(begun))
	return err
}

// head returns the head of q as it is sent: what was given, and as little else as
// will do.
func (q *enquiry) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method, q.target, q.authority)
	for _, line := range q.lines {
		b.WriteString(line + "\r\n")
	}
	add := func(name, value string) {
		if q.header.Get(name) == "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	add("User-Agent", "fairlead-explain")
	add("Connection", "close")
	if q.data != "" {
		add("Content-Length", strconv.Itoa(len(q.data)))
	}
	return b.String() + "\r\n"
}

// read reads the answer to a request with method.
func (s *sent) read(in *bufio.Reader, method string, begun time.Time) error {
	for {
		head, err := readHead(in)
		if err != nil {
			return fmt.Errorf("the connection ended before an answer came: %w", err)
		}
		if s.First == 0 {
			s.First = millis(time.Since(begun))
		}
		resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), in)), &http.Request{Method: method})
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		lines := headLines(head)
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			s.Informed = append(s.Informed, lines[0])
			continue
		}
		s.Answer, s.Status = lines, resp.StatusCode
		if s.Status == http.StatusSwitchingProtocols {
			return nil // what follows is another protocol
		}
		defer resp.Body.Close()
		return s.readBody(resp.Body)
	}
}

func readHead(in *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := in.ReadSlice('\n')
		head = append(head, line...)
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(head) > sendHead:
			return nil, errors.New("its head is too large")
		case bytes.HasSuffix(head, []byte("\r\n\r\n")):
			return head, nil
		}
	}
}

func (s *sent) readBody(body io.Reader) error {
	var begin beginning
	n, err := io.Copy(&begin, io.LimitReader(body, sendBody))
	s.Bytes, s.More = n, n > sendShown
	if isText(begin) {
		s.Body = string(begin)
	}
	if err != nil {
		return fmt.Errorf("the body broke off after %d bytes: %w", n, err)
	}
	return nil
}

// A beginning keeps what is written to it up to sendShown bytes.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), sendShown-len(*b))]...)
	return len(p), nil
}

// isText reports whether b, which may end within a character, can be shown.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && utf8.FullRune(b) || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			return false
		}
		b = b[n:]
	}
	return true
}

// inside adds what the proxy knows of the exchange.
func (s *sent) inside(probe *exchange.Probe) {
	o := probe.Outcome()
	s.Route, s.Pool, s.Held, s.Code, s.ID = o.Route, o.Pool, millis(o.Held), o.Code, o.ID
	if o.Cause != nil && o.Status != http.StatusSwitchingProtocols { // that it ended then was our doing
		s.Cause = o.Cause.Error()
	}
	for _, a := range probe.Attempts() {
		s.Attempts = append(s.Attempts, sentTry{
			Container: a.Container, Endpoint: a.Endpoint, Kept: a.Kept, Request: headLines(a.Request), Answer: headLines(a.Answer),
			Begun: millis(a.Begun), Sent: millis(a.Sent), Answered: millis(a.Answered), Err: a.Err,
		})
	}
}

func headLines(head []byte) []string {
	text := strings.TrimRight(string(head), "\r\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\r\n")
}

// send has the request sent and prints what came of it.
func (f *explainFlags) deliver(ctx context.Context, client admin.Client, target string) (*sent, error) {
	s, err := client.Open(ctx, "send", letter{Query: f.query(target), Data: f.data, Timeout: f.timeout})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })()
	s.SetDeadline(time.Now().Add(f.timeout + messageTime + sendSettle))
	var out sent
	if _, err := s.Receive(&out); err != nil {
		return nil, fmt.Errorf("the proxy does not say what came of it: %w", err)
	}
	return &out, nil
}

// outcome says in a sentence what came of it.
func (s *sent) outcome() string {
	if s.Err != "" {
		return s.Err
	}
	text := fmt.Sprintf("%s after %s", strings.TrimPrefix(s.Answer[0], "HTTP/1.1 "), inMillis(s.Done))
	n := len(s.Attempts)
	switch {
	case s.Code != "":
		text += ", by the proxy itself (" + s.Code + ")"
	case n > 0:
		text += ", by " + strings.TrimSpace(s.Attempts[n-1].Container+" "+s.Attempts[n-1].Endpoint)
	case s.Route != "":
		text += ", by the route " + s.Route + " itself"
	}
	return text
}

func inMillis(ms float64) string {
	if ms >= 1000 {
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + " s"
	}
	return cmp.Or(strings.TrimSuffix(strconv.FormatFloat(ms, 'f', 1, 64), ".0"), "0") + " ms"
}
