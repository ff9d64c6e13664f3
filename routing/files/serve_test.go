package files

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/assets"
)

const digits = "0123456789"

func TestAFileHasTheFieldsThatBrowsersAndCachesExpect(t *testing.T) {
	h := root(newTree(t, map[string]string{"a.css": "body{}", "app.3f9c2a1b.js": "1"}))
	out := get(h, "/a.css")
	out.expect(t, "a file", 200, "body{}")
	for name, want := range map[string]string{
		"Content-Type": "text/css; charset=utf-8", "Content-Length": "6", "Etag": `"20240506070809-000000000"`, "Last-Modified": "Mon, 06 May 2024 07:08:09 GMT",
	} {
		if got := out.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := get(h, "/app.3f9c2a1b.js").header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("a name with a fingerprint: Cache-Control is %q", got)
	}
	head := ask(h, call{method: http.MethodHead, target: "/a.css"})
	head.expect(t, "HEAD", 200, "")
	if fmt.Sprint(head.header) != fmt.Sprint(out.header) {
		t.Errorf("HEAD has other fields than GET:\n%v\n%v", head.header, out.header)
	}
}

func TestCacheControlIsWhatThePolicySays(t *testing.T) {
	tree := newTree(t, map[string]string{"a.css": "1", "app.3f9c2a1b.js": "1"})
	for _, tt := range []struct {
		policy             CachePolicy
		plain, fingerprint string
	}{
		{CachePolicy{}, "no-cache", "public, max-age=31536000, immutable"},
		{CachePolicy{Set: true}, "", ""},
		{CachePolicy{Set: true, Age: time.Hour}, "max-age=3600", "max-age=3600"},
		{CachePolicy{Set: true, Age: time.Hour, Immutable: true}, "max-age=3600, immutable", "max-age=3600, immutable"},
	} {
		h := root(tree, func(o *Options) { o.Cache = tt.policy })
		if got := get(h, "/a.css").header.Get("Cache-Control"); got != tt.plain {
			t.Errorf("%+v: got %q, want %q", tt.policy, got, tt.plain)
		}
		if got := get(h, "/app.3f9c2a1b.js").header.Get("Cache-Control"); got != tt.fingerprint {
			t.Errorf("%+v: got %q for a fingerprint, want %q", tt.policy, got, tt.fingerprint)
		}
	}
	h := New(Options{Areas: []Area{{Tree: tree}}})
	if got := ask(h, call{target: "/_next/static/a.css", prefix: "/_next/static/"}).header.Get("Cache-Control"); got != forAYear[0] {
		t.Errorf("below a prefix of a framework: got %q", got)
	}
	h = New(Options{Root: true, Areas: []Area{{Below: "_app/immutable", Tree: tree}}})
	if got := get(h, "/_app/immutable/a.css").header.Get("Cache-Control"); got != forAYear[0] {
		t.Errorf("in an area of a framework: got %q", got)
	}
}

func TestConditions(t *testing.T) {
	tree := newTree(t, map[string]string{"a.txt": digits})
	h := root(tree)
	const tag, other, date = `"20240506070809-000000000"`, `"x"`, "Mon, 06 May 2024 07:08:09 GMT"
	const before, after = "Mon, 06 May 2024 07:08:08 GMT", "Mon, 06 May 2024 07:08:10 GMT"
	for _, tt := range []struct {
		header []string
		want   int
	}{
		{[]string{"If-None-Match", tag}, 304},
		{[]string{"If-None-Match", "W/" + tag}, 304},
		{[]string{"If-None-Match", other}, 200},
		{[]string{"If-None-Match", other + ", " + tag}, 304},
		{[]string{"If-None-Match", other, "If-None-Match", tag}, 304},
		{[]string{"If-None-Match", `,, "a,b" ,` + tag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", "nonsense"}, 200},
		{[]string{"If-None-Match", `"open`}, 200},
		{[]string{"If-None-Match", ""}, 200},
		{[]string{"If-Match", tag}, 200},
		{[]string{"If-Match", "W/" + tag}, 412},
		{[]string{"If-Match", other}, 412},
		{[]string{"If-Match", other + "," + tag}, 200},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Modified-Since", date}, 304},
		{[]string{"If-Modified-Since", after}, 304},
		{[]string{"If-Modified-Since", before}, 200},
		{[]string{"If-Modified-Since", "yesterday"}, 200},
		{[]string{"If-Modified-Since", date, "If-Modified-Since", date}, 200},
		{[]string{"If-Modified-Since", "Monday, 06-May-24 07:08:09 GMT"}, 304},
		{[]string{"If-Unmodified-Since", date}, 200},
		{[]string{"If-Unmodified-Since", before}, 412},
		{[]string{"If-Unmodified-Since", "yesterday"}, 200},
		// one before the other (RFC 9110, 13.2.2)
		{[]string{"If-Match", tag, "If-Unmodified-Since", before}, 200},
		{[]string{"If-None-Match", other, "If-Modified-Since", date}, 200},
		{[]string{"If-Match", other, "If-None-Match", tag}, 412},
		{[]string{"If-Match", tag, "If-None-Match", tag}, 304},
		{[]string{"If-None-Match", tag, "Range", "bytes=0-1"}, 304},
		{[]string{"If-Match", other, "Range", "bytes=99-"}, 412},
		{[]string{"Range", "bytes=0-1", "If-Range", tag}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", "W/" + tag}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", other}, 200},
		{[]string{"Range", "bytes=0-1", "If-Range", date}, 206},
		{[]string{"Range", "bytes=0-1", "If-Range", after}, 200},
		{[]string{"Range", "bytes=99-", "If-Range", other}, 200},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			want := tt.want
			if method == http.MethodHead && want == 206 {
				want = 200
			}
			out := ask(h, call{method: method, target: "/a.txt", header: tt.header})
			if out.status != want {
				t.Errorf("%s %q: got %d, want %d", method, tt.header, out.status, want)
			}
			if out.status == 304 && (out.body != "" || out.header.Get("Etag") != tag || out.header.Get("Vary") == "" || out.header.Get("Cache-Control") != "no-cache" || out.header.Get("Content-Type") != "") {
				t.Errorf("%s %q: 304 has %v and %q", method, tt.header, out.header, out.body)
			}
		}
	}
}

func TestAFileThatMayChangeUnseenHasNoStrongValidators(t *testing.T) {
	tree := newTree(t, nil)
	tree.write(t, "a.txt", digits, time.Now())
	h := root(tree)
	out := get(h, "/a.txt")
	tag := out.header.Get("Etag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Fatalf("a file written just now: Etag is %s, want a weak one", tag)
	}
	for _, tt := range []struct {
		name string
		out  outcome
		want int
	}{
		{"If-None-Match", get(h, "/a.txt", "If-None-Match", tag), 304}, {"If-Match", get(h, "/a.txt", "If-Match", tag), 412},
		{"If-Range", get(h, "/a.txt", "Range", "bytes=0-1", "If-Range", tag), 200}, {"If-Range with a date", get(h, "/a.txt", "Range", "bytes=0-1", "If-Range", out.header.Get("Last-Modified")), 200},
	} {
		if tt.out.status != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, tt.out.status, tt.want)
		}
	}
	tree.write(t, "later.txt", digits, time.Now().Add(time.Hour))
	if got := get(h, "/later.txt").header.Get("Last-Modified"); got != "" {
		t.Errorf("a file from the future: Last-Modified is %q, want none", got)
	}
	tree.write(t, "image.txt", digits, time.Unix(0, 0))
	if got := get(h, "/image.txt").header.Get("Last-Modified"); got != "" {
		t.Errorf("a file of 1970: Last-Modified is %q, want none", got)
	}
	tree.strong = true
	tree.write(t, "strong.txt", digits, time.Now())
	if got := get(root(tree), "/strong.txt").header.Get("Etag"); !strings.HasPrefix(got, `"`) {
		t.Errorf("a new file that is known by its content: Etag is %q, want a strong one", got)
	}
}

func TestRanges(t *testing.T) {
	large := strings.Repeat("abcdefghij", 20_000) // sent from an open file
	h := root(newTree(t, map[string]string{"a.bin": digits, "large.bin": large, "empty.bin": ""}))
	for _, tt := range []struct {
		value  string
		status int
		span   string // of Content-Range
		body   string
	}{
		{"bytes=0-0", 206, "0-0", "0"},
		{"bytes=2-4", 206, "2-4", "234"},
		{"bytes=5-", 206, "5-9", "56789"},
		{"bytes=0-", 206, "0-9", digits},
		{"bytes=-3", 206, "7-9", "789"},
		{"bytes=-99", 206, "0-9", digits},
		{"bytes=8-99", 206, "8-9", "89"},
		{"bytes=8-99999999999999999999999", 206, "8-9", "89"},
		{"bytes= 1 - 2 ", 206, "1-2", "12"},
		{"BYTES=1-2", 206, "1-2", "12"},
		{"bytes=99-,1-2", 206, "1-2", "12"},
		{"bytes=,1-2,", 206, "1-2", "12"},
		{"bytes=10-", 416, "", ""},
		{"bytes=99999999999999999999999-", 416, "", ""},
		{"bytes=-0", 416, "", ""},
		{"bytes=10-,11-", 416, "", ""},
		{"bytes=4-2", 416, "", ""},
		{"bytes=a-b", 416, "", ""},
		{"bytes=-", 416, "", ""},
		{"bytes=1", 416, "", ""},
		{"bytes=--1", 416, "", ""},
		{"bytes=1-2-3", 416, "", ""},
		{"bytes=", 416, "", ""},
		{"bytes=0-9,0-9", 200, "", digits},
		{"bytes=0-8,0-8", 200, "", digits},
		{"bytes=" + strings.Repeat("1-1,", 17), 200, "", digits},
		{"lines=0-1", 200, "", digits},
		{"0-1", 200, "", digits},
		{"", 200, "", digits},
	} {
		out := get(h, "/a.bin", "Range", tt.value)
		want := ""
		switch {
		case tt.status == 416:
			want = "bytes */10"
		case tt.status == 206:
			want = "bytes " + tt.span + "/10"
		}
		if out.status != tt.status || out.header.Get("Content-Range") != want || tt.status != 416 && out.body != tt.body {
			t.Errorf("%q: got %d, Content-Range %q, %q; want %d, %q, %q", tt.value, out.status, out.header.Get("Content-Range"), out.body, tt.status, want, tt.body)
		}
	}
	for range 2 { // the second time with the file that is open
		get(h, "/large.bin", "Range", "bytes=100003-100006").expect(t, "a part of a large file", 206, "defg")
	}
	get(h, "/empty.bin", "Range", "bytes=0-").expect(t, "an empty file", 200, "")
	if out := get(h, "/a.bin", "Range", "bytes=0-1", "Range", "bytes=2-3"); out.status != 200 {
		t.Errorf("two fields: got %d, want all of the file", out.status)
	}
}

func TestSeveralRangesComeInAnEnvelope(t *testing.T) {
	large := strings.Repeat("abcdefghij", 20_000)
	h := root(newTree(t, map[string]string{"a.txt": digits, "large.txt": large}))
	for _, tt := range []struct {
		target, value string
		ranges, parts []string
	}{
		{"/a.txt", "bytes=0-1,-2", []string{"bytes 0-1/10", "bytes 8-9/10"}, []string{"01", "89"}},
		{"/a.txt", "bytes=5-6, 99-, 1-2", []string{"bytes 5-6/10", "bytes 1-2/10"}, []string{"56", "12"}},
		{"/large.txt", "bytes=0-2,199999-", []string{"bytes 0-2/200000", "bytes 199999-199999/200000"}, []string{"abc", "j"}},
	} {
		out := get(h, tt.target, "Range", tt.value)
		kind, params, err := mime.ParseMediaType(out.header.Get("Content-Type"))
		if out.status != 206 || kind != "multipart/byteranges" || err != nil || out.header.Get("Content-Range") != "" {
			t.Errorf("%s: got %d, %v", tt.value, out.status, out.header)
			continue
		}
		if got, want := out.header.Get("Content-Length"), fmt.Sprint(len(out.body)); got != want {
			t.Errorf("%s: Content-Length is %s of %s", tt.value, got, want)
		}
		var ranges, parts []string
		for r := multipart.NewReader(strings.NewReader(out.body), params["boundary"]); ; {
			p, err := r.NextPart()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(p)
			ranges, parts = append(ranges, p.Header.Get("Content-Range")), append(parts, string(body))
			if got := p.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("%s: a part is of type %q", tt.value, got)
			}
		}
		if !slices.Equal(ranges, tt.ranges) || !slices.Equal(parts, tt.parts) {
			t.Errorf("%s: got %q %q, want %q %q", tt.value, ranges, parts, tt.ranges, tt.parts)
		}
	}
}

func TestMethods(t *testing.T) {
	tree := newTree(t, map[string]string{"a.txt": digits})
	h := root(tree)
	if out := ask(h, call{method: "OPTIONS", target: "/a.txt"}); out.status != 204 || out.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: got %d, Allow %q", out.status, out.header.Get("Allow"))
	}
	if out := ask(h, call{method: "POST", target: "/a.txt"}); out.status != 405 || out.header.Get("Allow") != "GET, HEAD, OPTIONS" || out.x.Code != "no-method" {
		t.Errorf("POST: got %d, Allow %q, code %q", out.status, out.header.Get("Allow"), out.x.Code)
	}
	ask(root(tree, withApp), call{method: "POST", target: "/a.txt"}).expect(t, "POST with an app", 200, "app: POST /a.txt")
}

func TestAFileThatEndsBeforeItsLengthEndsTheConnection(t *testing.T) {
	tree := newTree(t, map[string]string{"large.bin": strings.Repeat("x", 1<<20)})
	tree.strong = true // so that nobody looks again
	h := root(tree)
	get(h, "/large.bin")
	if err := os.Truncate(tree.dir+"/large.bin", 1000); err != nil {
		t.Fatal(err)
	}
	if out := get(h, "/large.bin"); !out.aborted || out.x.Code != "answer-cut" {
		t.Errorf("got %d with %d bytes, aborted %v, code %q", out.status, len(out.body), out.aborted, out.x.Code)
	}
}

func TestAFileThatChangesWhileItIsOpenedIsAnsweredAsItIsThen(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		tree := newTree(t, map[string]string{"a.bin": strings.Repeat("a", size)})
		want := strings.Repeat("b", size+1)
		tree.onOpen = func(name string) {
			tree.onOpen = nil
			tree.write(t, name, want, old.Add(time.Second))
		}
		out := get(root(tree), "/a.bin")
		out.expect(t, "a file that changed", 200, want)
		if got := out.header.Get("Last-Modified"); got != "Mon, 06 May 2024 07:08:10 GMT" {
			t.Errorf("Last-Modified is of the former version: %s", got)
		}
		changes := 0
		tree.onOpen = func(name string) {
			changes++
			tree.write(t, name, want+strings.Repeat("c", changes), old.Add(time.Duration(changes)*time.Minute))
		}
		if out := get(root(tree), "/a.bin"); out.status != 503 || out.x.Code != "files-unavailable" || changes != mostTries {
			t.Errorf("a file that never stays: got %d with code %q after %d tries", out.status, out.x.Code, changes)
		}
		tree.onOpen = func(name string) { os.Remove(tree.dir + "/" + name) }
		get(root(tree), "/a.bin").expectCode(t, "a file that goes", 404, "no-file")
	}
}

func (o outcome) expectCode(t testing.TB, what string, status int, code string) {
	t.Helper()
	if o.status != status || o.x.Code != code {
		t.Errorf("%s: got %d with code %q, want %d with %q", what, o.status, o.x.Code, status, code)
	}
}

func TestEncodings(t *testing.T) {
	text := strings.Repeat("text ", 200)
	tree := newTree(t, map[string]string{
		"a.css": text, "a.css.br": "as br", "a.css.gz": "as gzip", "a.css.zst": "as zstd",
		"gz.css": text, "gz.css.gz": "as gzip",
		"plain.css": text,
		"photo.jpg": text, "photo.jpg.gz": "as gzip",
		"larger.css": "x", "larger.css.gz": "as gzip",
		"dir.css": text, "dir.css.gz/x": "",
		"stale.css": text,
	})
	tree.write(t, "stale.css.gz", "as gzip", old.Add(-time.Minute))
	tree.encoded = func(f assets.File, coding string) (assets.File, bool) {
		if f.Name == "plain.css" && coding == "br" {
			return assets.File{Name: "a.css.br", Size: 5, Modified: old, Version: "v"}, true
		}
		return assets.File{}, false
	}
	h := root(tree)
	for _, tt := range []struct{ target, accept, want, vary string }{
		{"/a.css", "gzip, deflate, br, zstd", "zstd", "Accept-Encoding"},
		{"/a.css", "gzip, deflate, br", "br", "Accept-Encoding"},
		{"/a.css", "gzip", "gzip", "Accept-Encoding"},
		{"/a.css", "x-gzip", "gzip", "Accept-Encoding"},
		{"/a.css", "GZIP ; Q=1.0", "gzip", "Accept-Encoding"},
		{"/a.css", "deflate", "", "Accept-Encoding"},
		{"/a.css", "identity", "", "Accept-Encoding"},
		{"/a.css", "", "", "Accept-Encoding"},
		{"/a.css", "br;q=0.5, gzip;q=0.8", "gzip", "Accept-Encoding"},
		{"/a.css", "br;q=0, gzip;q=0.1", "gzip", "Accept-Encoding"},
		{"/a.css", "br;q=0.1, identity;q=0.2", "", "Accept-Encoding"},
		{"/a.css", "br;q=0.2, identity;q=0.2", "br", "Accept-Encoding"},
		{"/a.css", "*", "zstd", "Accept-Encoding"},
		{"/a.css", "*;q=0", "", "Accept-Encoding"},
		{"/a.css", "zstd;q=0, *", "br", "Accept-Encoding"},
		{"/a.css", "identity;q=0, *;q=0.1", "zstd", "Accept-Encoding"},
		{"/a.css", "br;q=2, gzip;q=x, zstd;q=0.0001", "br", "Accept-Encoding"},
		{"/gz.css", "br, gzip", "gzip", "Accept-Encoding"},
		{"/gz.css", "br", "", "Accept-Encoding"},
		{"/gz.css", "identity;q=0", "", "Accept-Encoding"},
		{"/plain.css", "br", "br", "Accept-Encoding"},
		{"/plain.css", "gzip", "", "Accept-Encoding"},
		{"/photo.jpg", "gzip", "", ""},
		{"/larger.css", "gzip", "", "Accept-Encoding"},
		{"/dir.css", "gzip", "", "Accept-Encoding"},
		{"/stale.css", "gzip", "", "Accept-Encoding"},
	} {
		out := get(h, tt.target, "Accept-Encoding", tt.accept)
		if got := out.header.Get("Content-Encoding"); out.status != 200 || got != tt.want || out.header.Get("Vary") != tt.vary {
			t.Errorf("%s with %q: got %d, %q, Vary %q; want %q, %q", tt.target, tt.accept, out.status, got, out.header.Get("Vary"), tt.want, tt.vary)
		}
		if tt.want != "" && (out.body != "as "+tt.want || !strings.HasSuffix(out.header.Get("Etag"), "-"+tt.want+`"`) || !strings.HasPrefix(out.header.Get("Content-Type"), "text/css")) {
			t.Errorf("%s with %q: got %q, %v", tt.target, tt.accept, out.body, out.header)
		}
	}
	br := get(h, "/a.css", "Accept-Encoding", "br").header.Get("Etag")
	for _, tt := range []struct {
		what string
		out  outcome
		want int
	}{
		{"the tag of the variant", get(h, "/a.css", "Accept-Encoding", "br", "If-None-Match", br), 304},
		{"the tag of another variant", get(h, "/a.css", "Accept-Encoding", "gzip", "If-None-Match", br), 200},
		{"a range", get(h, "/a.css", "Accept-Encoding", "br", "Range", "bytes=3-4"), 206},
	} {
		if tt.out.status != tt.want || tt.out.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: got %d, Vary %q; want %d", tt.what, tt.out.status, tt.out.header.Get("Vary"), tt.want)
		}
	}
	// A range is one of what is sent, not of what it was made of (RFC 9110, 14).
	out := get(h, "/a.css", "Accept-Encoding", "br", "Range", "bytes=3-4")
	if out.body != "br" || out.header.Get("Content-Range") != "bytes 3-4/5" || out.header.Get("Content-Encoding") != "br" {
		t.Errorf("a range of a variant: got %q, %v", out.body, out.header)
	}
}

func TestVaryOfAMiddlewareStays(t *testing.T) {
	h := root(newTree(t, map[string]string{"a.css": "x"}))
	theirs := []string{"Origin", "for another answer"}
	for range 2 {
		out := ask(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Vary"] = theirs[:1]
			h.ServeHTTP(w, r)
		}), call{target: "/a.css"})
		if got := out.header["Vary"]; !slices.Equal(got, []string{"Origin", "Accept-Encoding"}) || theirs[1] != "for another answer" {
			t.Errorf("got %q; theirs are %q", got, theirs)
		}
	}
}

// What a middleware does to the fields of one answer must not be in the next.
func TestFieldsOfAnAnswerAreItsOwn(t *testing.T) {
	h := root(newTree(t, map[string]string{"a.css": "x"}))
	for range 2 {
		out := ask(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			for name := range w.Header() {
				w.Header().Add(name, "more")
			}
		}), call{target: "/a.css"})
		for name, values := range out.header {
			if len(values) != 1 {
				t.Errorf("%s is %q", name, values)
			}
		}
	}
}

func TestAnAnswerThatIsCutSaysWhoseFaultItWas(t *testing.T) {
	tree := newTree(t, map[string]string{"large.bin": strings.Repeat("x", small+1), "a.txt": digits})
	tree.strong = true
	tree.settled.Store(true)
	h := root(tree)
	head := ask(h, call{method: http.MethodHead, target: "/large.bin"})
	head.expect(t, "HEAD", 200, "")
	if err := errors.Join(os.Remove(tree.dir+"/large.bin"), os.Mkdir(tree.dir+"/large.bin", 0o755)); err != nil {
		t.Fatal(err)
	}
	if out := get(h, "/large.bin"); !out.aborted || out.x.Code != "answer-cut" {
		t.Errorf("a file that cannot be read: aborted %v, code %q", out.aborted, out.x.Code)
	}
	gone := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(deaf{w}, r) })
	if out := get(gone, "/a.txt"); !out.aborted || out.x.Code != "client-gone" {
		t.Errorf("a client that left: aborted %v, code %q", out.aborted, out.x.Code)
	}
}

// deaf is a client that takes nothing.
type deaf struct{ http.ResponseWriter }

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
