package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"
)

// A Session is a conversation of JSON messages over the socket, which open files
// can go along with. One goroutine sends and one receives.
type Session struct {
	conn *net.UnixConn
	in   *json.Decoder
	from *filer
}

// maxFiles is how many files may come with one message; the kernel's own limit
// is 253.
const maxFiles = 200

// A filer reads from a socket and keeps the files that come along.
type filer struct {
	conn  *net.UnixConn
	files []*os.File
}

func (f *filer) Read(p []byte) (int, error) {
	oob := make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := f.conn.ReadMsgUnix(p, oob)
	if oobn > 0 {
		err = errors.Join(err, f.keep(oob[:oobn]))
	}
	return max(n, 0), err // it is -1 with an error
}

func (f *filer) keep(oob []byte) error {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("files of a message: %w", err)
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return fmt.Errorf("files of a message: %w", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd) // Linux has done it
			f.files = append(f.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return nil
}

func (f *filer) close() {
	for _, file := range f.files {
		file.Close()
	}
	f.files = nil
}

// newSession goes on with conn, of which r has read something already.
func newSession(conn *net.UnixConn, from *filer, r io.Reader) *Session {
	return &Session{conn: conn, in: json.NewDecoder(r), from: from}
}

// An envelope is one message on its way. The kernel hands files over early, with
// what was sent before.
type envelope struct {
	Files   int             `json:"files,omitempty"`
	Message json.RawMessage `json:"message"`
}

// Send sends v, and files with it, which stay the caller's to close.
func (s *Session) Send(v any, files ...*os.File) error {
	message, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line, err := json.Marshal(envelope{len(files), message})
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		// Not Fd: it would make the file blocking, for whoever shares it too.
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	line = append(line, '\n')
	n := 0
	if len(fds) > 0 {
		if n, _, err = s.conn.WriteMsgUnix(line, syscall.UnixRights(fds...), nil); err != nil {
			return err
		}
	}
	if n < len(line) {
		_, err = s.conn.Write(line[n:])
	}
	return err
}

// Receive waits for the next message, reads it into v and returns the files that
// came with it, which are the caller's. It returns io.EOF once the other side has
// closed.
func (s *Session) Receive(v any) ([]*os.File, error) {
	var e envelope
	if err := s.in.Decode(&e); err != nil {
		return nil, err
	}
	if e.Files < 0 || e.Files > len(s.from.files) {
		return nil, fmt.Errorf("a message with %d files, of which %d came", e.Files, len(s.from.files))
	}
	if err := json.Unmarshal(e.Message, v); err != nil {
		return nil, err
	}
	files := s.from.files[:e.Files:e.Files]
	s.from.files = s.from.files[e.Files:]
	return files, nil
}

// SetDeadline bounds Send and Receive; the zero time does not.
func (s *Session) SetDeadline(t time.Time) { s.conn.SetDeadline(t) }

// Peer returns the process at the other end as the kernel knows it, in terms of
// our own namespaces; pid 0 is one that they do not show.
func (s *Session) Peer() (pid, uid int, err error) { return peer(s.conn) }

// Close ends the session.
func (s *Session) Close() error {
	s.from.close()
	return s.conn.Close()
}

// protocol is what a request for a session upgrades to.
const protocol = "fairlead-session"

// hold answers a request for a session and holds it until talk returns or ctx
// ends.
func hold(w http.ResponseWriter, talk func(*Session)) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, http.StatusInternalServerError, failure{err.Error()})
		return
	}
	defer conn.Close()
	unix, ok := conn.(*net.UnixConn)
	if !ok || buffered.Reader.Buffered() > 0 {
		return // nothing comes before the answer
	}
	unix.SetDeadline(time.Time{})
	if _, err := io.WriteString(unix, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\n\r\n"); err != nil {
		return
	}
	from := &filer{conn: unix}
	s := newSession(unix, from, from)
	defer s.Close()
	talk(s)
}

// Open begins the session name; in is sent as JSON with the request. The session
// is not bound to ctx.
func (c Client) Open(ctx context.Context, name string, in any) (*Session, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return nil, c.explain(err)
	}
	s, err := c.ask(ctx, conn.(*net.UnixConn), name, body)
	if err != nil {
		conn.Close()
	}
	return s, err
}

func (c Client) ask(ctx context.Context, conn *net.UnixConn, name string, body []byte) (*Session, error) {
	conn.SetDeadline(time.Now().Add(timeout))
	undo := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer undo()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Scheme: "http", Host: Host, Path: "/" + name}).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", protocol)
	if err := r.Write(conn); err != nil {
		return nil, c.explain(err)
	}
	from := &filer{conn: conn}
	in := bufio.NewReader(from)
	res, err := http.ReadResponse(in, r)
	if err != nil {
		return nil, c.explain(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
		if err != nil {
			return nil, c.explain(err)
		}
		if res.StatusCode == http.StatusOK {
			return nil, fmt.Errorf("/%s is no session", name)
		}
		return nil, read(name, res.StatusCode, answer, nil)
	}
	conn.SetDeadline(time.Time{})
	return newSession(conn, from, in), nil
}
