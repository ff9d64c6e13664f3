package telemetry

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/exchange"
)

// Limits of fields, in bytes: a client decides what is in them.
const (
	maxPath = 2 << 10
	maxText = 256
	maxErr  = 512
	maxName = 32
)

// statusGone is what the log says of an exchange that the client left before
// the head was out. It is nginx's; no client ever sees it.
const statusGone = 499

// AccessLog is the handler behind exchange.Arrival. It writes one line for each
// exchange, counts it, and turns panics of handlers into answers.
type AccessLog struct {
	Log      zerolog.Logger // where lines go: Sink.Log
	Faults   zerolog.Logger // where stacks of panics go: the process log
	Counters *Counters      // may be shared by several; nil counts nothing
	Next     http.Handler
}

var _ http.Handler = (*AccessLog)(nil)

func (l *AccessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.Counters != nil {
		l.Counters.inFlight.Add(1)
		defer l.Counters.inFlight.Add(-1)
	}
	defer l.end(w, r)
	l.Next.ServeHTTP(w, r)
}

// Note logs and counts an exchange that ended before it came here: for
// exchange.Arrival's Answered.
func (l *AccessLog) Note(r *http.Request) { l.note(r, exchange.Of(r)) }

// end runs deferred: it sees panics.
func (l *AccessLog) end(w http.ResponseWriter, r *http.Request) {
	x, cut := exchange.Of(r), false
	if fault := recover(); fault != nil {
		cut = l.fault(w, r, x, fault)
	}
	l.note(r, x)
	if cut { // by the engine: the client must not take a part for the whole
		panic(http.ErrAbortHandler)
	}
}

// fault deals with what a handler panicked with, and reports whether the
// connection must be cut.
func (l *AccessLog) fault(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, fault any) (cut bool) {
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		if x.Code == "" {
			x.Code = "aborted"
		}
		return true
	}
	if l.Counters != nil {
		l.Counters.panics.Add(1)
	}
	cause := fmt.Errorf("panic: %v", fault)
	l.Faults.Error().Str("request_id", x.ID).Str("route", x.Route).Str("host", x.Host).
		Str("err", text(cause.Error(), maxErr)).Bytes("stack", debug.Stack()).Msg("handler panicked")
	cut = x.Response.Status != 0
	exchange.Refuse(w, r, exchange.Refusal{ // only notes why if the head is out
		Status: http.StatusInternalServerError, Code: "panic", Close: true, Err: cause,
		Message: "The proxy failed to handle this request. The fault was logged.",
	})
	return cut
}

// note counts the exchange and writes its line.
func (l *AccessLog) note(r *http.Request, x *exchange.Exchange) {
	status := x.Response.Status
	if status == 0 {
		switch {
		case r.Context().Err() != nil:
			status = statusGone
			if x.Code == "" || x.Code == "aborted" {
				x.Code = "client-gone"
			}
		case x.Code != "aborted":
			status = http.StatusOK // what an engine sends for a handler that wrote nothing
		}
	}
	if l.Counters != nil {
		l.Counters.count(status, x.Response.Bytes, x.Code == "aborted" || x.Code == "panic" && status != http.StatusInternalServerError)
	}
	if x.Quiet {
		return
	}
	now := time.Now()
	e := l.Log.Info()
	if isAppsFault(status, x.Code) {
		e = l.Log.Warn()
	}
	e.Time("time", now).
		Str("method", text(r.Method, maxName)).
		Str("host", x.Host).
		Str("path", text(redact(r.RequestURI), maxPath)).
		Int("status", status).
		Int64("bytes", x.Response.Bytes).
		Float64("duration", milliseconds(now.Sub(x.Start)))
	about(e, r, x)
	e.Send()
}

// about adds what not every exchange has.
func about(e *zerolog.Event, r *http.Request, x *exchange.Exchange) {
	optional(e, "route", x.Route)
	optional(e, "pool", x.Pool)
	optional(e, "container", x.Container)
	optional(e, "endpoint", x.Endpoint)
	if x.Retries > 0 {
		e.Int("retries", x.Retries)
	}
	if x.Held > 0 {
		e.Float64("held", milliseconds(x.Held))
	}
	optional(e, "code", x.Code)
	if x.Cause != nil {
		e.Str("err", text(x.Cause.Error(), maxErr))
	}
	e.Str("request_id", x.ID)
	if x.Client.IsValid() {
		e.Stringer("client_ip", x.Client)
	}
	e.Str("proto", r.Proto).Str("scheme", x.Scheme)
	optional(e, "entry", x.Entry)
	optional(e, "user_agent", text(r.Header.Get("User-Agent"), maxText))
	optional(e, "referer", text(redactReferer(r.Header.Get("Referer")), maxText))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func optional(e *zerolog.Event, key, value string) {
	if value != "" {
		e.Str(key, value)
	}
}

// isAppsFault reports whether the proxy had to answer because the app did not.
func isAppsFault(status int, code string) bool {
	return code != "" && (status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

// text makes s fit for a line: at most limit bytes, and nothing a terminal
// obeys or that changes the order of what is read. The encoder escapes what is
// below U+0080, but passes C1 controls and bidirectional marks on.
func text(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(visible, s)
		}
	}
	return s
}

func visible(c rune) rune {
	if c < utf8.RuneSelf || unicode.IsGraphic(c) {
		return c
	}
	return utf8.RuneError
}
