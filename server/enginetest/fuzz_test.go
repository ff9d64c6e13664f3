package enginetest

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the seeds that are missing in the corpus")

// net/http lingers for half a second on connections it closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// Each rule explains requests of its kind.
func TestRulesMatchTheirKind(t *testing.T) {
	all := slices.Concat(stricter, looser)
	kinds := map[string][]string{
		"a line ends in a bare LF":         {"GET / HTTP/1.1\nHost: x\r\n\r\n", get("X-A: a\n"), "GET / HTTP/1.1\r\nHost: x\r\n\n", chunked("3\nabc\r\n0\r\n\r\n"), chunked("0\r\n\n"), chunked("0\r\nX-A: a\n\r\n")},
		"a folded line":                    {get("X-A: a\r\n b\r\n"), get("X-A: a\r\n\tb\r\n"), chunked("0\r\nX-A: a\r\n b\r\n\r\n")},
		"a malformed trailer":              {chunked("0\r\nX A: a\r\n\r\n"), chunked("0\r\nX-A\r\n\r\n"), chunked("0\r\nX-A: a\x00\r\n\r\n")},
		"a version other than 1.0 and 1.1": {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"},
		"a target that is neither a path nor a URL of http, or has a fragment": {"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n"},
		"CONNECT without Host":                    {"CONNECT / HTTP/1.1\r\n\r\n"},
		"a length of more than 18 digits":         {post("Content-Length: 0000000000000000003\r\n", "abc")},
		"Content-Length beside Transfer-Encoding": {post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), post("content-length: 3\r\ntransfer-encoding : chunked\r\n", "0\r\n\r\n")},
		"Transfer-Encoding in 1.0":                {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"a malformed line of a chunk":             {chunked("3 \r\nabc\r\n0\r\n\r\n"), chunked("3;\x00\r\nabc\r\n0\r\n\r\n"), chunked("0000000000000003\r\nabc\r\n0\r\n\r\n")},
		"too many fields":                         {get(manyFields(1001)), chunked("0\r\n" + manyFields(1001) + "\r\n")},
		"a head of 64 KiB":                        {get("X-A: " + strings.Repeat("a", 64<<10) + "\r\n")},
		"trailers of 4 KiB":                       {chunked("0\r\nX-A: " + strings.Repeat("a", 5000) + "\r\n\r\n")},
	}
	for _, r := range all {
		if kinds[r.name] == nil {
			t.Errorf("%q has no example", r.name)
		}
	}
	for name, examples := range kinds {
		for _, in := range examples {
			if got := explain(all, split(in)[0]); got != name {
				t.Errorf("%.80q is explained by %q, want %q", in, got, name)
			}
		}
	}
}

// No rule may excuse what is well formed, and the cases that are must be cut
// as they were put together.
func TestRulesLeaveWellFormedRequestsAlone(t *testing.T) {
	for _, s := range sightings {
		if got := explain(slices.Concat(stricter, looser), split(s.in)[0]); got != "" {
			t.Errorf("%s is explained by %q", s.name, got)
		}
	}
	pieces := split(strings.Join(inPieces, ""))
	if len(pieces) != len(inPieces) {
		t.Fatalf("got %d pieces of %d requests: %+q", len(pieces), len(inPieces), pieces)
	}
	for i, p := range pieces {
		if !strings.HasPrefix(inPieces[i], p.line) {
			t.Errorf("request %d is cut to %+q", i, p)
		}
		if got := explain(slices.Concat(stricter, looser), p); got != "" {
			t.Errorf("%q is explained by %q", inPieces[i], got)
		}
	}
}

// An engine that reads bytes as if they were others is net/http which gets the
// others. What it makes of them has to be noticed, or to be explained.
func TestCompareSeesWhatDiffers(t *testing.T) {
	tests := []struct {
		name      string
		in, as    string
		explained bool
	}{
		{"a value", get("X-A: a\r\n"), get("X-A: b\r\n"), false},
		{"a name", get("X-A: a\r\n"), get("X-B: a\r\n"), false},
		{"the order of values", get("X-A: a\r\nX-A: b\r\n"), get("X-A: b\r\nX-A: a\r\n"), false},
		{"the method", get(""), "POST" + get("")[3:], false},
		{"the target", get(""), "GET /? HTTP/1.1\r\nHost: x\r\n\r\n", false},
		{"the host", get(""), "GET / HTTP/1.1\r\nHost: y\r\n\r\n", false},
		{"the version", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", get(""), false},
		{"a body", post("Content-Length: 3\r\n", "abc"), post("Content-Length: 3\r\n", "abd"), false},
		{"the framing", chunked("3\r\nabc\r\n0\r\n\r\n"), post("Content-Length: 3\r\n", "abc"), false},
		{"a trailer", chunked("0\r\nX-A: a\r\n\r\n"), chunked("0\r\n\r\n"), false},
		{"a request is missing", get("") + last, last, false},
		{"a request more", get(""), get("") + get(""), false},
		{"a next request is read as a body", post("Content-Length: 0\r\n", "") + get(""), post("Content-Length: 31\r\n", "") + get(""), false},
		{"a broken body is whole", chunked("3\r\nabcd\r\n0\r\n\r\n"), chunked("3\r\nabc\r\n0\r\n\r\n"), false},
		{"a whole body is broken", post("Content-Length: 3\r\n", "abc"), post("Content-Length: 4\r\n", "abc"), false},
		{"a broken body has other bytes", post("Content-Length: 9\r\n", "abc"), post("Content-Length: 9\r\n", "xyz"), false},
		{"what is refused is accepted", post("Content-Length: +3\r\n", "abc"), post("Content-Length: 3\r\n", "abc"), false},
		{"what is accepted is refused", get(""), get("X A: b\r\n"), false},
		{"nothing is refused", "", "G@T / HTTP/1.1\r\n\r\n", false},
		{"what goes on is closed", get("") + last, get("Connection: close\r\n") + last, false},
		{"what closes goes on", last + bait, get("") + bait, false},
		{"a handler gets half a body of what is refused", post("Content-Length: +9\r\n", "abc"), post("Content-Length: 9\r\n", "abc"), false},
		{"a bare LF is refused", get("X-A: a\n"), get(": a\r\n"), true},
		{"a bare LF is refused behind another", get("") + get("X-A: a\n") + bait, get("") + get(": a\r\n") + bait, true},
		{"a bare LF before is no reason", get("X-A: a\n") + get(""), get("X-A: a\n") + get(": a\r\n"), false},
		{"long trailers are accepted", chunked("0\r\nX-A: " + strings.Repeat("a", 5000) + "\r\n\r\n"), chunked("0\r\nX-A: a\r\n\r\n"), true},
		{"nothing differs", get("") + last, get("") + last, true},
	}
	s := newSide(t, Std)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := &trial{T: t}
			if err := compare(tt.in, s.ask(tr, tt.in, 0), s.ask(tr, tt.as, 0)); (err == nil) != tt.explained {
				t.Errorf("%q read as %q: %v", tt.in, tt.as, err)
			}
		})
	}
}

// corpus is where the fuzzing of our engine begins.
const corpus = "../h1/testdata/fuzz/FuzzRequests"

// Each seed is in the corpus, cut in its middle. What fuzzing finds stands
// beside them.
func TestCorpusHoldsTheSeeds(t *testing.T) {
	seeds := Seeds()
	if len(seeds) < 60 {
		t.Errorf("there are only %d seeds", len(seeds))
	}
	for name, in := range seeds {
		path := filepath.Join(corpus, slug(name)+"-"+fmt.Sprintf("%x", sha256.Sum256(in))[:8])
		want := fmt.Sprintf("go test fuzz v1\n[]byte(%s)\nuint16(%d)\n", strconv.QuoteToASCII(string(in)), len(in)/2)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %v (run go test ./server/enginetest -update)", name, err)
		}
	}
}

// slug makes name one of a file.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}
