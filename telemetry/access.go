package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/exchange"
)

// statusGone is what the log says of an exchange that the client left before
// the head was out. It is nginx's; no client ever sees it.
const statusGone = 499

// AccessLog is the handler behind exchange.Arrival. It writes one line for each
// exchange, counts it, and turns panics of handlers into answers.
type AccessLog struct {
	Lines    io.Writer      // where lines go, one with each Write: Sink.Lines; nil writes none
	Faults   zerolog.Logger // where stacks of panics go: the process log
	Counters *Counters      // may be shared by several; nil counts nothing
	Next     http.Handler
}

var _ http.Handler = (*AccessLog)(nil)

func (l *AccessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lane := exchange.PickLane()
	if l.Counters != nil {
		l.Counters.begin(lane)
	}
	defer l.end(w, r, lane)
	l.Next.ServeHTTP(w, r)
}

// Note logs and counts an exchange that ended before it came here: for
// exchange.Arrival's Answered.
func (l *AccessLog) Note(r *http.Request) { l.note(r, exchange.Of(r), exchange.PickLane()) }

// end runs deferred: it sees panics.
func (l *AccessLog) end(w http.ResponseWriter, r *http.Request, lane exchange.Lane) {
	if l.Counters != nil {
		defer l.Counters.end(lane)
	}
	x, cut := exchange.Of(r), false
	if fault := recover(); fault != nil {
		cut = l.fault(w, r, x, fault)
	}
	l.note(r, x, lane)
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
func (l *AccessLog) note(r *http.Request, x *exchange.Exchange, lane exchange.Lane) {
	status, now := statusOf(r, x), time.Now()
	outcome := exchange.Outcome{
		Status: status, Bytes: x.Response.Bytes, Took: now.Sub(x.Start),
		Aborted: x.Code == "aborted" || x.Code == "panic" && status != http.StatusInternalServerError,
	}
	if l.Counters != nil {
		l.Counters.all.Add(lane, outcome)
	}
	if x.Tally != nil {
		x.Tally.Add(lane, outcome)
	}
	if x.Quiet || l.Lines == nil {
		return
	}
	ln := lines.Get().(*line)
	ln.exchange(r, x, status, now)
	l.Lines.Write(ln.b)
	ln.b = ln.b[:0]
	lines.Put(ln)
}

// statusOf returns the status for the log, and notes why there was no answer.
func statusOf(r *http.Request, x *exchange.Exchange) int {
	switch {
	case x.Response.Status != 0:
		return x.Response.Status
	case r.Context().Err() != nil:
		if x.Code == "" || x.Code == "aborted" {
			x.Code = "client-gone"
		}
		return statusGone
	case x.Code == "aborted":
		return 0
	}
	return http.StatusOK // what an engine sends for a handler that wrote nothing
}

// isAppsFault reports whether the proxy had to answer because the app did not.
func isAppsFault(status int, code string) bool {
	return code != "" && (status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}
