package exchange

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// arrived is what the handler behind an Arrival saw.
type arrived struct {
	*Exchange
	req *http.Request
	res *http.Response
}

func (a *Arrival) serve(t testing.TB, r *http.Request) arrived {
	t.Helper()
	var got arrived
	a.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got.Exchange, got.req = Of(r), r })
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	got.res = w.Result()
	return got
}

// get is a request as an engine hands it over.
func get(t testing.TB, target, host, peer string, lines ...string) *http.Request {
	t.Helper()
	raw := "GET " + target + " HTTP/1.1\r\nHost: placeholder\r\n" + strings.Join(lines, "\r\n")
	if len(lines) > 0 {
		raw += "\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n")))
	if err != nil {
		t.Fatalf("read %q: %v", raw, err)
	}
	r.Host, r.RemoteAddr = host, peer
	return r
}

const (
	stranger = "203.0.113.9:4711"
	lb       = "10.0.0.1:4711"
)

var trustLB = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}

func TestArrivalOfADirectClient(t *testing.T) {
	a := &Arrival{Trusted: trustLB, Entry: "https", HTTPS: true}
	got := a.serve(t, get(t, "/a?b", "Shop.Example.:8443", stranger))
	x := got.Exchange
	if x.Host != "shop.example" || x.Port != "8443" || x.Scheme != "https" || x.Entry != "https" {
		t.Errorf("host %q port %q scheme %q entry %q", x.Host, x.Port, x.Scheme, x.Entry)
	}
	if x.Peer.String() != "203.0.113.9" || x.Client != x.Peer || x.PeerTrusted || x.ClientHidden {
		t.Errorf("peer %v client %v trusted %v hidden %v", x.Peer, x.Client, x.PeerTrusted, x.ClientHidden)
	}
	if got.req.Host != "shop.example:8443" || got.req.RequestURI != "/a?b" {
		t.Errorf("host %q target %q", got.req.Host, got.req.RequestURI)
	}
	want := map[string]string{
		"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example:8443",
		"X-Forwarded-Port": "8443", "X-Real-Ip": "203.0.113.9", "X-Request-Id": x.ID,
	}
	for name, value := range want {
		if g := got.req.Header[name]; len(g) != 1 || g[0] != value {
			t.Errorf("%s = %q, want %q", name, g, value)
		}
	}
	if len(got.req.Header) != len(want) {
		t.Errorf("header %v", got.req.Header)
	}
}

func TestArrivalFromATrustedPeer(t *testing.T) {
	a := &Arrival{Trusted: trustLB}
	got := a.serve(t, get(t, "/", "inner:8080", lb,
		"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 198.51.100.7, 10.0.0.5", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: Shop.example", "X-Request-ID: abc-1", "X-Forwarded-Prefix: /shop", "Remote-User: ada",
		"CF-Connecting-IP: 198.51.100.7", "X-Real-IP: 6.6.6.6"))
	x := got.Exchange
	if !x.PeerTrusted || x.Client.String() != "198.51.100.7" || x.Scheme != "https" || x.Port != "443" || x.Host != "inner" || x.ID != "abc-1" {
		t.Errorf("trusted %v client %v scheme %q port %q host %q id %q", x.PeerTrusted, x.Client, x.Scheme, x.Port, x.Host, x.ID)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "1.1.1.1, 198.51.100.7, 10.0.0.5, 10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example",
		"X-Forwarded-Port": "443", "X-Real-Ip": "198.51.100.7", "X-Request-Id": "abc-1",
		"X-Forwarded-Prefix": "/shop", "Remote-User": "ada", "Cf-Connecting-Ip": "198.51.100.7",
	} {
		if g := got.req.Header[name]; len(g) != 1 || g[0] != want {
			t.Errorf("%s = %q, want %q", name, g, want)
		}
	}
}

func TestPortAndSchemeOfTrustedPeers(t *testing.T) {
	tests := []struct {
		name         string
		host         string
		lines        []string
		scheme, port string
		forwarded    string
	}{
		{"nothing said", "a.ex", nil, "http", "80", "a.ex"},
		{"port in host", "a.ex:81", nil, "http", "81", "a.ex:81"},
		{"proto", "a.ex", []string{"X-Forwarded-Proto: HTTPS"}, "https", "443", "a.ex"},
		{"proto list", "a.ex", []string{"X-Forwarded-Proto: https, http"}, "https", "443", "a.ex"},
		{"websocket proto", "a.ex", []string{"X-Forwarded-Proto: wss"}, "https", "443", "a.ex"},
		{"proto keeps the host's port", "a.ex:8443", []string{"X-Forwarded-Proto: https"}, "https", "8443", "a.ex:8443"},
		{"host with port", "in:1", []string{"X-Forwarded-Host: a.ex:8443"}, "http", "8443", "a.ex:8443"},
		{"port", "a.ex", []string{"X-Forwarded-Port: 8443", "X-Forwarded-Proto: https"}, "https", "8443", "a.ex"},
		{"bad proto", "a.ex", []string{"X-Forwarded-Proto: javascript"}, "http", "80", "a.ex"},
		{"bad port", "a.ex", []string{"X-Forwarded-Port: 80x"}, "http", "80", "a.ex"},
		{"bad host", "a.ex", []string{"X-Forwarded-Host: b@c"}, "http", "80", "a.ex"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", tt.host, lb, tt.lines...))
			if got.Scheme != tt.scheme || got.Port != tt.port {
				t.Errorf("scheme %q port %q, want %q %q", got.Scheme, got.Port, tt.scheme, tt.port)
			}
			for name, want := range map[string]string{"X-Forwarded-Proto": tt.scheme, "X-Forwarded-Port": tt.port, "X-Forwarded-Host": tt.forwarded} {
				if g := got.req.Header.Get(name); g != want {
					t.Errorf("%s = %q, want %q", name, g, want)
				}
			}
		})
	}
}

func TestPeers(t *testing.T) {
	tests := []struct {
		name, remote, peer string
		trusted            bool
	}{
		{"v4", "203.0.113.9:1", "203.0.113.9", false},
		{"v4 in v6", "[::ffff:10.0.0.1]:1", "10.0.0.1", true},
		{"v6", "[2001:db8::1]:1", "2001:db8::1", false},
		{"v6 with zone", "[fe80::1%eth0]:1", "fe80::1", true},
		{"unix socket", "@", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", tt.remote))
			if got.PeerTrusted != tt.trusted || got.req.Header.Get("X-Forwarded-For") != tt.peer || got.req.Header.Get("X-Real-Ip") != tt.peer {
				t.Errorf("trusted %v, header %v, want %v, %q", got.PeerTrusted, got.req.Header, tt.trusted, tt.peer)
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	tests := []struct {
		name, peer, sent string
		kept             bool
	}{
		{"trusted", lb, "0af7651916cd43dd8448eb211c80319c", true},
		{"trusted, all signs", lb, "Root=1-67891233:abc/d_e.f+g~h@i", true},
		{"untrusted", stranger, "0af7651916cd43dd8448eb211c80319c", false},
		{"too long", lb, strings.Repeat("a", 129), false},
		{"quote", lb, `a"b`, false},
		{"markup", lb, "<b>", false},
		{"blank", lb, "a b", false},
		{"not ascii", lb, "ä", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", tt.peer, "X-Request-ID: "+tt.sent))
			if kept := got.ID == tt.sent; kept != tt.kept {
				t.Errorf("id %q, sent %q, kept %v, want %v", got.ID, tt.sent, kept, tt.kept)
			}
			if g := got.req.Header["X-Request-Id"]; len(g) != 1 || g[0] != got.ID || len(got.ID) < 22 && !tt.kept {
				t.Errorf("X-Request-Id %q, id %q", g, got.ID)
			}
		})
	}
}

func TestFreshIDsDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 10_000 {
		id := newID()
		if seen[id] || len(id) != 26 || !validID(id) {
			t.Fatalf("id %q: seen %v", id, seen[id])
		}
		seen[id] = true
	}
}

// THREATS 7: a fragment or a control byte in the target.
func TestBadTargetsAreRefused(t *testing.T) {
	for _, target := range []string{"/a#/admin", "/#", "/a b", "/a\x01", "/a\x7f", "/\t", "/a?b#c", "/\r\nX: y", "a", "", "*", "?a", "//", "ftp://a.ex/", "http:/a", "http://", "http:///x", "http://#", "mailto:a@b", "a.ex:443"} {
		r := get(t, "/", "a.ex", stranger)
		r.RequestURI = target
		got := (&Arrival{}).serve(t, r)
		if target == "//" { // a path like any other
			if got.req == nil {
				t.Errorf("target %q was refused", target)
			}
			continue
		}
		if got.req != nil || got.res.StatusCode != 400 || got.res.Header.Get("Connection") != "close" {
			t.Errorf("target %q: passed %v, status %d, Connection %q, want 400 and close", target, got.req != nil, got.res.StatusCode, got.res.Header.Get("Connection"))
		}
	}
}

// THREATS 20: what is no danger is not touched.
func TestTargetsPassAsTheyCame(t *testing.T) {
	for _, target := range []string{"/", "/a?a=1;b=2&%zz", "/%2e%2e/", "/ä", "//x//y", "/a;b=c/../d", "/?", "/%00"} {
		r := get(t, "/", "a.ex", stranger)
		r.RequestURI = target
		if got := (&Arrival{}).serve(t, r); got.req == nil || got.req.RequestURI != target {
			t.Errorf("target %q did not pass as it came", target)
		}
	}
}

// THREATS 9: CONNECT is answered before anything is dialled.
func TestConnectIsRefused(t *testing.T) {
	for _, target := range []string{"a.ex:443", "/", "*", "http://a.ex/"} {
		r := get(t, "/", "a.ex:443", stranger)
		r.Method, r.RequestURI = http.MethodConnect, target
		got := (&Arrival{}).serve(t, r)
		if got.req != nil || got.res.StatusCode != 405 || got.res.Header.Get("Allow") == "" || got.res.Header.Get("Connection") != "close" {
			t.Errorf("CONNECT %s: passed %v, status %d, header %v", target, got.req != nil, got.res.StatusCode, got.res.Header)
		}
	}
}

func TestOptionsOfTheServer(t *testing.T) {
	for _, target := range []string{"*", "http://a.ex"} {
		r := get(t, "/", "a.ex", stranger)
		r.Method, r.RequestURI = http.MethodOptions, target
		var told *http.Request
		a := &Arrival{Answered: func(r *http.Request) { told = r }}
		got := a.serve(t, r)
		if got.req != nil || got.res.StatusCode != 204 || got.res.Header.Get("Allow") == "" {
			t.Errorf("OPTIONS %s: passed %v, status %d, header %v", target, got.req != nil, got.res.StatusCode, got.res.Header)
		}
		if told == nil || Of(told).Response.Status != 204 {
			t.Errorf("OPTIONS %s: Answered was not told", target)
		}
	}
}

// THREATS 22: a host with two readings.
func TestBadHostsAreRefused(t *testing.T) {
	for _, host := range []string{"", "a,b", "a@b", "[::1", "a:abc", "a b", "a%2e", "a/b", "*.ex", "a..b"} {
		var told *http.Request
		a := &Arrival{Answered: func(r *http.Request) { told = r }}
		got := a.serve(t, get(t, "/", host, stranger))
		if got.req != nil || got.res.StatusCode != 400 || got.res.Header.Get("Connection") != "close" {
			t.Errorf("host %q: passed %v, status %d, header %v", host, got.req != nil, got.res.StatusCode, got.res.Header)
		}
		if told == nil || Of(told).Code != "bad-host" || Of(told).ID == "" || !Of(told).Client.IsValid() {
			t.Errorf("host %q: Answered was told %v", host, told)
		}
	}
	r := get(t, "/", "a.ex", stranger)
	r.Header["Host"] = []string{"a.ex", "b.ex"} // an engine that leaves it in
	if got := (&Arrival{}).serve(t, r); got.req != nil || got.res.StatusCode != 400 {
		t.Errorf("two hosts: passed %v, status %d", got.req != nil, got.res.StatusCode)
	}
}

func TestOldClientsNeedNoHost(t *testing.T) {
	r := get(t, "/", "", stranger)
	r.ProtoMinor = 0
	got := (&Arrival{}).serve(t, r)
	if got.req == nil || got.Host != "" || got.req.Header["X-Forwarded-Host"] != nil {
		t.Errorf("HTTP/1.0 without Host: status %d, %+v", got.res.StatusCode, got.req)
	}
}

// THREATS 22: the authority of an absolute-form target wins everywhere.
func TestAbsoluteTargetOverridesHost(t *testing.T) {
	tests := []struct{ target, host, xhost, uri string }{
		{"http://b.ex/x?y", "b.ex", "b.ex", "/x?y"},
		{"HTTP://B.ex:8080/x", "b.ex:8080", "b.ex", "/x"},
		{"https://b.ex", "b.ex", "b.ex", "/"},
		{"http://b.ex?y=/z", "b.ex", "b.ex", "/?y=/z"},
		{"http://b.ex//c.ex/", "b.ex", "b.ex", "//c.ex/"},
		{"http://[::1]:80/x", "[::1]:80", "[::1]", "/x"},
	}
	for _, tt := range tests {
		r := get(t, tt.target, "a.ex", stranger)
		engines := r.URL
		r.Header["Host"] = []string{"a.ex"}
		got := (&Arrival{}).serve(t, r)
		if got.req == nil {
			t.Errorf("%s: status %d", tt.target, got.res.StatusCode)
			continue
		}
		if got.req.Host != tt.host || got.Host != tt.xhost || got.req.RequestURI != tt.uri || got.req.Header.Get("X-Forwarded-Host") != tt.host {
			t.Errorf("%s: host %q, %q, target %q, header %v", tt.target, got.req.Host, got.Host, got.req.RequestURI, got.req.Header)
		}
		if u := got.req.URL; u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || u == engines {
			t.Errorf("%s: URL %#v", tt.target, u)
		}
	}
	for _, target := range []string{"http://a@b.ex/", "http://a,b/", "http://[::1/", "http://a:x/"} {
		r := get(t, "/", "a.ex", stranger)
		r.RequestURI = target
		if got := (&Arrival{}).serve(t, r); got.req != nil || got.res.StatusCode != 400 {
			t.Errorf("%s: passed %v, status %d", target, got.req != nil, got.res.StatusCode)
		}
	}
}

// THREATS 11: a field we set cannot be nominated away.
func TestNominatedFieldsOfOursStay(t *testing.T) {
	names := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "X-Request-ID"}
	spell := []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return s }}
	for _, peer := range []string{stranger, lb} {
		for _, name := range names {
			for _, f := range spell {
				got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", peer, "Connection: close, "+f(name), name+": evil"))
				value := got.req.Header.Get(name)
				believed := peer == lb && (name == "X-Request-ID" || name == "X-Forwarded-Host")
				if value == "" || value == "evil" && !believed {
					t.Errorf("peer %s, Connection: %s: field is %q", peer, f(name), value)
				}
				if c := got.req.Header.Get("Connection"); c != "close" {
					t.Errorf("Connection: %s: left %q, want close", f(name), c)
				}
			}
		}
	}
}

// THREATS 12: forwarding fields of untrusted peers are dropped or replaced,
// those of trusted ones kept.
func TestForwardingFieldsNeedATrustedPeer(t *testing.T) {
	names := []string{
		"Forwarded", "X-Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-Uri", "X-Forwarded-User",
		"X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Cluster-Client-Ip",
		"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "X-Remote-User", "X-Auth-Request-Email", "X-Authentik-Username",
		"X-Webauth-User", "Client-Cert",
	}
	for _, name := range names {
		for _, line := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", stranger, line+": evil")); len(got.req.Header[name]) != 0 {
				t.Errorf("untrusted %s passed", line)
			}
			if got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", lb, line+": good")); got.req.Header.Get(name) != "good" {
				t.Errorf("trusted %s did not pass", line)
			}
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-Ip", "X-Request-Id"} {
		got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", stranger, name+": evil", name+": evil"))
		if v := got.req.Header[name]; len(v) != 1 || v[0] == "evil" {
			t.Errorf("untrusted %s became %q", name, v)
		}
	}
}

// THREATS 13: aliases that CGI, WSGI and PHP fold into our fields.
func TestAliasFieldsAreDropped(t *testing.T) {
	for _, peer := range []string{stranger, lb} {
		for _, name := range []string{"X_Forwarded_For", "X.Forwarded.For", "X-Forwarded_For", "Remote.User", "remote_user", "Remote_Groups", "X_Real_Ip", "X_Request_Id", "x_auth_request_user", "Content_Length"} {
			got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", peer, name+": evil", "X_Custom: stays", "Accept: */*"))
			for n, v := range got.req.Header {
				if v[0] == "evil" {
					t.Errorf("peer %s: %s passed as %s", peer, name, n)
				}
			}
			if got.req.Header.Get("X_Custom") != "stays" || got.req.Header.Get("Accept") != "*/*" {
				t.Errorf("peer %s, %s: other fields were dropped: %v", peer, name, got.req.Header)
			}
		}
	}
}

// THREATS 47.
func TestProxyFieldIsDropped(t *testing.T) {
	for _, peer := range []string{stranger, lb} {
		if got := (&Arrival{Trusted: trustLB}).serve(t, get(t, "/", "a.ex", peer, "PROXY: http://evil")); got.req.Header["Proxy"] != nil {
			t.Errorf("peer %s: Proxy passed: %v", peer, got.req.Header)
		}
	}
}

// THREATS 50: a gateway of our own networks says nothing about the client.
func TestGatewaysAreNobody(t *testing.T) {
	gateways := func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("172.18.0.1")} }
	tests := []struct {
		peer   string
		lines  []string
		hidden bool
	}{
		{"172.18.0.1:1", nil, true},
		{"[::ffff:172.18.0.1]:1", nil, true},
		{"172.18.0.2:1", nil, false},
		{lb, []string{"X-Forwarded-For: 172.18.0.1"}, true},
		{lb, []string{"X-Forwarded-For: 203.0.113.9"}, false},
	}
	for _, tt := range tests {
		a := &Arrival{Trusted: trustLB, Gateways: gateways}
		if got := a.serve(t, get(t, "/", "a.ex", tt.peer, tt.lines...)); got.ClientHidden != tt.hidden {
			t.Errorf("peer %s %v: hidden %v, want %v", tt.peer, tt.lines, got.ClientHidden, tt.hidden)
		}
	}
}

// No fields of an untrusted client, however spelled, become what we did not say.
func FuzzForwarded(f *testing.F) {
	f.Add("X-Forwarded-For", "1.1.1.1, [::1]:80", "close, x-forwarded-for", true)
	f.Add("Remote_User", "admin", "remote_user", false)
	f.Add("X-Forwarded-Host", "a,b", "", true)
	f.Add("Proxy", "x", ",,", false)
	f.Fuzz(func(t *testing.T, name, value, connection string, trusted bool) {
		peer := stranger
		if trusted {
			peer = lb
		}
		r := get(t, "/", "a.ex", peer)
		r.Header = http.Header{http.CanonicalHeaderKey(name): {value}, "Connection": {connection}}
		got := (&Arrival{Trusted: trustLB}).serve(t, r)
		x, h := got.Exchange, got.req.Header
		if !x.Client.IsValid() || !trusted && x.Client != x.Peer {
			t.Fatalf("client %v, peer %v", x.Client, x.Peer)
		}
		for _, n := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-Ip", "X-Request-Id"} {
			if len(h[n]) != 1 || h[n][0] == "" {
				t.Fatalf("%s = %q", n, h[n])
			}
		}
		if h.Get("X-Real-Ip") != x.Client.String() || h.Get("X-Forwarded-Proto") != x.Scheme || !strings.HasSuffix(h.Get("X-Forwarded-For"), x.Peer.String()) {
			t.Fatalf("header %v, exchange %+v", h, x)
		}
		for n := range h {
			if d, alias := dutyOf(n); d == never || alias && d != free || d == vouched && !trusted {
				t.Fatalf("%q passed", n)
			}
		}
	})
}

func TestHeaderHooksRunBeforeAFlush(t *testing.T) {
	rec := httptest.NewRecorder()
	x, w, _ := Begin(rec, httptest.NewRequest("GET", "/", nil))
	x.OnHeader(func(status int, h http.Header) { h.Set("X-Hook", "ran") })
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Fatal(err)
	}
	if !rec.Flushed || rec.Result().Header.Get("X-Hook") != "ran" || x.Response.Status != 200 {
		t.Errorf("flushed %v, header %v, status %d", rec.Flushed, rec.Result().Header, x.Response.Status)
	}
}

func TestBodiesReachTheEnginesReadFrom(t *testing.T) {
	engine := &readerFrom{ResponseWriter: httptest.NewRecorder()}
	x, w, _ := Begin(engine, httptest.NewRequest("GET", "/", nil))
	n, err := io.Copy(w, io.LimitReader(strings.NewReader("hello"), 5))
	if n != 5 || err != nil || engine.n != 5 || x.Response.Bytes != 5 || x.Response.Status != 200 {
		t.Errorf("copied %d, %v; ReadFrom saw %d; exchange %d bytes, status %d", n, err, engine.n, x.Response.Bytes, x.Response.Status)
	}
}

type readerFrom struct {
	http.ResponseWriter
	n int64
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	w.n += n
	return n, err
}

// The cost of the fresh header map that each request has is "map alone".
func BenchmarkArrival(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	begin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, w, r = Begin(w, r)
		next.ServeHTTP(w, r)
	})
	arrival := &Arrival{Next: next, Trusted: trustLB}
	for _, bm := range []struct {
		name, peer string
		h          http.Handler
	}{{"map alone", stranger, next}, {"begin", stranger, begin}, {"direct", stranger, arrival}, {"trusted", lb, arrival}} {
		r := get(b, "/some/path?with=query", "app.example.com", bm.peer,
			"Accept: text/html,*/*", "Accept-Encoding: gzip, br", "Accept-Language: en", "User-Agent: Mozilla/5.0", "Referer: https://app.example.com/")
		if bm.peer == lb {
			r.Header.Set("X-Forwarded-For", "203.0.113.9")
			r.Header.Set("X-Forwarded-Proto", "https")
		}
		w, fields := httptest.NewRecorder(), r.Header
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Header = maps.Clone(fields)
				bm.h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkScrub(b *testing.B) {
	h := http.Header{"Accept": {""}, "Accept-Encoding": {""}, "Accept-Language": {""}, "User-Agent": {""}, "Referer": {""}}
	b.ReportAllocs()
	for b.Loop() {
		scrub(h, false)
	}
}

// Connection is no field of HTTP/2 (RFC 9113, 8.2.2): there it would end the
// requests beside the one it is about.
func TestOnlyConnectionsOfHTTP1AreClosed(t *testing.T) {
	for major, want := range map[int]string{1: "close", 2: "", 3: ""} {
		chunked, refused := get(t, "/", "a.ex", stranger), get(t, "/", "a,b", stranger)
		chunked.TransferEncoding = []string{"chunked"}
		for what, r := range map[string]*http.Request{"a body of unknown length": chunked, "a bad host": refused} {
			r.ProtoMajor = major
			if got := (&Arrival{CloseChunked: true}).serve(t, r).res.Header.Get("Connection"); got != want {
				t.Errorf("HTTP/%d, %s: got Connection %q, want %q", major, what, got, want)
			}
		}
	}
}

// A server that is leaving ends connections by their answers, whatever these
// are, but for upgraded ones, which have no more.
func TestAnswersOfAServerThatLeavesAreTheLast(t *testing.T) {
	leaving := false
	a := &Arrival{Leaving: func() bool { return leaving }}
	for _, major := range []int{1, 2} {
		for _, leaving = range []bool{false, true} {
			r := get(t, "/", "a.ex", "")
			r.ProtoMajor, r.ProtoMinor = major, 2-major
			want := ""
			if leaving {
				want = "close"
			}
			if got := a.serve(t, r).res.Header.Get("Connection"); got != want {
				t.Errorf("HTTP/%d, leaving %v: Connection %q, want %q", major, leaving, got, want)
			}
		}
	}
	h := http.Header{"Connection": {"Upgrade"}}
	sayLast(http.StatusSwitchingProtocols, h)
	if got := h.Get("Connection"); got != "Upgrade" {
		t.Errorf("101 with Connection %q, want it as it was", got)
	}
}
