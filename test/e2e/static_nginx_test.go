package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/servertest"
	"github.com/fairlead/fairlead/routing/files"
)

// nginxConfig serves a directory as files does: dates by RFC 9110 and not exactly
// (the default), redirects as paths, the charset of text said.
const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr crit;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	types { text/html html; text/css css; text/plain txt; image/png png; application/json json; image/svg+xml svg; application/gzip gz; }
	default_type application/octet-stream;
	charset utf-8;
	charset_types text/css text/plain;
	if_modified_since before;
	absolute_redirect off;
	gzip_static on;
	server {
		listen %[2]s;
		root %[1]s/site;
		index index.html;
	}
}
`

// startNginx serves dir/site by a real nginx until the test ends, and returns its
// address.
func startNginx(t *testing.T, dir string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("nginx", "-p", dir, "-c", config, "-e", "stderr")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: scripts/need.sh nginx installs it", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", log.String())
		}
	})
	eventually(t, 10*time.Second, "nginx listens", func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	return addr
}

// siteTree is a directory as it is, for what is compared here.
type siteTree struct{ dir string }

func (t siteTree) Stat(name string) (assets.File, error) {
	info, err := os.Stat(filepath.Join(t.dir, name))
	if err != nil {
		return assets.File{}, err
	}
	return assets.File{Name: name, Dir: info.IsDir(), Size: info.Size(), Modified: info.ModTime(), Version: fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())}, nil
}

func (t siteTree) Open(f assets.File) (*os.File, error)            { return os.Open(filepath.Join(t.dir, f.Name)) }
func (t siteTree) List(string) ([]assets.File, error)              { return nil, fs.ErrNotExist }
func (t siteTree) Encoded(assets.File, string) (assets.File, bool) { return assets.File{}, false }
func (t siteTree) Version() uint64                                 { return 0 }
func (t siteTree) Settled() bool                                   { return false }

// A staticCall is a request for a file. {tag} and {date} in fields stand for the
// validators that the server in question gave /a.txt.
type staticCall struct {
	target string
	fields []string // "Name: value"
	method string   // "" for GET
	// ours is the status where we differ on purpose, and why that is.
	ours int
	why  string
}

var staticCalls = []staticCall{
	// types, names, directories
	{target: "/a.txt"}, {target: "/a.txt", method: "HEAD"}, {target: "/empty.txt"}, {target: "/page.html"}, {target: "/logo.png"}, {target: "/data.json"}, {target: "/logo.svg"}, {target: "/unknown.xyz"}, {target: "/noextension"},
	{target: "/large.bin"}, {target: "/"}, {target: "/?q"}, {target: "/dir/"}, {target: "/dir"}, {target: "/dir?a=1&b"}, {target: "//dir"}, {target: "/dir//"}, {target: "/dir/index.html"}, {target: "/d%69r/"},
	{target: "/a%20b.txt"}, {target: "/%C3%A4.txt"}, {target: "/a.txt/"}, {target: "/missing"}, {target: "/missing/"}, {target: "//a.txt"}, {target: "/dir/../missing"}, {target: "/a.txt?v=1"},
	{target: "/%zz"}, {target: "/100%"}, {target: "/a.txt", method: "POST"},
	{target: "/bare/", ours: 404, why: "that there is a directory is nothing to tell"},
	{target: "/bare", ours: 404, why: "and nowhere to send anybody"},
	{target: "/.hidden", ours: 404, why: "hidden files are not served"},
	{target: "/dir/.hidden", ours: 404, why: "hidden files are not served"},
	{target: "/run.php", ours: 404, why: "the text of programs is not served"},
	{target: "/dir%2findex.html", ours: 404, why: "an encoded slash is no separator (RFC 3986, 2.2)"},
	{target: "/dir/../a.txt", ours: 404, why: "the router refuses dot segments before, and no file has such a name"},
	{target: "/a%00.txt", ours: 404, why: "it decodes to a name that no file has; nginx takes it for malformed"},
	{target: "/..", ours: 404, why: "it decodes to a name that no file has; nginx takes it for malformed"},
	{target: "/%2e%2e/%2e%2e/etc/passwd", ours: 404, why: "it decodes to a name that no file has; nginx takes it for malformed"},

	// conditions
	{target: "/a.txt", fields: []string{"If-None-Match: {tag}"}}, {target: "/a.txt", fields: []string{"If-None-Match: W/{tag}"}}, {target: "/a.txt", fields: []string{`If-None-Match: "x"`}}, {target: "/a.txt", fields: []string{`If-None-Match: "x", {tag}`}},
	{target: "/a.txt", fields: []string{"If-None-Match: *"}}, {target: "/a.txt", fields: []string{"If-None-Match: nonsense"}}, {target: "/a.txt", fields: []string{"If-None-Match: {tag}"}, method: "HEAD"},
	{target: "/a.txt", fields: []string{"If-Match: {tag}"}}, {target: "/a.txt", fields: []string{`If-Match: "x"`}}, {target: "/a.txt", fields: []string{"If-Match: *"}}, {target: "/a.txt", fields: []string{`If-Match: "x", {tag}`}}, {target: "/a.txt", fields: []string{"If-Match: W/{tag}"}},
	{target: "/a.txt", fields: []string{"If-Modified-Since: {date}"}}, {target: "/a.txt", fields: []string{"If-Modified-Since: Mon, 06 May 2024 07:08:08 GMT"}}, {target: "/a.txt", fields: []string{"If-Modified-Since: Mon, 06 May 2024 07:08:10 GMT"}}, {target: "/a.txt", fields: []string{"If-Modified-Since: yesterday"}},
	{target: "/a.txt", fields: []string{"If-Unmodified-Since: {date}"}}, {target: "/a.txt", fields: []string{"If-Unmodified-Since: Mon, 06 May 2024 07:08:08 GMT"}}, {target: "/a.txt", fields: []string{"If-Unmodified-Since: Mon, 06 May 2024 07:08:10 GMT"}},
	{target: "/a.txt", fields: []string{`If-Match: "x"`, "If-None-Match: {tag}"}}, {target: "/a.txt", fields: []string{"If-Match: {tag}", "If-None-Match: {tag}"}}, {target: "/missing", fields: []string{"If-None-Match: *"}}, {target: "/missing", fields: []string{"If-Match: *"}},
	{target: "/a.txt", fields: []string{`If-None-Match: "x"`, "If-Modified-Since: {date}"}},
	{target: "/a.txt", fields: []string{"If-Match: {tag}", "If-Unmodified-Since: Mon, 06 May 2024 07:08:08 GMT"}, ours: 200, why: "If-Unmodified-Since does not count beside If-Match (RFC 9110, 13.2.2)"},
	{target: "/a.txt", fields: []string{"If-Unmodified-Since: yesterday"}, ours: 200, why: "what is no date does not count (RFC 9110, 13.1.4)"},

	// ranges
	{target: "/a.txt", fields: []string{"Range: bytes=0-0"}}, {target: "/a.txt", fields: []string{"Range: bytes=2-4"}}, {target: "/a.txt", fields: []string{"Range: bytes=5-"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-"}}, {target: "/a.txt", fields: []string{"Range: bytes=-3"}},
	{target: "/a.txt", fields: []string{"Range: bytes=-99"}}, {target: "/a.txt", fields: []string{"Range: bytes=8-99"}}, {target: "/a.txt", fields: []string{"Range: bytes=9-9"}}, {target: "/a.txt", fields: []string{"Range: bytes=10-"}}, {target: "/a.txt", fields: []string{"Range: bytes=99-100"}},
	{target: "/a.txt", fields: []string{"Range: bytes=-0"}}, {target: "/a.txt", fields: []string{"Range: bytes=4-2"}}, {target: "/a.txt", fields: []string{"Range: bytes=a-b"}}, {target: "/a.txt", fields: []string{"Range: bytes=-"}}, {target: "/a.txt", fields: []string{"Range: bytes=1"}},
	{target: "/a.txt", fields: []string{"Range: lines=0-1"}}, {target: "/a.txt", fields: []string{"Range: BYTES=1-2"}}, {target: "/a.txt", fields: []string{"Range: bytes=99-,1-2"}}, {target: "/a.txt", fields: []string{"Range: bytes=99-,100-"}},
	{target: "/a.txt", fields: []string{"Range: bytes=0-1,-2"}}, {target: "/a.txt", fields: []string{"Range: bytes=5-6, 1-2"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-1,1-2,4-5"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-9,0-9"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-5,5-9"}},
	{target: "/large.bin", fields: []string{"Range: bytes=100000-100009"}}, {target: "/large.bin", fields: []string{"Range: bytes=0-9,150000-150009,-10"}}, {target: "/empty.txt", fields: []string{"Range: bytes=0-"}},
	{target: "/missing", fields: []string{"Range: bytes=0-1"}}, {target: "/dir/", fields: []string{"Range: bytes=0-1"}},
	{target: "/a.txt", fields: []string{"Range: bytes=0-1", "If-Range: {tag}"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-1", `If-Range: "x"`}}, {target: "/a.txt", fields: []string{"Range: bytes=0-1", "If-Range: {date}"}}, {target: "/a.txt", fields: []string{"Range: bytes=0-1", "If-Range: W/{tag}"}},
	{target: "/a.txt", fields: []string{"Range: bytes=0-1", "If-Range: Mon, 06 May 2024 07:08:10 GMT"}}, {target: "/a.txt", fields: []string{"Range: bytes=99-", `If-Range: "x"`}}, {target: "/a.txt", fields: []string{"Range: bytes=0-1", "If-None-Match: {tag}"}}, {target: "/a.txt", fields: []string{"Range: bytes=99-", `If-Match: "x"`}},
	{target: "/a.txt", fields: []string{"Range: bytes=0-1"}, method: "HEAD", ours: 200, why: "HEAD knows no ranges (RFC 9110, 14.2)"},
	{target: "/a.txt", fields: []string{"Range: bytes="}, ours: 416, why: "no range at all is as malformed as one without digits; nginx does not read so short a field"},
	{target: "/a.txt", fields: []string{"Range: bytes=,1-2"}, ours: 206, why: "empty members of a list do not count (RFC 9110, 5.6.1.2)"},
	{target: "/a.txt", fields: []string{"Range: bytes=8-99999999999999999999999"}, ours: 206, why: "a part that begins in the file is there, however far it would go"},
	{target: "/large.bin", fields: []string{"Range: bytes=" + strings.Repeat("1-1,", 17) + "1-1"}, ours: 200, why: "so many parts are not what anybody needs (RFC 9110, 14.2)"},

	// compressed beforehand
	{target: "/zip.css", fields: []string{"Accept-Encoding: gzip"}}, {target: "/zip.css", fields: []string{"Accept-Encoding: identity"}}, {target: "/zip.css"}, {target: "/zip.css", fields: []string{"Accept-Encoding: gzip;q=0"}}, {target: "/zip.css", fields: []string{"Accept-Encoding: deflate, gzip;q=0.5"}},
	{target: "/zip.css", fields: []string{"Accept-Encoding: gzip", "Range: bytes=0-3"}, ours: 206, why: "a range is one of what would be sent (RFC 9110, 14.1.1); browsers that want parts ask for identity"},
	{target: "/a.txt", fields: []string{"Accept-Encoding: gzip"}}, {target: "/zip.css.gz"},
}

func TestFilesAreAnsweredAsNginxAnswersThem(t *testing.T) {
	dir := t.TempDir()
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, text := range map[string]string{
		"a.txt": "0123456789", "empty.txt": "", "page.html": "<p>page", "logo.png": "png", "data.json": "{}", "logo.svg": "<svg/>", "unknown.xyz": "?", "noextension": "none", "large.bin": strings.Repeat("abcdefghij", 20_000),
		"index.html": "home", "dir/index.html": "the index of dir", "bare/x.txt": "x", "a b.txt": "blank", "ä.txt": "umlaut", ".hidden": "secret", "dir/.hidden": "secret", "run.php": "secret",
		"zip.css": strings.Repeat("body{}", 100), "zip.css.gz": "not really gzip",
	} {
		path := filepath.Join(dir, "site", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	nginx := startNginx(t, dir)
	h := files.New(files.Options{Root: true, Areas: []files.Area{{Tree: siteTree{filepath.Join(dir, "site")}}}, Fallback: "404", Index: "index.html"})
	ours := servertest.Start(t, &exchange.Arrival{Next: h}).Addr
	for _, c := range staticCalls {
		got, want := c.ask(t, ours), c.ask(t, nginx)
		switch {
		case c.why == "" && got != want:
			t.Errorf("%s %s %q:\n got %s\nnginx %s", c.method, c.target, c.fields, got, want)
		case c.why != "" && got.status != c.ours:
			t.Errorf("%s %s %q: got %d, want %d: %s", c.method, c.target, c.fields, got.status, c.ours, c.why)
		case c.why != "" && want.status == c.ours:
			t.Errorf("%s %s %q: nginx answers %d too; take the exception away", c.method, c.target, c.fields, want.status)
		}
	}
}

// A staticAnswer is what is compared of an answer. Pages of errors are each
// server's own.
type staticAnswer struct {
	status                                  int
	kind, span, length, coding, to, content string
}

func (a staticAnswer) String() string {
	return fmt.Sprintf("%d type %q range %q length %s coding %q location %q: %.80q", a.status, a.kind, a.span, a.length, a.coding, a.to, a.content)
}

// ask sends c to addr as it is.
func (c *staticCall) ask(t *testing.T, addr string) (a staticAnswer) {
	t.Helper()
	request := c.target
	for _, f := range c.fields {
		if strings.Contains(f, "{") {
			resp, _ := sendRaw(t, addr, "GET", "/a.txt", nil)
			f = strings.NewReplacer("{tag}", resp.Header.Get("Etag"), "{date}", resp.Header.Get("Last-Modified")).Replace(f)
		}
		request += "\n" + f
	}
	lines := strings.Split(request, "\n")
	method := c.method
	if method == "" {
		method = "GET"
	}
	resp, body := sendRaw(t, addr, method, lines[0], lines[1:])
	h := resp.Header
	a = staticAnswer{status: resp.StatusCode, span: h.Get("Content-Range"), coding: h.Get("Content-Encoding"), to: h.Get("Location")}
	switch {
	case resp.StatusCode == 301 || resp.StatusCode == 308:
		a.status = 308 // which keeps the method, unlike nginx's 301
	case resp.StatusCode == 200 || resp.StatusCode == 206:
		a.kind, a.length, a.content = h.Get("Content-Type"), h.Get("Content-Length"), string(body)
		if kind, params, _ := mime.ParseMediaType(a.kind); kind == "multipart/byteranges" {
			a.kind, a.length, a.content = kind, "", partsOf(t, body, params["boundary"])
		}
	}
	return a
}

// sendRaw asks by a connection of its own.
func sendRaw(t *testing.T, addr, method, target string, fields []string) (*http.Response, []byte) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	head := method + " " + target + " HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	if method == "POST" {
		head += "Content-Length: 0\r\n"
	}
	io.WriteString(c, head+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s of %s: %v", method, target, addr, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s of %s: %v", method, target, addr, err)
	}
	return resp, body
}

// partsOf returns the parts of a multipart body with their fields.
func partsOf(t *testing.T, body []byte, boundary string) string {
	t.Helper()
	var b strings.Builder
	for r := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return b.String()
		} else if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		text, _ := io.ReadAll(p)
		fmt.Fprintf(&b, "[%s %s %s]", p.Header.Get("Content-Type"), p.Header.Get("Content-Range"), text)
	}
}
