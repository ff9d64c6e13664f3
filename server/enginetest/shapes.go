package enginetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzShapes is Fuzz on requests that are put together from parts that are
// right, of which a few are odd: changing bytes at random seldom gets far behind
// a request line. A seed stands for the bytes.
func FuzzShapes(f *testing.F, ref, ours Make) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	a, b := newSide(f, ref), newSide(f, ours)
	f.Fuzz(func(t *testing.T, seed uint64) {
		s := shaper{rand.New(rand.NewPCG(seed, 0))}
		in := s.requests()
		hold(&trial{T: t}, a, b, in, s.IntN(len(in)))
	})
}

// shaper puts requests together.
type shaper struct{ *rand.Rand }

// one returns one of usual, or seldom one of odd.
func (s shaper) one(usual []string, odd ...string) string {
	if len(odd) > 0 && s.IntN(12) == 0 {
		return odd[s.IntN(len(odd))]
	}
	return usual[s.IntN(len(usual))]
}

func (s shaper) end() string {
	return s.one([]string{"\r\n"}, "\r\n", "\r\n", "\n", "\r\r\n", "\r", " \r\n")
}

func (s shaper) requests() string {
	var b strings.Builder
	for range 1 + s.IntN(3) {
		s.request(&b)
	}
	return b.String() + s.one([]string{"", last}, "\r\n", "\x00", "GET", "0\r\n\r\n")
}

func (s shaper) request(b *strings.Builder) {
	b.WriteString(s.one([]string{"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "DELETE "}, "get ", "CONNECT ", "G@T ", "", "GET\t", "GET  ", "PRI "))
	b.WriteString(s.one([]string{"/", "/a?b=c", "/a%2Fb", "http://y/z?q", "//y/z"},
		"*", "/#a", "y:80", "/a b", "/\x7f", "/\x00", "http://", "http:///a", "/%zz", "HTTP://Y", "https://u:p@y/", "", "a", "/\xff", "/?#", "http://y#a", "http://[::1]:80/", "http://[::1/", "///", "/\\"))
	b.WriteString(s.one([]string{" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0"}, " HTTP/1.2", " HTTP/2.0", " HTTP/0.9", "", " HTTP/1.1 ", " http/1.1", " HTTP/1.10"))
	b.WriteString(s.end())
	b.WriteString(s.one([]string{"Host: x" + s.end()}, "", "Host:"+s.end(), "Host: a b\r\n", "Host: x\r\nHost: y\r\n", "Host: [::1]:80\r\n", "host : x\r\n", "Host: x,y\r\n", "Host: x@y\r\n"))
	for range s.IntN(4) {
		b.WriteString(s.one([]string{"X-A: b", "x-a:c", "X-B: \t d \t", "Cookie: a=b", "Connection: keep-alive", "Accept: */*", "Trailer: X-T", "X-Empty:"},
			"Connection: close", "Connection: Close, x", "Expect: 100-continue", "Expect: tea", "Pragma: no-cache", "X A: b", " folded", "\tfolded", ": x", "X-A", "X-A: \x00", "X-A: \x7f", "X-A: \xff",
			"Trailer: Content-Length", "Trailer: ", "Upgrade: h2c", "Connection: Upgrade", "Proxy-Connection: close", "Connection:", "Cache-Control: x", "Content-Length: 3", "Transfer-Encoding: chunked"))
		b.WriteString(s.end())
	}
	s.body(b)
}

// body ends the head and writes what should be behind it, or seldom something
// else.
func (s shaper) body(b *strings.Builder) {
	body := strings.Repeat("b", s.IntN(20))
	length := s.one([]string{fmt.Sprint(len(body))}, "0", "+3", "03", "3,3", "0x3", "-1", "99", "18446744073709551616", "3 3", "", fmt.Sprint(len(body)+1))
	coding := s.one([]string{"chunked"}, "Chunked", "chunked, chunked", "gzip, chunked", "identity", "xchunked", "chunked;a", "", "chunked,", "\x0bchunked")
	switch s.IntN(8) {
	case 0, 1, 2:
		b.WriteString(s.end())
	case 3, 4:
		fmt.Fprintf(b, "Content-Length: %s%s%s%s", length, s.end(), s.end(), body)
	case 5, 6:
		fmt.Fprintf(b, "Transfer-Encoding: %s%s%s", coding, s.end(), s.end())
		s.chunks(b)
	default:
		fmt.Fprintf(b, "Content-Length: %s\r\nTransfer-Encoding: %s\r\n\r\n%s", length, coding, body)
		s.chunks(b)
	}
}

func (s shaper) chunks(b *strings.Builder) {
	for range s.IntN(3) {
		data := strings.Repeat("c", 1+s.IntN(20))
		size := s.one([]string{fmt.Sprintf("%x", len(data)), fmt.Sprintf("%X;a=b", len(data)), fmt.Sprintf("0%x", len(data))},
			"0x3", "+3", "", " 3", fmt.Sprintf("%x ", len(data)), "g", "ffffffffffffffff", fmt.Sprintf("%x;\x00", len(data)), fmt.Sprintf("%x;\"\r\n\"", len(data)))
		fmt.Fprintf(b, "%s%s%s%s", size, s.end(), data, s.end())
	}
	b.WriteString(s.one([]string{"0", "0", "000;a"}, "", "00000000000000000", "-0", "0 "))
	b.WriteString(s.end())
	for range s.IntN(3) {
		b.WriteString(s.one([]string{"X-T: 1", "X-U: 2"}, "X T: 1", ": 1", "Content-Length: 3", "Transfer-Encoding: chunked", "Trailer: x", " folded", "X-T", "X-T: \x00", "Host: z"))
		b.WriteString(s.end())
	}
	b.WriteString(s.end())
}
