package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/alloctest"
)

// byZerolog is the line of x as zerolog writes it.
func byZerolog(r *http.Request, x *exchange.Exchange, status int, now time.Time) string {
	var out bytes.Buffer
	log := zerolog.New(&out)
	e := log.Info()
	if isAppsFault(status, x.Code) {
		e = log.Warn()
	}
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	optional := func(key, value string, limit int) {
		if value != "" {
			e.Str(key, text(value, limit))
		}
	}
	e.Time("time", now).Str("method", text(r.Method, maxName)).Str("host", text(x.Host, noLimit)).Str("path", text(redactAll(r.RequestURI), maxPath)).
		Int("status", status).Int64("bytes", x.Response.Bytes).Float64("duration", millis(now.Sub(x.Start)))
	optional("route", x.Route, noLimit)
	optional("pool", x.Pool, noLimit)
	optional("container", x.Container, noLimit)
	optional("endpoint", x.Endpoint, noLimit)
	if x.Retries > 0 {
		e.Int("retries", x.Retries)
	}
	if x.Held > 0 {
		e.Float64("held", millis(x.Held))
	}
	optional("code", x.Code, noLimit)
	if x.Cause != nil {
		e.Str("err", text(x.Cause.Error(), maxErr))
	}
	e.Str("request_id", text(x.ID, noLimit))
	if x.Client.IsValid() {
		e.Stringer("client_ip", x.Client)
	}
	e.Str("proto", text(r.Proto, noLimit)).Str("scheme", x.Scheme)
	optional("entry", x.Entry, noLimit)
	optional("user_agent", r.Header.Get("User-Agent"), maxText)
	optional("referer", redactReferer(r.Header.Get("Referer")), maxText)
	e.Send()
	return out.String()
}

// FuzzAccessLine holds our lines against zerolog's, byte for byte.
func FuzzAccessLine(f *testing.F) {
	f.Add("GET", "shop.example", "/a?token=b", "curl/8", "https://x/y?z", "", "no-route", uint64(1_234_567), uint64(0), 404)
	f.Add("P\x00ST", "\"\\", "/\xff\xfe\u202e\x7f\u00e9\u2028", "a\tb\nc\rd\be\f", "\u0085", "\x1b[31m", "connect-failed", uint64(0), uint64(1_500_000_000), 502)
	f.Add("", "", "", "", "", strings.Repeat("\u00e9", 300), "", uint64(999_999_999_999), uint64(1), 200)
	f.Add(strings.Repeat("M", 31)+"\u00e9", "a", "/?token=b&"+strings.Repeat("c", maxPath), strings.Repeat("u", 255)+"\xe2\x80\xa6", "http://u:p@h/", "", "timeout", uint64(1_000), uint64(999), 504)
	f.Add("GET", "a", "http://u:p@h/?"+strings.Repeat("sig=x;", maxPath/6), "\ue000\ufffd\U000e0041\U0010ffff", "u:p@h?q", "\xed\xa0\x80", "a", uint64(1<<63), uint64(1<<63), 503)
	f.Fuzz(func(t *testing.T, method, host, target, agent, referer, cause, code string, took, held uint64, status int) {
		const most = uint64(100 * 365 * 24 * time.Hour) // beyond, a float64 of milliseconds has no room for microseconds
		took, held = took%most, held%most
		now := time.Date(2026, 11, 28, 6, 30, 0, int(took%1e9), time.FixedZone("", int(held%96)*900-43200))
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.RequestURI, r.Proto = method, target, code
		r.Header = http.Header{"User-Agent": {agent}, "Referer": {referer}}
		x := &exchange.Exchange{
			Start: now.Add(-time.Duration(took)), ID: agent, Client: netip.MustParseAddr("2001:db8::1"), Scheme: "http", Entry: "http",
			Host: host, Route: code, Pool: host, Container: code, Endpoint: target, Retries: int(held % 3), Held: time.Duration(held), Code: code,
		}
		if cause != "" {
			x.Cause = errors.New(cause)
		}
		x.Response.Bytes = int64(took)
		var l line
		l.exchange(r, x, status, now)
		if want := byZerolog(r, x, status, now); string(l.b) != want {
			t.Errorf("got  %s\nwant %s", l.b, want)
		}
		if !json.Valid(l.b) || bytes.IndexByte(l.b, '\n') != len(l.b)-1 {
			t.Errorf("%q is not one line of JSON", l.b)
		}
	})
}

// Each byte, in each place of a word, and in what is too short for one.
func TestPlainIsTheSameForWordsAndBytes(t *testing.T) {
	for c := range 256 {
		for at := range 15 {
			s := []byte("abcdefghabcdefg")
			s[at] = byte(c)
			want := at
			if isPlain[c] {
				want = len(s)
			}
			if got := plain(string(s)); got != want {
				t.Errorf("%d bytes of %q are plain, want %d", got, s, want)
			}
		}
	}
	for c, want := range map[byte]bool{' ' - 1: false, ' ': true, '"': false, '\\': false, '~': true, 0x7f: false, 0x80: false, 0xff: false} {
		if isPlain[c] != want {
			t.Errorf("%q is plain: %v, want %v", c, isPlain[c], want)
		}
	}
}

// What is behind the limit need not be looked at, but nothing of it is shown.
func TestRedactionHoldsUpToTheLimit(t *testing.T) {
	target := "/?" + strings.Repeat("a=b&token=hunter2&", 20)
	for limit := range len(target) {
		shown := redactAll(target)
		if len(shown) > limit {
			shown = shown[:limit] + ellipsis
		}
		var l line
		if l.target("", target, limit); string(l.b) != shown+`"` {
			t.Fatalf("limit %d: %s, want %s", limit, l.b, shown)
		}
	}
}

// exchanges are what benchmarks and the test of allocations log.
var exchanges = map[string]func(r *http.Request){
	"plain":  func(*http.Request) {},
	"query":  func(r *http.Request) { r.RequestURI += "?a=b&page=2" },
	"secret": func(r *http.Request) { r.RequestURI = "/cb?code=abc&state=def" },
	"long":   func(r *http.Request) { r.RequestURI += strings.Repeat("x", maxPath) },
	"odd":    func(r *http.Request) { r.Header.Set("User-Agent", "\x1b[31m\"caf\u00e9\"\u202e\xff") },
}

// logging returns what notes an exchange, and the batch it goes to.
func logging(change func(r *http.Request)) (note func(), x *exchange.Exchange, batch *Batch) {
	batch = NewBatch(io.Discard)
	l := &AccessLog{Lines: batch, Counters: new(Counters)}
	x, _, r := exchange.Begin(httptest.NewRecorder(), request("/some/path"))
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	r.Header.Set("Referer", "https://shop.example/")
	change(r)
	x.ID, x.Route, x.Pool, x.Container, x.Endpoint = "0123456789abcdefghjkmnpqrs", "shop", "shop/web:80/http", "shop-web-1", "172.18.0.2:80"
	x.Host, x.Scheme, x.Entry, x.Client, x.Tally = "shop.example", "http", "http", netip.MustParseAddr("203.0.113.9"), new(exchange.Tally)
	x.Response.Status = 200
	return func() { l.note(r, x, exchange.PickLane()) }, x, batch
}

func TestALineCostsNoAllocation(t *testing.T) {
	for name, change := range exchanges {
		t.Run(name, func(t *testing.T) {
			note, x, batch := logging(change)
			alloctest.AtMost(t, 0, 1000, func() {
				note()
				for i := range batch.shards {
					batch.shards[i].buf = batch.shards[i].buf[:0]
				}
			})
			if n := x.Tally.Count().Requests["2xx"]; n != 1001 {
				t.Errorf("the route's tally is %d, want 1001", n)
			}
		})
	}
}

func BenchmarkAccessLog(b *testing.B) {
	for name, change := range exchanges {
		b.Run(name, func(b *testing.B) {
			note, _, batch := logging(change)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if note(); i%20 == 0 { // before a shard is larger than what a flush gives back
					batch.Flush()
				}
			}
		})
	}
}

// All processors at once, as in the proxy.
func BenchmarkAccessLogParallel(b *testing.B) {
	_, _, batch := logging(exchanges["plain"])
	l := &AccessLog{Lines: batch, Counters: new(Counters), Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		_, w, r := exchange.Begin(httptest.NewRecorder(), request("/some/path"))
		for i := 0; pb.Next(); i++ {
			if l.ServeHTTP(w, r); i%100 == 0 {
				batch.Flush()
			}
		}
	})
}
