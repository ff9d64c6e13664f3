package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged serves r by h behind arrival and access log, and returns the answer
// and the lines that came out.
type logged struct {
	lines    []map[string]any
	raw      string
	faults   string
	counters Snapshot
	res      *http.Response
	panicked any
}

func serve(t *testing.T, r *http.Request, h http.HandlerFunc) (got logged) {
	t.Helper()
	var out, faults bytes.Buffer
	l := &AccessLog{Lines: &out, Faults: zerolog.New(&faults), Counters: new(Counters), Next: h}
	a := &exchange.Arrival{Next: l, Answered: l.Note, Entry: "http"}
	w := httptest.NewRecorder()
	func() {
		defer func() { got.panicked = recover() }()
		a.ServeHTTP(w, r)
	}()
	got.raw, got.faults, got.counters, got.res = out.String(), faults.String(), l.Counters.Snapshot(), w.Result()
	for line := range strings.Lines(got.raw) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q is no JSON: %v", line, err)
		}
		got.lines = append(got.lines, fields)
	}
	return got
}

// line returns the only line, or ends the test.
func (l logged) line(t *testing.T) map[string]any {
	t.Helper()
	if len(l.lines) != 1 {
		t.Fatalf("got %d lines, want 1: %s", len(l.lines), l.raw)
	}
	return l.lines[0]
}

func request(target string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RequestURI, r.RemoteAddr = "shop.example", target, "203.0.113.9:4711"
	return r
}

func TestLineOfAnExchange(t *testing.T) {
	r := request("/a/b?c=d")
	r.Header.Set("User-Agent", "curl/8")
	r.Header.Set("Referer", "https://u:p@shop.example/x?token=1#f")
	r.Header.Set("Authorization", "Basic c2VjcmV0")
	got := serve(t, r, func(w http.ResponseWriter, r *http.Request) {
		x := exchange.Of(r)
		x.Route, x.Pool, x.Container, x.Endpoint, x.Retries, x.Held = "shop", "shop/web:80/http", "shop-web-1", "172.18.0.2:80", 2, 1500*time.Millisecond
		w.WriteHeader(201)
		io.WriteString(w, "hello")
	})
	line := got.line(t)
	want := map[string]any{
		"level": "info", "route": "shop", "pool": "shop/web:80/http", "container": "shop-web-1", "endpoint": "172.18.0.2:80",
		"host": "shop.example", "method": "GET", "path": "/a/b?c=d", "status": 201.0, "bytes": 5.0, "client_ip": "203.0.113.9",
		"proto": "HTTP/1.1", "scheme": "http", "entry": "http", "retries": 2.0, "held": 1500.0, "user_agent": "curl/8", "referer": "https://shop.example/x",
	}
	for key, value := range want {
		if line[key] != value {
			t.Errorf("%s = %v, want %v", key, line[key], value)
		}
	}
	for _, key := range []string{"time", "duration", "request_id"} {
		if line[key] == nil {
			t.Errorf("no %s", key)
		}
	}
	if _, err := time.Parse(Millis, line["time"].(string)); err != nil {
		t.Error(err)
	}
	for key := range line {
		if _, ok := want[key]; !ok && key != "time" && key != "duration" && key != "request_id" {
			t.Errorf("unexpected %s = %v", key, line[key])
		}
	}
	if strings.Contains(got.raw, "c2VjcmV0") {
		t.Error("Authorization was logged")
	}
	if c := got.counters; c.Requests["2xx"] != 1 || c.Bytes != 5 || c.InFlight != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestLevelsAndCauses(t *testing.T) {
	tests := []struct {
		name           string
		status         int
		code           string
		err            error
		level, logCode string
	}{
		{"no route", 404, "no-route", nil, "info", "no-route"},
		{"app away", 503, "no-endpoint", errors.New("starting"), "warn", "no-endpoint"},
		{"app broken", 502, "connect-failed", errors.New("refused"), "warn", "connect-failed"},
		{"app slow", 504, "timeout", errors.New("10s"), "warn", "timeout"},
		{"limited", 429, "rate-limit", nil, "info", "rate-limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := serve(t, request("/"), func(w http.ResponseWriter, r *http.Request) {
				exchange.Of(r).Container = "shop-web-1"
				exchange.Refuse(w, r, exchange.Refusal{Status: tt.status, Code: tt.code, Err: tt.err})
			}).line(t)
			if line["level"] != tt.level || line["code"] != tt.logCode || line["container"] != "shop-web-1" || tt.err != nil && line["err"] != tt.err.Error() {
				t.Errorf("got %v", line)
			}
		})
	}
	line := serve(t, request("/"), func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }).line(t)
	if line["level"] != "info" || line["code"] != nil {
		t.Errorf("the app's own 503: %v", line)
	}
}

func TestQuiet(t *testing.T) {
	got := serve(t, request("/"), func(w http.ResponseWriter, r *http.Request) { exchange.Of(r).Quiet = true })
	if got.raw != "" || got.counters.Requests["2xx"] != 1 {
		t.Errorf("logged %q, counters %+v", got.raw, got.counters)
	}
}

func TestRequestsRefusedOnArrivalAreLogged(t *testing.T) {
	r := request("/")
	r.Host = "user:hunter2@shop"
	got := serve(t, r, func(http.ResponseWriter, *http.Request) { t.Error("reached the app") })
	if line := got.line(t); line["code"] != "bad-host" || line["status"] != 400.0 || line["level"] != "info" || line["err"] == nil || line["client_ip"] != "203.0.113.9" {
		t.Errorf("got %v", line)
	}
	if strings.Contains(got.raw, "hunter2") || got.counters.Requests["4xx"] != 1 {
		t.Errorf("logged %s, counters %+v", got.raw, got.counters)
	}
}

// THREATS 46: what a client sends cannot write lines or drive a terminal.
func TestLogInjection(t *testing.T) {
	nasty := "a\r\n{\"level\":\"error\"}\x1b[31m\"\\\x00\x7f\xff\u009b31m\u202e\u2028b"
	r := request("/" + nasty)
	r.Method = "GE\nT"
	r.Header["User-Agent"] = []string{nasty}
	r.Header["Referer"] = []string{nasty}
	got := serve(t, r, nil) // refused for its target
	line := got.line(t)
	if strings.Count(got.raw, "\n") != 1 || !strings.HasSuffix(got.raw, "\n") {
		t.Errorf("more than one line: %q", got.raw)
	}
	for i, c := range strings.TrimSuffix(got.raw, "\n") {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x202e || c == 0x2028 {
			t.Errorf("byte %d of the line is %U: %q", i, c, got.raw)
		}
	}
	if !utf8.ValidString(got.raw) || line["level"] != "info" || line["user_agent"] == nil {
		t.Errorf("got %q", got.raw)
	}
}

func TestFieldsAreBounded(t *testing.T) {
	r := request("/" + strings.Repeat("ä", 100_000))
	r.Header.Set("User-Agent", strings.Repeat("u", 100_000))
	r.Header.Set("Referer", "http://x/"+strings.Repeat("r", 100_000))
	got := serve(t, r, func(w http.ResponseWriter, r *http.Request) {
		exchange.Refuse(w, r, exchange.Refusal{Status: 502, Code: "x", Err: errors.New(strings.Repeat("e", 100_000))})
	})
	got.line(t)
	if len(got.raw) > 4<<10 {
		t.Errorf("a line of %d bytes", len(got.raw))
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/", "/"},
		{"/?", "/?"},
		{"/a?b=c&d=e;f", "/a?b=c&d=e;f"},
		{"/?token=abc", "/?token=REDACTED"},
		{"/?a=1&token=abc&b=2", "/?a=1&token=REDACTED&b=2"},
		{"/?token=abc;key=def", "/?token=REDACTED;key=REDACTED"},
		{"/?access_token=a&refresh-token=b&id.token=c", "/?access_token=REDACTED&refresh-token=REDACTED&id.token=REDACTED"},
		{"/?Password=a&PWD=b&client_secret=c", "/?Password=REDACTED&PWD=REDACTED&client_secret=REDACTED"},
		{"/?code=a&state=b", "/?code=REDACTED&state=REDACTED"},
		{"/?X-Amz-Signature=a&X-Amz-Credential=b&X-Amz-Date=c", "/?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Date=c"},
		{"/?%74oken=abc", "/?%74oken=REDACTED"},
		{"/?to%ken=abc", "/?to%ken=REDACTED"},
		{"/?user%5Bpassword%5D=abc", "/?user%5Bpassword%5D=REDACTED"},
		{"/?api_key=a", "/?api_key=REDACTED"},
		{"/?token=", "/?token="},
		{"/?token", "/?token"},
		{"/?a=token", "/?a=token"},
		{"/?postcode=1&keyword=2&monkey=3", "/?postcode=1&keyword=2&monkey=3"},
		{"/?a=b?token=c", "/?a=b?token=c"},
		{"/token=x", "/token=x"},
		{"/?token=a=b", "/?token=REDACTED"},
		{"ftp://u:p@h/x?sig=1", "ftp://h/x?sig=REDACTED"},
		{"u:p@h", "h"},
	}
	for _, tt := range tests {
		if got := redactAll(tt.in); got != tt.want {
			t.Errorf("redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// redactAll returns what redact emits, put together.
func redactAll(target string) string {
	var out strings.Builder
	redact(target, noLimit, func(part string) { out.WriteString(part) })
	return out.String()
}

func TestRedactReferer(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"https://a.ex/b?c=d", "https://a.ex/b"},
		{"https://u:p@a.ex", "https://a.ex"},
		{"https://u:p@a.ex/b@c#d", "https://a.ex/b@c"},
		{"/relative?x", "/relative"},
	}
	for _, tt := range tests {
		if got := redactReferer(tt.in); got != tt.want {
			t.Errorf("redactReferer(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestPanicBecomes500(t *testing.T) {
	got := serve(t, request("/"), func(http.ResponseWriter, *http.Request) { panic("boom\nx") })
	line := got.line(t)
	if got.panicked != nil || got.res.StatusCode != 500 || got.res.Header.Get("Connection") != "close" {
		t.Errorf("panicked %v, status %d, header %v", got.panicked, got.res.StatusCode, got.res.Header)
	}
	if line["code"] != "panic" || line["status"] != 500.0 || got.counters.Panics != 1 || got.counters.Requests["5xx"] != 1 {
		t.Errorf("line %v, counters %+v", line, got.counters)
	}
	if !strings.Contains(got.faults, "handler panicked") || !strings.Contains(got.faults, "TestPanicBecomes500") || strings.Count(got.faults, "\n") != 1 {
		t.Errorf("faults %q", got.faults)
	}
	if b, _ := io.ReadAll(got.res.Body); strings.Contains(string(b), "boom") {
		t.Errorf("the page tells %q", b)
	}
}

func TestPanicBehindTheHeadCutsTheAnswer(t *testing.T) {
	got := serve(t, request("/"), func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		panic("boom")
	})
	if line := got.line(t); got.panicked != http.ErrAbortHandler || line["status"] != 200.0 || line["code"] != "panic" || got.counters.Aborted != 1 {
		t.Errorf("panicked %v, line %v, counters %+v", got.panicked, line, got.counters)
	}
}

func TestAbortIsNoFault(t *testing.T) {
	got := serve(t, request("/"), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		panic(http.ErrAbortHandler)
	})
	if line := got.line(t); got.panicked != http.ErrAbortHandler || line["code"] != "aborted" || got.faults != "" || got.counters.Panics != 0 || got.counters.Aborted != 1 {
		t.Errorf("panicked %v, line %v, faults %q, counters %+v", got.panicked, line, got.faults, got.counters)
	}
}

func TestClientGone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	got := serve(t, request("/").WithContext(ctx), func(http.ResponseWriter, *http.Request) { cancel() })
	if line := got.line(t); line["status"] != 499.0 || line["code"] != "client-gone" {
		t.Errorf("got %v", line)
	}
}

func TestBatchWritesOnRunAndAtTheEnd(t *testing.T) {
	dst := &logtest.Buffer{}
	b := NewBatch(dst)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 1000 {
				io.WriteString(b, "0123456789\n")
			}
		})
	}
	writers.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got, want := dst.String(), strings.Repeat("0123456789\n", 8000); got != want || b.Dropped() != 0 {
		t.Errorf("got %d bytes, want %d; dropped %d", len(got), len(want), b.Dropped())
	}
}

// A destination that is stuck holds up nobody and costs a bounded memory.
func TestBatchDropsWhatAStuckDestinationCannotTake(t *testing.T) {
	r, w := io.Pipe()
	b := NewBatch(w)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	line := bytes.Repeat([]byte("x"), 1<<10)
	for b.Dropped() == 0 { // ends only if lines are dropped
		b.Write(line)
	}
	held := 0
	for i := range b.shards {
		b.shards[i].mu.Lock()
		held += len(b.shards[i].buf)
		b.shards[i].mu.Unlock()
	}
	if most := limitBytes * len(b.shards); held > most {
		t.Errorf("holds %d bytes, at most %d", held, most)
	}
	r.Close()
	cancel()
	<-ended
}

func TestFileSinkReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s, err := OpenSink(path, "auto")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s.Lines, "{\"message\":\"one\"}\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(s.Lines, "{\"message\":\"two\"}\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "one", path: "two"} {
		if b, err := os.ReadFile(name); err != nil || !strings.Contains(string(b), want) || strings.Count(string(b), "\n") != 1 {
			t.Errorf("%s: %q, %v, want %q", filepath.Base(name), b, err, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSinkThatIsOff(t *testing.T) {
	s, err := OpenSink("off", "auto")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s.Lines != nil || s.Run(ctx) != nil || s.Reopen() != nil || s.Close() != nil || s.Dropped() != 0 {
		t.Error("a sink that is off does something")
	}
}

func TestSinkErrors(t *testing.T) {
	if _, err := OpenSink(filepath.Join(t.TempDir(), "no", "dir"), "auto"); err == nil {
		t.Error("opened a file in a directory that is not there")
	}
	if _, err := OpenSink("stdout", "xml"); err == nil {
		t.Error("took an unknown format")
	}
}

func TestConsoleFormat(t *testing.T) {
	var out bytes.Buffer
	s, err := newSink(&out, "console")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s.Lines, `{"path":"/a\u001b[31m","status":200}`+"\n")
	s.Close()
	if got := out.String(); strings.HasPrefix(got, "{") || !strings.Contains(got, "status=200") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "warn", "auto")
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("route added")
	log.Warn().Msg("route refused")
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if _, err := time.Parse(Millis, line["time"]); err != nil || line["message"] != "route refused" {
		t.Errorf("got %v, %v", line, err)
	}
	for _, bad := range [][2]string{{"loud", "auto"}, {"", "auto"}, {"info", "xml"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("level %q format %q: no error", bad[0], bad[1])
		}
	}
}

func TestSettleWaitsForTheLastLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counters
		busy := make(chan bool)
		l := &AccessLog{Counters: &c, Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-busy })}
		a := &exchange.Arrival{Next: l}
		go a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n := c.Settle(ctx); n != 1 || ctx.Err() == nil {
			t.Errorf("Settle = %d while one exchange goes on, want 1 when its context has ended", n)
		}
		time.AfterFunc(time.Second, func() { close(busy) })
		if n := c.Settle(t.Context()); n != 0 || c.Snapshot().Requests["2xx"] != 1 {
			t.Errorf("Settle = %d, counted %v, want it to wait for the end", n, c.Snapshot().Requests)
		}
	})
}
