package enginetest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

var requestBehaviours = []behaviour{
	{"requests say what was sent", requestFields},
	{"requests know their connection", requestConn},
	{"requests may be cut anywhere", cutAnywhere},
	{"requests that are refused may be cut anywhere", refusedAnywhere},
	{"TLS records may be cut anywhere", recordsAnywhere},
	{"heads are as long as they may be (THREATS 29)", headLimit},
	{"thousands of requests come by one connection", longLife},
}

// sightings are requests and what a handler must see of them.
var sightings = []struct {
	name, in string
	want     sighting
}{
	{"fields", "GET /a%2Fb?c=d&e HTTP/1.1\r\nhost: App.Test:81\r\nx-one: 1\r\nX-TWO:  a b\t\r\nX-One:2\r\nX-Empty:\r\n\r\n", sighting{
		Method: "GET", Target: "/a%2Fb?c=d&e", Host: "App.Test:81", Proto: "HTTP/1.1", URL: url.URL{Path: "/a/b", RawPath: "/a%2Fb", RawQuery: "c=d&e"},
		Header: http.Header{"X-One": {"1", "2"}, "X-Two": {"a b"}, "X-Empty": {""}}}},
	{"no fields", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", sighting{Method: "GET", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}}},
	{"length", "PUT /? HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", sighting{
		Method: "PUT", Target: "/?", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/", ForceQuery: true}, Length: 3, Header: http.Header{"Content-Length": {"3"}}, Body: "abc"}},
	{"length of 0", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", sighting{
		Method: "PUT", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}, Header: http.Header{"Content-Length": {"0"}}}},
	{"chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", sighting{
		Method: "POST", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}, Length: -1, Codings: []string{"chunked"}, Body: "abcde"}},
	{"trailers", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, x-other\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n", sighting{
		Method: "POST", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}, Length: -1, Codings: []string{"chunked"}, Body: "abc",
		Announced: []string{"X-Other", "X-Sum"}, Trailer: http.Header{"X-Sum": {"42"}, "X-Other": nil}}},
	{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", sighting{
		Method: "GET", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}, Close: true, Header: http.Header{"Connection": {"close"}}}},
	{"HTTP/1.0", "HEAD /a HTTP/1.0\r\n\r\n", sighting{Method: "HEAD", Target: "/a", Proto: "HTTP/1.0", URL: url.URL{Path: "/a"}, Close: true}},
	{"absolute-form overrides Host", "GET http://b.ex:81/x?y HTTP/1.1\r\nHost: a.ex\r\n\r\n", sighting{
		Method: "GET", Target: "http://b.ex:81/x?y", Host: "b.ex:81", Proto: "HTTP/1.1", URL: url.URL{Scheme: "http", Host: "b.ex:81", Path: "/x", RawQuery: "y"}}},
	{"two slashes are no authority", "GET //b.ex/x HTTP/1.1\r\nHost: a.ex\r\n\r\n", sighting{
		Method: "GET", Target: "//b.ex/x", Host: "a.ex", Proto: "HTTP/1.1", URL: url.URL{Path: "//b.ex/x"}}},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", sighting{Method: "OPTIONS", Target: "*", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "*"}}},
	{"expectation", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", sighting{
		Method: "POST", Target: "/", Host: "x", Proto: "HTTP/1.1", URL: url.URL{Path: "/"}, Length: 3, Header: http.Header{"Content-Length": {"3"}, "Expect": {"100-continue"}}, Body: "abc"}},
}

func requestFields(t *trial) {
	for _, tt := range sightings {
		t.run(tt.name, func(t *trial) {
			var rec recorder
			c := t.dial(rec.ServeHTTP)
			c.Send(tt.in)
			c.CloseWrite()
			c.Rest()
			if got := rec.take(); len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func requestConn(t *trial) {
	ends := make(chan [2]string, 1)
	c := t.dial(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		ends <- [2]string{strings.Clone(r.RemoteAddr), fmt.Sprint(local)}
		switch {
		case r.Body == nil:
			t.Error("a request without a body has no Body")
		case !t.tls && r.TLS != nil:
			t.Errorf("a plain request has TLS %v", r.TLS)
		case t.tls && (r.TLS == nil || !r.TLS.HandshakeComplete || r.TLS.ServerName != "app.test"):
			t.Errorf("a request over TLS has TLS %+v", r.TLS)
		case r.Context().Err() != nil:
			t.Errorf("the context has ended: %v", r.Context().Err())
		}
		if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("an empty body reads %d, %v", n, err)
		}
	})
	for range 2 { // the second finds what was used before
		c.Send(get(""))
		c.Answer("GET")
		if got, want := <-ends, [2]string{c.LocalAddr().String(), c.RemoteAddr().String()}; got != want {
			t.Errorf("RemoteAddr and the local address are %q, want %q", got, want)
		}
	}
}

// inPieces are requests that are cut everywhere. All have an answer and leave
// the connection open.
var inPieces = []string{
	"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n1;a=b\r\n0\r\n00a\r\n0123456789\r\n0\r\nX-A: a\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
}

func cutAnywhere(t *trial) {
	var rec recorder
	c := t.dial(rec.ServeHTTP)
	var want []sighting
	ask := func(next string, pieces ...string) {
		t.Helper()
		for _, p := range pieces {
			c.drained()
			c.Send(p)
		}
		if res, _ := c.Answer("POST"); res.StatusCode != 200 {
			t.Fatalf("got %d for %q", res.StatusCode, pieces)
		}
		if next != "" {
			c.Answer("GET")
		}
		got := rec.take()
		if len(pieces) == 1 {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("cut to %q:\ngot  %+v\nwant %+v", pieces, got, want)
		}
	}
	for _, next := range []string{"", get("")} { // alone, and in one piece with a next request
		for _, in := range inPieces {
			in += next
			ask(next, in)
			for i := 1; i < len(in); i++ {
				ask(next, in[:i], in[i:])
			}
			ask(next, strings.Split(in, "")...)
		}
	}
}

// recordsAnywhere sends requests whose bytes below TLS come one by one: a read may
// find a part of a record, or one with a part of another behind it.
func recordsAnywhere(t *trial) {
	var rec recorder
	c := t.dial(rec.ServeHTTP)
	for _, in := range inPieces {
		half := len(in) / 2
		for _, pieces := range [][]string{{in}, {in[:half], in[half:]}, {in + in}} {
			answers := strings.Count(strings.Join(pieces, ""), "HTTP/1.")
			var want []sighting
			for _, drips := range []bool{false, true} {
				c.drips = drips
				for _, p := range pieces {
					c.Send(p)
				}
				for range answers {
					if res, _ := c.Answer("POST"); res.StatusCode != 200 {
						t.Fatalf("got %d for %q", res.StatusCode, pieces)
					}
				}
				got := rec.take()
				if len(got) != answers || drips && !reflect.DeepEqual(got, want) {
					t.Fatalf("%q:\ngot  %+v\nwant %+v", pieces, got, want)
				}
				want = got
			}
		}
	}
}

// inPiecesRefused are bytes that are refused once all of them are there, and
// the statuses of all answers.
var inPiecesRefused = []struct{ in, want string }{
	{"GET / HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n" + bait, "400"},
	{"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n" + bait, "200 400"},
	{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + "G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n" + bait, "200 400"},
	{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + bait, "400"},
	{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX\r\n\r\n" + bait, "400"},
}

func refusedAnywhere(t *trial) {
	var rec recorder
	e := t.engine(rec.ServeHTTP)
	for _, rq := range inPiecesRefused {
		for i := 1; i < len(rq.in); i++ {
			c := t.connect(e)
			c.Send(rq.in[:i])
			c.drained()
			io.WriteString(c, rq.in[i:]) // fails where the first piece was enough
			c.CloseWrite()
			raw := c.Rest()
			for _, s := range rec.take() {
				if s.Target == "/bait" {
					t.Fatalf("%q cut at %d: bait was served", rq.in, i)
				}
			}
			if got := codes(raw); got != rq.want {
				t.Fatalf("%q cut at %d: got %q, want %q", rq.in, i, got, rq.want)
			}
			c.Close()
		}
	}
}

// headLimit goes by the limit that is set, on either side of what it may mean.
func headLimit(t *trial) {
	var rec recorder
	e := t.engine(rec.ServeHTTP, func(c *Config) { c.MaxHeadBytes = 8 << 10 })
	for _, tt := range []struct {
		size int
		want []string
	}{{4 << 10, both}, {8<<10 - 200, both}, {32 << 10, []string{"200 431", "200"}}, {1 << 20, []string{"200 431", "200"}}} {
		for name, in := range map[string]string{
			"a field": get("X-A: " + strings.Repeat("a", tt.size) + "\r\n"),
			"fields":  get(strings.Repeat("X-A: "+strings.Repeat("a", 93)+"\r\n", tt.size/100)),
		} {
			c := t.connect(e)
			sent := beside(func() { io.WriteString(c, get("")+in); c.CloseWrite() })
			if got := codes(c.Rest()); !slices.Contains(tt.want, got) {
				t.Errorf("%s of %d bytes: got %q, want any of %q", name, tt.size, got, tt.want)
			}
			c.Close()
			<-sent
			if seen := rec.take(); len(seen) != len(strings.Fields(strings.TrimSuffix(tt.want[0], " 431"))) {
				t.Errorf("%s of %d bytes: %d requests were served", name, tt.size, len(seen))
			}
		}
	}
}

func longLife(t *trial) {
	var rec recorder
	c := t.dial(rec.ServeHTTP)
	for i := range 3000 {
		in := inPieces[i%2] // with and without a body
		c.Send(in)
		res, _ := c.Answer("POST")
		if seen := rec.take(); res.StatusCode != 200 || len(seen) != 1 || !strings.HasSuffix(in, "\r\n\r\n"+seen[0].Body) {
			t.Fatalf("request %d: got %d, seen %+v", i, res.StatusCode, seen)
		}
	}
}
