package telemetry

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

// Limits of fields, in bytes: a client decides what is in them.
const (
	maxPath = 2 << 10
	maxText = 256
	maxErr  = 512
	maxName = 32
	noLimit = math.MaxInt // of what the proxy itself says
)

// A line is one line of the access log while it is put together. It is what
// zerolog would write, at a fraction of the price and without an allocation.
type line struct {
	b    []byte
	room int // what may still be written of the text in hand, in bytes; less than 0 once it was cut
}

var lines = sync.Pool{New: func() any { return &line{b: make([]byte, 0, 1<<10)} }}

// exchange appends the line of x, which was answered with status at now.
func (l *line) exchange(r *http.Request, x *exchange.Exchange, status int, now time.Time) {
	head := `{"level":"info","time":"`
	if isAppsFault(status, x.Code) {
		head = `{"level":"warn","time":"`
	}
	l.b = append(l.b, head...)
	l.b = appendTime(l.b, now)
	l.b = append(l.b, '"')
	l.text(`,"method":"`, r.Method, maxName)
	l.text(`,"host":"`, x.Host, noLimit)
	l.target(`,"path":"`, r.RequestURI, maxPath)
	l.number(`,"status":`, int64(status))
	l.number(`,"bytes":`, x.Response.Bytes)
	l.millis(`,"duration":`, now.Sub(x.Start))
	l.details(r, x)
	l.b = append(l.b, "}\n"...)
}

// details appends what not every exchange has.
func (l *line) details(r *http.Request, x *exchange.Exchange) {
	l.optional(`,"route":"`, x.Route, noLimit)
	l.optional(`,"pool":"`, x.Pool, noLimit)
	l.optional(`,"container":"`, x.Container, noLimit)
	l.optional(`,"endpoint":"`, x.Endpoint, noLimit)
	if x.Retries > 0 {
		l.number(`,"retries":`, int64(x.Retries))
	}
	if x.Held > 0 {
		l.millis(`,"held":`, x.Held)
	}
	l.optional(`,"code":"`, x.Code, noLimit)
	if x.Cause != nil {
		l.text(`,"err":"`, x.Cause.Error(), maxErr)
	}
	l.text(`,"request_id":"`, x.ID, noLimit)
	if x.Client.IsValid() {
		l.b = append(l.b, `,"client_ip":"`...)
		l.b = x.Client.AppendTo(l.b) // without a zone, so there is nothing to escape
		l.b = append(l.b, '"')
	}
	l.text(`,"proto":"`, r.Proto, noLimit)
	l.text(`,"scheme":"`, x.Scheme, noLimit)
	l.optional(`,"entry":"`, x.Entry, noLimit)
	l.optional(`,"user_agent":"`, first(r.Header["User-Agent"]), maxText)
	l.optional(`,"referer":"`, redactReferer(first(r.Header["Referer"])), maxText)
}

// first is Header.Get for a name that is canonical.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// optional is text unless there is none.
func (l *line) optional(key, value string, limit int) {
	if value != "" {
		l.text(key, value, limit)
	}
}

// text appends a text behind key, which is all that stands before it: a comma,
// the name, a colon and the quote.
func (l *line) text(key, value string, limit int) {
	l.b = append(l.b, key...)
	l.room = limit
	l.part(value)
	l.b = append(l.b, '"')
}

// target is text for the target of a request: without secrets.
func (l *line) target(key, value string, limit int) {
	l.b = append(l.b, key...)
	l.room = limit
	redact(value, limit, l.part)
	l.b = append(l.b, '"')
}

// part appends a part of a text, as far as there is room.
func (l *line) part(s string) {
	switch {
	case l.room < 0:
	case len(s) <= l.room:
		l.b = appendVisible(l.b, s)
		l.room -= len(s)
	default:
		l.b = appendVisible(l.b, s[:l.room])
		l.b = append(l.b, ellipsis...)
		l.room = -1
	}
}

func (l *line) number(key string, n int64) {
	l.b = append(l.b, key...)
	l.b = strconv.AppendInt(l.b, n, 10)
}

// millis appends d in milliseconds, with up to three places behind the point.
func (l *line) millis(key string, d time.Duration) {
	l.b = append(l.b, key...)
	micros := max(d, 0).Microseconds()
	l.b = strconv.AppendInt(l.b, micros/1000, 10)
	if rest := micros % 1000; rest > 0 {
		l.b = append(l.b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
		for l.b[len(l.b)-1] == '0' {
			l.b = l.b[:len(l.b)-1]
		}
	}
}

// second is a time of Millis in two parts, between which the milliseconds are.
// All lines of one second have the same.
type second struct {
	unix        int64
	zone        *time.Location
	front, back string
}

var thisSecond atomic.Pointer[second]

func appendTime(b []byte, t time.Time) []byte {
	s := thisSecond.Load()
	if s == nil || s.unix != t.Unix() || s.zone != t.Location() {
		s = &second{t.Unix(), t.Location(), t.Format("2006-01-02T15:04:05."), t.Format("Z07:00")}
		thisSecond.Store(s)
	}
	ms := t.Nanosecond() / 1e6
	b = append(b, s.front...)
	b = append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, s.back...)
}
