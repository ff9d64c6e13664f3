package http1

import (
	"errors"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

func TestTheEndOfAHead(t *testing.T) {
	for in, want := range map[string]int{
		"": 0, "GET / HTTP/1.1\r\n": 0, "GET / HTTP/1.1\r\nHost: x\r\n\r": 0,
		"GET / HTTP/1.1\r\n\r\n": 18, "GET / HTTP/1.1\r\nHost: x\r\n\r\nbody\n": 27,
		"GET / HTTP/1.1\n\n": -1, "GET / HTTP/1.1\r\nHost: x\n": -1, "GET / HTTP/1.1\r\nHost: x\r\n\n": -1,
	} {
		// In one piece, and byte by byte.
		end, _, err := HeadEnd([]byte(in), 0)
		cut, from, cutErr := 0, 0, error(nil)
		for i := 0; i <= len(in) && cut == 0 && cutErr == nil; i++ {
			cut, from, cutErr = HeadEnd([]byte(in[:i]), from)
		}
		if end != cut || (err == nil) != (cutErr == nil) || (err != nil) != (want < 0) || want >= 0 && end != want {
			t.Errorf("%q: %d, %v; byte by byte %d, %v; want %d", in, end, err, cut, cutErr, want)
		}
	}
}

func TestFields(t *testing.T) {
	const wrong = "-"
	for in, want := range map[string]string{
		"\r\n": "", "a: b\r\n\r\n": "A=b", "A:b\r\na:  c\t\r\n\r\n": "A=b,c", "x-forwarded-for: 1\r\n\r\n": "X-Forwarded-For=1",
		"A:\r\n\r\n": "A=", "A: \xe9\r\n\r\n": "A=\xe9", "A: b\tc\r\n\r\n": "A=b\tc",
		"A : b\r\n\r\n": wrong, " A: b\r\n\r\n": wrong, "A: b\r\n c\r\n\r\n": wrong, "A\r\n\r\n": wrong, ": b\r\n\r\n": wrong,
		"A: b\x00\r\n\r\n": wrong, "A: b\x7f\r\n\r\n": wrong, "A: b\rc\r\n\r\n": wrong, "\xe9: b\r\n\r\n": wrong, "A(b): c\r\n\r\n": wrong,
	} {
		h, err := ParseFields(in)
		var got []string
		for name, values := range h {
			got = append(got, name+"="+strings.Join(values, ","))
		}
		if text := strings.Join(got, " "); (err != nil) != (want == wrong) || err == nil && text != want {
			t.Errorf("%q: %q, %v; want %q", in, text, err, want)
		}
	}
	many := strings.Repeat("A: b\r\n", MaxFields)
	if _, err := ParseFields(many + "\r\n"); err != nil {
		t.Errorf("%d fields: %v", MaxFields, err)
	}
	if _, err := ParseFields(many + "A: b\r\n\r\n"); !errors.Is(err, ErrTooManyFields) {
		t.Errorf("one field more: %v, want %v", err, ErrTooManyFields)
	}
}

// What is used again has nothing of the message before.
func TestFieldsAreUsedAgain(t *testing.T) {
	var f Fields
	for _, in := range []string{"A: 1\r\nB: 2\r\nB: 3\r\n\r\n", "C: 4\r\n\r\n", "\r\n", "B: 5\r\nA: 6\r\nA: 7\r\n\r\n"} {
		want, err := ParseFields(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Parse(in); err != nil || len(f.Header) != len(want) || len(want) > 0 && !reflect.DeepEqual(f.Header, want) {
			t.Errorf("%q: %v, %v; want %v", in, f.Header, err, want)
		}
	}
	if f.Reset(); len(f.Header) > 0 {
		t.Errorf("after a reset: %v", f.Header)
	}
}

// chunks reads all framing of in, whose chunks are single bytes if drip is set.
func chunks(in string, drip bool) (data string, trailer http.Header, err error) {
	var c Chunks
	b, seen := []byte(in), len(in)
	if drip {
		seen = 0
	}
	for {
		used, size, err := c.Next(b[:seen])
		switch {
		case err != nil:
			return data, nil, err
		case used == 0 && seen == len(b):
			return data, nil, errors.New("it ends too early")
		case used == 0:
			seen++
			continue
		case size == 0:
			return data, c.Trailer, nil
		}
		b, seen = b[used:], seen-used
		if seen = max(seen, int(size)); size > int64(len(b)) {
			return data, nil, errors.New("it ends within a chunk")
		}
		data, b, seen = data+string(b[:size]), b[size:], seen-int(size)
	}
}

func TestChunks(t *testing.T) {
	const wrong = "-"
	for in, want := range map[string]string{
		"0\r\n\r\n": "", "3\r\nabc\r\n0\r\n\r\n": "abc", "1\r\na\r\n02\r\nbc\r\n000\r\n\r\n": "abc", "A;x=\"y\"\r\n0123456789\r\n0;z\r\n\r\n": "0123456789",
		"1\r\na\r\n0\r\nX-A: b\r\n\r\n": "a",
		"":                              wrong, "\r\n": wrong, "3\nabc\r\n0\r\n\r\n": wrong, "3\r\nabcd\r\n0\r\n\r\n": wrong, "0x1\r\na\r\n0\r\n\r\n": wrong, "-1\r\n\r\n": wrong, "+1\r\na\r\n0\r\n\r\n": wrong,
		"1 \r\na\r\n0\r\n\r\n": wrong, "g\r\n": wrong, "ffffffffffffffffff\r\n": wrong, "1\r\na\n0\r\n\r\n": wrong, "0\r\nX A: b\r\n\r\n": wrong,
		strings.Repeat("0", MaxChunkLine+1) + "\r\n\r\n": wrong, "0\r\nA: " + strings.Repeat("b", MaxTrailer) + "\r\n\r\n": wrong,
	} {
		for _, drip := range []bool{false, true} {
			got, trailer, err := chunks(in, drip)
			if (err != nil) != (want == wrong) || err == nil && got != want {
				t.Errorf("%.60q, drip %v: %q, %v; want %q", in, drip, got, err, want)
			}
			if has := trailer.Get("X-A") == "b"; has != (err == nil && strings.Contains(in, "X-A")) {
				t.Errorf("%.60q, drip %v: trailers %v", in, drip, trailer)
			}
		}
	}
}

func TestCanonicalNamesAreThoseOfTheLibrary(t *testing.T) {
	for _, name := range []string{"a", "A", "host", "CONTENT-LENGTH", "x-forwarded-for", "x--a", "-a", "a-", "9a-9b", "x_a", "dnt", "te", "etag", "www-authenticate", "sec-ch-ua", "x-request-id"} {
		if got, want := Canonical(name), textproto.CanonicalMIMEHeaderKey(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestLengths(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "5": 5, "007": 7, "999999999999999999": 999999999999999999,
		"": -1, "-1": -1, "+1": -1, " 1": -1, "1 ": -1, "0x1": -1, "1,1": -1, "1000000000000000000": -1, "٣": -1,
	} {
		if n, ok := ParseLength(in); ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d, %v; want %d", in, n, ok, want)
		}
	}
}

func TestTokens(t *testing.T) {
	if !HasToken([]string{"a, Keep-Alive", "b"}, "keep-alive") || HasToken([]string{"close-x, xclose"}, "close") || HasToken(nil, "close") {
		t.Error("tokens of lists are not found, or found where they are not")
	}
	if !Is("KEEP", "keep") || Is("\u212aeep", "keep") {
		t.Error("letters outside ASCII are folded, or those of ASCII are not")
	}
}
