package exchange_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/conntest"
	"github.com/fairlead/fairlead/internal/servertest"
	"go.uber.org/goleak"
)

// net/http lingers for half a second on connections it closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// over sends raw to an Arrival on net/http's engine and returns everything that
// came back and the targets that got through, as "host target".
func over(t *testing.T, raw string) (answer string, through []string) {
	t.Helper()
	e := servertest.Engine(&exchange.Arrival{
		CloseChunked: servertest.Std(),
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			through = append(through, r.Host+" "+r.RequestURI)
			io.Copy(io.Discard, r.Body)
		}),
	})
	near, far := conntest.Pipe(t)
	c := conntest.NewClient(t, near)
	e.ServeConn(far)
	c.Send(raw)
	c.CloseWrite()
	answer = c.Rest()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	return answer, through
}

// What passes a real engine and Arrival together, byte by byte. Behind each
// request stands another; after one that is refused it must not be served.
func TestRequestsOnTheWire(t *testing.T) {
	const bait = "GET /bait HTTP/1.1\r\nHost: a.ex\r\n\r\n"
	tests := []struct {
		name, in, status string
		through          string
	}{
		{"plain", "GET /x?y HTTP/1.1\r\nHost: A.ex.\r\n\r\n" + bait, "200 200", "a.ex /x?y, a.ex /bait"},
		{"absolute-form wins over Host", "GET http://B.ex:81/x HTTP/1.1\r\nHost: a.ex\r\n\r\n", "200", "b.ex:81 /x"},
		{"absolute-form, TLS", "GET https://b.ex HTTP/1.1\r\nHost: a.ex\r\n\r\n", "200", "b.ex /"},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "200", " /"},
		{"fragment", "GET /a#/admin HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "400", ""},
		{"DEL", "GET /a\x7f HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "400", ""},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a.ex\r\nHost: b.ex\r\n\r\n" + bait, "400", ""},
		{"the same host twice", "GET / HTTP/1.1\r\nHost: a.ex\r\nHost: a.ex\r\n\r\n" + bait, "400", ""},
		{"comma", "GET / HTTP/1.1\r\nHost: a.ex,b.ex\r\n\r\n" + bait, "400", ""},
		{"userinfo", "GET / HTTP/1.1\r\nHost: a.ex@b.ex\r\n\r\n" + bait, "400", ""},
		{"userinfo in the target", "GET http://a.ex@b.ex/ HTTP/1.1\r\nHost: b.ex\r\n\r\n" + bait, "400", ""},
		{"half a literal", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" + bait, "400", ""},
		{"port no number", "GET / HTTP/1.1\r\nHost: a:abc\r\n\r\n" + bait, "400", ""},
		{"empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n" + bait, "400", ""},
		{"another scheme", "GET ftp://a.ex/ HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "400", ""},
		{"CONNECT", "CONNECT a.ex:443 HTTP/1.1\r\nHost: a.ex:443\r\n\r\n" + bait, "405", ""},
		{"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "405", ""},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "204 200", "a.ex /bait"},
		{"GET *", "GET * HTTP/1.1\r\nHost: a.ex\r\n\r\n" + bait, "400", ""},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a.ex\r\n\r\n" + bait, "505", ""},
		{"length and chunked (THREATS 1)", "POST / HTTP/1.1\r\nHost: a.ex\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + bait, "400", ""},
	}
	if servertest.Std() { // served without the length, and the connection closed behind it
		last := &tests[len(tests)-1]
		last.status, last.through = "200", "a.ex /"
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, through := over(t, tt.in)
			var got []string
			for line := range strings.SplitSeq(answer, "\r\n") {
				if rest, ok := strings.CutPrefix(line, "HTTP/1.1 "); ok {
					got = append(got, rest[:3])
				} else if rest, ok := strings.CutPrefix(line, "HTTP/1.0 "); ok {
					got = append(got, rest[:3])
				}
			}
			if strings.Join(got, " ") != tt.status || strings.Join(through, ", ") != tt.through {
				t.Errorf("got %q, through %q, want %q, %q\n%.300s", got, through, tt.status, tt.through, answer)
			}
		})
	}
}

// What ends a connection of HTTP/1 leaves one of HTTP/2 to the requests beside
// it: net/http makes a GOAWAY of Connection: close.
func TestConnectionsOfHTTP2AreNotClosed(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusMisdirectedRequest, Code: "test", Close: true})
	}
	drain := func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
	for name, handler := range map[string]http.HandlerFunc{"refusal": refuse, "body of unknown length": drain} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(&exchange.Arrival{CloseChunked: true, HTTPS: true, Next: handler})
			s.EnableHTTP2 = true
			s.StartTLS()
			defer s.Close()
			for i := range 3 {
				reused := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
				r, err := http.NewRequestWithContext(ctx, "POST", s.URL, io.MultiReader(strings.NewReader("body")))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := s.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.ProtoMajor != 2 || resp.Header.Get("Connection") != "" || reused != (i > 0) {
					t.Fatalf("request %d: %s with Connection %q on a connection used before: %v, want HTTP/2, no such field, and the first one's connection", i, resp.Proto, resp.Header.Get("Connection"), reused)
				}
			}
		})
	}
}
