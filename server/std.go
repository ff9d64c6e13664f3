package server

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// StdConfig says how Std serves.
type StdConfig struct {
	Handler      http.Handler
	HeadTimeout  time.Duration // for the head of a request; 0 means 10 s
	IdleTimeout  time.Duration // between requests; 0 means 75 s
	MaxHeadBytes int           // 0 means 64 KiB
	MaxFields    int           // of a head, Host among them; 0 means 200
	// MinBodyRate is how slowly, in bytes a second, the body of a request may
	// come for longer than BodyGrace; 0 means 1 KiB/s, less turns it off.
	MinBodyRate int
	BodyGrace   time.Duration // 0 means 20 s
	ErrorLog    func(line string)
}

// Std is the engine of net/http: HTTP/1.1, and HTTP/2 on connections whose
// handshake agreed on it. For HTTP/1.1 it is the reference that other engines
// are held to.
type Std struct{ srv *http.Server }

// NewStd returns the engine of net/http.
func NewStd(c StdConfig) *Std {
	if c.MaxHeadBytes <= 0 {
		c.MaxHeadBytes = 64 << 10
	}
	if c.MaxFields <= 0 {
		c.MaxFields = 200
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &Std{&http.Server{
		Handler:                      pace(&bounded{c.Handler, c.MaxFields}, c.MinBodyRate, orDefault(c.BodyGrace, 20*time.Second)),
		Protocols:                    &protocols,
		ReadHeaderTimeout:            orDefault(c.HeadTimeout, 10*time.Second),
		IdleTimeout:                  orDefault(c.IdleTimeout, 75*time.Second),
		MaxHeaderBytes:               c.MaxHeadBytes,
		DisableGeneralOptionsHandler: true, // the handler answers "OPTIONS *"
		ErrorLog:                     log.New(lines(c.ErrorLog), "", 0),
	}}
}

var _ Engine = (*Std)(nil)

// ServeConn serves c on goroutines of net/http and returns at once.
func (s *Std) ServeConn(c net.Conn) {
	ln := &single{conn: c}
	s.srv.Serve(ln) // ends with single's io.EOF
	if ln.conn != nil {
		c.Close() // the server is shutting down and did not take it
	}
}

// Shutdown is that of net/http: it does not wait for hijacked connections.
func (s *Std) Shutdown(ctx context.Context) error { return s.srv.Shutdown(ctx) }

// Close cuts all connections that were not hijacked.
func (s *Std) Close() error { return s.srv.Close() }

// single is a listener that has one connection to give.
type single struct{ conn net.Conn }

func (s *single) Accept() (net.Conn, error) {
	c := s.conn
	if c == nil {
		return nil, io.EOF
	}
	s.conn = nil
	return c, nil
}
func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return none{} }

type none struct{}

func (none) Network() string { return "tcp" }
func (none) String() string  { return "" }

// lines makes a log.Logger's writer of a func.
type lines func(string)

func (l lines) Write(p []byte) (int, error) {
	if l != nil {
		l(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}
