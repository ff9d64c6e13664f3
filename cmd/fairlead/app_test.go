package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// An app is what listens at a container's address. It reads requests byte by
// byte and remembers them.
type app struct {
	name string
	ln   net.Listener
	// answer writes the answer and reports whether the connection goes on.
	// nil: 200 with the app's name and the target.
	answer func(c *appConn, r *seen) bool

	mu    sync.Mutex // guards what follows
	seen  []*seen
	conns map[net.Conn]bool
	dials int
	done  sync.WaitGroup
}

// seen is one request as it came.
type seen struct {
	line   string   // request line
	fields []string // field lines, as written
	body   string
	conn   int // number of the connection
	at     time.Time
}

// field returns the values of a field, whatever the case of its name.
func (s *seen) field(name string) []string {
	var out []string
	for _, line := range s.fields {
		n, v, _ := strings.Cut(line, ":")
		if strings.EqualFold(n, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func (s *seen) target() string { return strings.Fields(s.line + " - -")[1] }

func (s *seen) head() string { return s.line + "\n" + strings.Join(s.fields, "\n") }

type appConn struct {
	net.Conn
	r      *bufio.Reader
	number int
	app    *app
}

// say writes a whole answer.
func (c *appConn) say(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// pad writes n bytes, or as many as are taken, without having them in memory: other
// tests look at how much there is.
func (c *appConn) pad(n int64) { io.CopyN(c, endless{}, n) }

// repeat writes text n times, or as often as it is taken, without having all of it
// in memory.
func (c *appConn) repeat(text string, n int) {
	w := bufio.NewWriterSize(c, 32<<10)
	for range n {
		if _, err := w.WriteString(text); err != nil {
			return
		}
	}
	w.Flush()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// ok answers 200 with a text.
func (c *appConn) ok(text string) bool {
	c.say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s", len(text), text)
	return true
}

// run starts a container and an app at its address. Both get their name from
// c.Name.
func (w *world) run(c dockertest.Container, answer func(*appConn, *seen) bool) (*app, string) {
	w.Helper()
	id := w.engine.Create(w.fill(c))
	return w.startApp(id, c.Name, answer), id
}

// fill adds network and port where c names none.
func (w *world) fill(c dockertest.Container) dockertest.Container {
	if len(c.Networks) == 0 && c.Mode == "" {
		c.Networks = []string{"apps"}
	}
	if len(c.Expose) == 0 {
		c.Expose = []int{w.port}
	}
	return c
}

// startApp starts a created or stopped container and an app at its address.
func (w *world) startApp(id, name string, answer func(*appConn, *seen) bool) *app {
	w.Helper()
	w.engine.Start(id)
	return w.listen(name, w.engine.Addr(id, "apps").String(), answer)
}

// listen makes an app at an address; "0.0.0.0" is that of every container.
func (w *world) listen(name, addr string, answer func(*appConn, *seen) bool) *app {
	w.Helper()
	a := &app{name: name, ln: w.bind(addr), answer: answer, conns: map[net.Conn]bool{}}
	a.done.Go(a.accept)
	w.Cleanup(a.close)
	return a
}

// bind listens at an address of a container. Another may have had it a moment
// ago, and a process that a test beside this one starts holds what was open when
// it was forked until it runs its program: then the address is still in use.
func (w *world) bind(addr string) (ln net.Listener) {
	w.Helper()
	var err error
	eventually(w, addr+" is free", func() bool {
		ln, err = net.Listen("tcp4", net.JoinHostPort(addr, strconv.Itoa(w.port)))
		return !errors.Is(err, syscall.EADDRINUSE)
	})
	if err != nil {
		w.Fatal(err)
	}
	return ln
}

// labelled is a container with labels "key=value", below the usual prefix. It
// is not waited for when it is away, unless a label says otherwise.
func labelled(name string, labels ...string) dockertest.Container {
	c := dockertest.Container{Name: name, Labels: map[string]string{"fairlead.hold": "0"}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		c.Labels["fairlead."+key] = value
	}
	return c
}

// inProject makes c a service of a compose project.
func inProject(c dockertest.Container, project, service string) dockertest.Container {
	c.Labels["com.docker.compose.project"], c.Labels["com.docker.compose.service"] = project, service
	return c
}

// close is the end of the app's process: the listener and every connection.
func (a *app) close() {
	a.ln.Close()
	a.mu.Lock()
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	a.done.Wait()
}

func (a *app) accept() {
	for {
		c, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.dials++
		ac := &appConn{Conn: c, r: bufio.NewReader(c), number: a.dials, app: a}
		a.conns[c] = true
		a.mu.Unlock()
		a.done.Go(func() { a.serve(ac) })
	}
}

func (a *app) serve(c *appConn) {
	defer func() {
		c.Close()
		a.mu.Lock()
		delete(a.conns, c.Conn)
		a.mu.Unlock()
	}()
	for {
		s, err := readSeen(c.r)
		if err != nil {
			return
		}
		s.conn, s.at = c.number, time.Now()
		a.mu.Lock()
		a.seen = append(a.seen, s)
		a.mu.Unlock()
		if a.answer == nil {
			c.ok(a.name + " " + s.target())
			continue
		}
		if !a.answer(c, s) {
			return
		}
	}
}

// readSeen reads one request: head, and body by its framing.
func readSeen(r *bufio.Reader) (*seen, error) {
	s := &seen{}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		switch {
		case s.line == "":
			s.line = line
			continue
		case line != "":
			s.fields = append(s.fields, line)
			continue
		}
		break
	}
	length, chunked := s.field("Content-Length"), s.field("Transfer-Encoding")
	switch {
	case len(chunked) > 0:
		b, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err != nil {
			return nil, err
		}
		s.body = string(b)
		for { // trailers
			line, err := r.ReadString('\n')
			if err != nil || strings.TrimRight(line, "\r\n") == "" {
				return s, err
			}
		}
	case len(length) > 0:
		n, err := strconv.Atoi(length[0])
		if err != nil || len(length) != 1 {
			return nil, errors.New("content-length " + strings.Join(length, "; "))
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		s.body = string(b)
	}
	return s, nil
}

// requests returns what came so far.
func (a *app) requests() []*seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*seen(nil), a.seen...)
}

// last returns the latest request.
func (a *app) last(w interface{ Fatal(...any) }) *seen {
	all := a.requests()
	if len(all) == 0 {
		w.Fatal("no request reached " + a.name)
	}
	return all[len(all)-1]
}

// echo answers a websocket handshake and sends back what comes.
func echo(c *appConn, r *seen) bool {
	if len(r.field("Upgrade")) == 0 {
		return c.ok(c.app.name + " " + r.target())
	}
	c.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	io.Copy(c, c.r)
	return false
}

func copyAll(dst io.Writer, src io.Reader) { io.Copy(dst, src) }
