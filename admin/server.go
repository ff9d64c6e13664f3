// Package admin is the control socket: a unix socket that only the proxy's own
// user can open, over which the commands ask the running proxy what it does.
// It knows nothing of what it shows: sources and actions are given to it.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of one exchange.
const (
	timeout   = 30 * time.Second
	maxBody   = 1 << 20
	maxAnswer = 64 << 20
)

// Server answers GET /NAME from Sources, POST /NAME from Actions and Sessions,
// GET /health and GET /ready. Its fields must not change while it runs.
type Server struct {
	// Sources return what is shown as JSON under their name. They are called
	// by several goroutines at once.
	Sources map[string]func(*http.Request) (any, error)
	// Actions change something and return what came of it. They too are called
	// by several goroutines at once.
	Actions map[string]func(*http.Request) (any, error)
	// Sessions read what a request for one says and return what then talks with
	// the other side, for as long as it likes; when the context ends, the session
	// is closed under it.
	Sessions map[string]func(*http.Request) (talk func(context.Context, *Session), err error)
	// Ready returns why the proxy cannot serve yet. nil means it always can.
	Ready func() error

	talking sync.RWMutex // held for reading by each session
}

// A Status is an error that is answered with a status of its own instead of 500.
type Status struct {
	Code int
	Err  error
}

func (s Status) Error() string { return s.Err.Error() }
func (s Status) Unwrap() error { return s.Err }

// Serve answers on ln until ctx ends and the last session has returned. It
// closes ln, which removes the socket.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.talking.Lock() // none begins from then on
	srv := &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       timeout,
		MaxHeaderBytes:    16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := sameOrigin(r); err != nil {
		answer(w, http.StatusForbidden, failure{err.Error()})
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	source, action, session := s.Sources[name], s.Actions[name], s.Sessions[name]
	switch {
	case name == "health" && reads(r):
		answer(w, http.StatusOK, state{"up"})
	case name == "ready" && reads(r):
		s.ready(w)
	case source != nil && reads(r):
		call(w, r, source)
	case action != nil && r.Method == http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		call(w, r, action)
	case session != nil && r.Method == http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		s.begin(w, r, session)
	case source != nil || action != nil || session != nil || name == "health" || name == "ready":
		w.Header().Set("Allow", allow(source != nil || action == nil && session == nil, action != nil || session != nil))
		answer(w, http.StatusMethodNotAllowed, failure{"method " + r.Method + " is not allowed on /" + name})
	default:
		answer(w, http.StatusNotFound, failure{unknown + name})
	}
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func allow(get, post bool) string {
	switch {
	case get && post:
		return "GET, HEAD, POST"
	case post:
		return "POST"
	}
	return "GET, HEAD"
}

// sameOrigin refuses what a web page could send, should the socket ever be
// reachable for a browser through something else (CVE-2026-27589): requests
// another site makes, names an attacker's DNS points here, and POSTs that need
// no preflight.
func sameOrigin(r *http.Request) error {
	switch r.Host {
	case Host, "localhost":
	default:
		return fmt.Errorf("the host must be %s", Host)
	}
	if r.Header.Get("Origin") != "" {
		return errors.New("requests of web pages are refused")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return errors.New("requests of other sites are refused")
	}
	if !reads(r) && r.Header.Get("Content-Type") != "application/json" {
		return errors.New("the content type must be application/json")
	}
	return nil
}

func (s *Server) ready(w http.ResponseWriter) {
	if s.Ready != nil {
		if err := s.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, failure{err.Error()})
			return
		}
	}
	answer(w, http.StatusOK, state{"ready"})
}

func call(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	v, err := f(r)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, v)
}

func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if s := (Status{}); errors.As(err, &s) {
		code = s.Code
	}
	answer(w, code, failure{err.Error()})
}

// begin opens a session if f has one for r.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, f func(*http.Request) (func(context.Context, *Session), error)) {
	talk, err := f(r)
	if err != nil {
		refuse(w, err)
		return
	}
	if !s.talking.TryRLock() {
		refuse(w, Status{http.StatusServiceUnavailable, errors.New("it is stopping")})
		return
	}
	defer s.talking.RUnlock()
	io.Copy(io.Discard, r.Body) // nothing but the session is on the connection from here on
	hold(w, func(session *Session) {
		leave := context.AfterFunc(r.Context(), func() { session.conn.Close() })
		defer leave()
		talk(r.Context(), session)
	})
}

const unknown = "nothing is shown under /"

type failure struct {
	Error string `json:"error"`
}

type state struct {
	State string `json:"state"`
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	if err != nil {
		status = http.StatusInternalServerError
		body, _ = json.Marshal(failure{err.Error()})
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
