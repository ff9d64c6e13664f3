package h1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// URLs are those of net/http, for plain paths too, which are not given to its
// parser.
func TestURLsAreThoseOfNetHTTP(t *testing.T) {
	e := New(Config{})
	d := newDesk()
	d.c = &conn{engine: e}
	targets := []string{"/", "//", "//a/b", "/a?b=c", "/a?", "/a??b", "/a?b?", "/%41", "/%2f", "/a;b=c", "/:a", "/a:b", "http://h/a?b", "http://h", "http://u:p@h:1/", "*", "/a%zz", "/%"}
	for c := 0x21; c < 0x100; c++ {
		if c != '#' && c != 0x7f {
			targets = append(targets, "/a"+string([]byte{byte(c)})+"b", "/?"+string([]byte{byte(c)}))
		}
	}
	for _, target := range targets {
		in := "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(in)))
		d.used = true
		d.clear()
		d.adopt([]byte(in))
		no := d.parse(len(in))
		switch {
		case (err == nil) != (no == nil):
			t.Errorf("%q: %v, net/http: %v", target, no, err)
		case err != nil:
		case !reflect.DeepEqual(d.req.URL, want.URL) || d.req.Host != want.Host:
			t.Errorf("%q: got %+v of %q, want %+v of %q", target, d.req.URL, d.req.Host, want.URL, want.Host)
		}
	}
}

// What is refused is answered in a way that a client can read, and counted.
func TestRefusals(t *testing.T) {
	fields := strings.Repeat("X: y\r\n", 30)
	for _, tt := range []struct {
		in    string
		want  int
		count func(Stats) uint64
	}{
		{"GET / HTTP/1.1\r\n\r\n", 400, func(s Stats) uint64 { return s.Malformed }},
		{"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, func(s Stats) uint64 { return s.Malformed }},
		{"GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n", 431, func(s Stats) uint64 { return s.TooLarge }},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\n", 431, func(s Stats) uint64 { return s.TooLarge }},
		{"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 5000) + "\r\n\r\n", 431, func(s Stats) uint64 { return s.TooLarge }},
		{"GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, func(s Stats) uint64 { return s.TooLarge }},
		{"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, func(s Stats) uint64 { return s.Unsupported }},
		{"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417, func(s Stats) uint64 { return s.Unsupported }},
		{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chun\u212aed\r\n\r\n", 501, func(s Stats) uint64 { return s.Unsupported }},
		{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, func(s Stats) uint64 { return s.Unsupported }},
	} {
		t.Run(fmt.Sprintf("%d %.30q", tt.want, tt.in), func(t *testing.T) {
			each(t, func(t *testing.T, how link) {
				e := start(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the handler was called") }, func(c *Config) {
					c.MaxHeadBytes, c.MaxFields = 4<<10, 20
				})
				c := dial(t, e, how)
				c.Send(tt.in + get)
				res, body := c.Answer("GET")
				if res.StatusCode != tt.want || !res.Close || !strings.HasPrefix(body, res.Status+": ") || res.Header.Get("Date") == "" {
					t.Errorf("got %s, close %v, %q, %v", res.Status, res.Close, body, res.Header)
				}
				if got := c.Rest(); got != "" {
					t.Errorf("behind it came %q", got)
				}
				if got := e.Stats(); tt.count(got) != 1 {
					t.Errorf("it was not counted: %+v", got)
				}
			})
		})
	}
}

func TestAConnectionHasItsShareOfRequests(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		c := dial(t, start(t, echo, func(c *Config) { c.MaxRequests = 3 }), how)
		c.Send(strings.Repeat(get, 5))
		for i := range 3 {
			if res, _ := c.Answer("GET"); res.Close != (i == 2) {
				t.Errorf("answer %d says close %v", i+1, res.Close)
			}
		}
		if got := c.Rest(); got != "" {
			t.Errorf("a request too many got %q", got)
		}
	})
}

// A head with a great many fields leaves nothing behind that costs the next one.
func TestManyFieldsAreForgotten(t *testing.T) {
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "X-%d: y\r\n", i)
	}
	seen := make(chan int, 2)
	e := start(t, func(w http.ResponseWriter, r *http.Request) { seen <- len(r.Header) }, func(c *Config) { c.Poison = false })
	c := dial(t, e, byCallback)
	c.Send("GET / HTTP/1.1\r\nHost: x\r\n" + many.String() + "\r\n" + get)
	c.Answer("GET")
	c.Answer("GET")
	if a, b := <-seen, <-seen; a != 500 || b != 0 {
		t.Errorf("handlers saw %d and %d fields", a, b)
	}
	waitFor(t, "it to be idle", func() bool { return idles(e) == 1 })
	d, ok := e.desks.Get().(*desk)
	if ok && cap(d.fields.Header["X"]) > 0 || ok && len(d.in) > inSize {
		t.Errorf("the desk is still large: %d bytes", len(d.in))
	}
}

// An empty line behind a POST is what clients of old send, and refused elsewhere.
func TestAnEmptyLineBehindAPost(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
	each(t, func(t *testing.T, how link) {
		for in, want := range map[string]string{
			post + "\r\n" + get:     "200 200",
			post + "\r\n\r\n" + get: "200 400",
			get + "\r\n" + get:      "200 400",
			"\r\n" + get:            "400",
		} {
			c := dial(t, start(t, echo), how)
			c.Send(in)
			c.CloseWrite()
			var got []string
			for {
				res, err := http.ReadResponse(c.R, nil)
				if err != nil {
					break
				}
				io.Copy(io.Discard, res.Body)
				got = append(got, res.Status[:3])
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%q: got %q, want %q", in, s, want)
			}
		}
	})
}
